"""Parameters of a kernel and the arguments bound to them."""

from __future__ import annotations

import inspect
import types
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from pto_sim.frontend.annotations import DynVar, ScalarType, Tensor, TensorType, Tile, ValueAnnotation
from pto_sim.program.dtypes import DataType, from_numpy
from pto_sim.program.errors import InputError, KernelError, UnsupportedError
from pto_sim.program.host_arrays import is_torch, view_as_numpy
from pto_sim.program.model import Site


@dataclass(frozen=True)
class Parameter:
    """One parameter: a TensorType, a ScalarType, or None for a scalar without annotation."""

    name: str
    type: TensorType | ScalarType | None

    @property
    def is_written(self) -> bool:
        """Whether it is an output or in place."""
        return isinstance(self.type, TensorType) and self.type.direction != "in"

    @property
    def is_output(self) -> bool:
        """Whether it is a pure output."""
        return isinstance(self.type, TensorType) and self.type.direction == "out"


def parameters_of(function: Callable[..., Any]) -> tuple[Parameter, ...]:
    """The parameters of a kernel function, in order. Raises KernelError (PTO206) for a star argument."""
    assert isinstance(function, types.FunctionType)
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
        result.append(Parameter(parameter.name, _annotation(annotations.get(parameter.name), parameter.name, site)))
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
    """`as_array`, and the same bits unsigned where a torch tensor stands for an unsigned parameter.

    torch has no arithmetic on uint16, uint32 and uint64: its users hold such values in the signed type.
    """
    array = as_array(parameter.name, value, site)
    wanted = parameter.type.dtype if isinstance(parameter.type, TensorType) else None
    if is_torch(value) and wanted is not None and wanted.kind == "uint" and wanted.numpy is not None:
        signed = array.dtype.kind == "i" and array.itemsize == wanted.nbytes
        return array.view(wanted.numpy) if signed else array
    return array


def check_tensor(
    parameter: Parameter,
    shape: Sequence[int],
    dtype: DataType | None,
    described: str,
    extents: dict[DynVar, int],
    site: Site,
    where: str,
) -> None:
    """Raises InputError (PTO010) if an argument does not have the rank, shape or dtype of its parameter.

    extents: what the dynamic dimensions have been so far; updated.
    """
    expected = parameter.type
    assert isinstance(expected, TensorType)
    problem = ""
    if dtype is None:
        problem = f"element type {described}, which the language does not have"
    elif expected.dtype is not None and expected.dtype is not dtype:
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


def _shape_problem(expected: Sequence[int | DynVar], shape: Sequence[int], extents: dict[DynVar, int]) -> str:
    for axis, (want, have) in enumerate(zip(expected, shape, strict=True)):
        if isinstance(want, DynVar):
            want = extents.setdefault(want, have)
        if want != have:
            return f"shape {list(shape)}, expected {list(expected)} (axis {axis}: {have} against {want})"
    return ""


def dtype_of(array: np.ndarray) -> DataType | None:
    """The language's element type of an array, or None."""
    return from_numpy(array.dtype)
