"""Parameters of a kernel and the arguments bound to them."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from pto_sim.frontend.annotations import RUNTIME, ScalarType, Tensor, TensorType, Tile, ValueAnnotation
from pto_sim.frontend.extents import DynamicExtent, DynVar, Extents
from pto_sim.program.dtypes import DataType, from_numpy
from pto_sim.program.element_support import unsupported_element
from pto_sim.program.errors import InputError, KernelError, UnsupportedError
from pto_sim.program.host_arrays import view_as_numpy
from pto_sim.program.model import Site


@dataclass(frozen=True)
class Parameter:
    """One parameter: a TensorType, a ScalarType, or None for a scalar without annotation. default: empty if none."""

    name: str
    type: TensorType | ScalarType | None
    default: Any = inspect.Parameter.empty

    @property
    def is_written(self) -> bool:
        """Whether it is an output or in place."""
        return isinstance(self.type, TensorType) and self.type.direction != "in"

    @property
    def is_output(self) -> bool:
        """Whether it is a pure output."""
        return isinstance(self.type, TensorType) and self.type.direction == "out"


def parameters_of(function: Callable[..., Any], *, inline: bool = False) -> tuple[Parameter, ...]:
    """The parameters of a kernel function, in order. Raises KernelError: PTO206 star arguments, PTO257 an array.

    inline: its body becomes part of the caller, so that an array stays in one function.
    """
    site = Site(function.__code__.co_filename, function.__code__.co_firstlineno, function.__name__)
    annotations = inspect.get_annotations(function, eval_str=True)
    result = []
    for parameter in inspect.signature(function).parameters.values():
        if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
            raise KernelError(
                "PTO206",
                "a kernel has no star arguments",
                site=site,
                values=f"*{parameter.name}",
                hint="name every parameter",
            )
        annotation = annotations.get(parameter.name)
        if isinstance(annotation, ValueAnnotation) and annotation.kind == "array" and not inline:
            raise KernelError(
                "PTO257",
                f"parameter '{parameter.name}' is an array, which crosses no function boundary",
                site=site,
                values=f"pl.Array in the signature of '{site.function}'",
                hint="create it in the function that uses it, or pass a tensor",
            )
        type_ = _annotation(annotation, parameter.name, site)
        result.append(Parameter(parameter.name, type_, parameter.default))
    return tuple(result)


def _annotation(annotation: Any, name: str, site: Site) -> TensorType | ScalarType | None:
    if annotation is None or annotation in (int, float, bool):
        return None
    if isinstance(annotation, type) and issubclass(annotation, Tensor):
        return TensorType()
    if isinstance(annotation, ValueAnnotation) or annotation is Tile:
        return None
    if isinstance(annotation, (TensorType, ScalarType)):
        return annotation
    raise UnsupportedError(
        f"the annotation {annotation!r} of parameter '{name}'",
        site=site,
        hint="use pl.Tensor, pl.Scalar, pl.Out or pl.InOut",
    )


def ordered_arguments(
    parameters: Sequence[Parameter], args: Sequence[Any], named: Mapping[str, Any], where: str, site: Site
) -> tuple[Any, ...]:
    """The arguments of a call in parameter order: by position, by name, or a parameter's default.

    Raises InputError (PTO010) for a name that is no parameter or is given twice, and for pl.RUNTIME as a value.
    """
    taken = dict(zip((p.name for p in parameters), args, strict=False))
    wrong = [name for name in named if name in taken or all(name != p.name for p in parameters)]
    if wrong:
        raise InputError(
            "PTO010",
            f"{where} cannot take {', '.join(wrong)} by name",
            site=site,
            values=f"{len(args)} arguments by position, then {', '.join(named)}",
            hint="its parameters are " + ", ".join(p.name for p in parameters),
        )
    taken.update(named)
    for parameter in parameters:
        if parameter.default is not inspect.Parameter.empty:
            taken.setdefault(parameter.name, parameter.default)
        if taken.get(parameter.name) is RUNTIME:
            raise InputError(
                "PTO010",
                f"parameter '{parameter.name}' of {where} has no value",
                site=site,
                values="pl.RUNTIME says that the value comes with the call",
                hint="pass a number",
            )
    if len(args) > len(parameters):
        return tuple(args)
    return tuple(taken[p.name] for p in parameters if p.name in taken)


def as_array(name: str, value: Any, site: Site) -> np.ndarray:
    """A caller's tensor as a NumPy array on the same memory: NumPy, torch on the CPU, DLPack or a buffer.

    Raises InputError (PTO010) for anything else.
    """
    try:
        return view_as_numpy(value)
    except TypeError as error:
        raise InputError(
            "PTO010",
            f"argument '{name}' must be an array",
            site=site,
            values=f"got {type(value).__name__}: {error}",
            hint="pass a NumPy array (ml_dtypes for BF16) or a torch tensor on the CPU",
        ) from error


def argument_array(parameter: Parameter, value: Any, site: Site) -> np.ndarray:
    """`as_array`, with the caller's integers as the declared integer type of the same width.

    torch has no arithmetic on uint16, uint32 and uint64: its users hold such values in the signed type.
    """
    array = as_array(parameter.name, value, site)
    declared = parameter.type.dtype if isinstance(parameter.type, TensorType) else None
    given = dtype_of(array)
    if declared is None or given is None or declared is given or declared.numpy is None:
        return array
    both_integers = declared.kind in ("int", "uint") and given.kind in ("int", "uint")
    return array.view(declared.numpy) if both_integers and declared.nbytes == given.nbytes > 1 else array


def check_tensor(
    parameter: Parameter,
    shape: Sequence[int],
    dtype: DataType | None,
    described: str,
    extents: Extents,
    site: Site,
    where: str,
) -> None:
    """Raises InputError (PTO010) if an argument does not have the rank, shape or dtype of its parameter.

    extents: what the dynamic dimensions have been so far; updated.
    """
    expected = parameter.type
    assert isinstance(expected, TensorType)
    if expected.dtype is not None and expected.dtype.numpy is None:
        raise unsupported_element(expected.dtype, site, f"parameter '{parameter.name}'")
    problem = ""
    if dtype is None:
        problem = f"element type {described}, which the language does not have"
    elif expected.dtype is not None and expected.dtype.numpy != dtype.numpy:
        problem = f"element type {dtype.name}, expected {expected.dtype.name}"
    elif expected.shape is not None and len(expected.shape) != len(shape):
        problem = f"rank {len(shape)} {list(shape)}, expected rank {len(expected.shape)} {list(expected.shape)}"
    elif expected.shape is not None:
        problem = _shape_problem(expected.shape, shape, extents)
    if problem:
        raise InputError(
            "PTO010",
            f"argument '{parameter.name}' of {where} does not fit its parameter",
            site=site,
            values=problem,
            hint="pass an array of the annotated shape and element type, or change the annotation",
        )


def _shape_problem(expected: Sequence[int | DynamicExtent], shape: Sequence[int], extents: Extents) -> str:
    """What is wrong with a shape. A dimension takes the extent of the first argument that has it.

    The vendor's runtime does not compare the arguments that share a dimension, so another extent is no error.
    """
    for axis, (want, have) in enumerate(zip(expected, shape, strict=True)):
        if isinstance(want, DynVar):
            extents.setdefault(want.name, have)
        elif not isinstance(want, DynamicExtent) and want != have:
            return f"shape {list(shape)}, expected {list(expected)} (axis {axis}: {have} against {want})"
    return ""


def dtype_of(array: np.ndarray) -> DataType | None:
    """The language's element type of an array, or None."""
    return from_numpy(array.dtype)
