"""Entries: kernels that the host calls."""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from pto_sim.engine.arguments import EntryArgument
from pto_sim.engine.run import current_run, run_kernel
from pto_sim.frontend.annotations import RUNTIME, ScalarType, TensorType
from pto_sim.frontend.binding import Parameter, argument_array, as_array, check_tensor, dtype_of, ordered_arguments
from pto_sim.frontend.extents import DynamicExtent, Extents
from pto_sim.frontend.kernel import KernelFunction
from pto_sim.frontend.reach import check_reach
from pto_sim.frontend.variants import Variant
from pto_sim.program.errors import InputError, KernelError, UnsupportedError
from pto_sim.program.host_arrays import is_array, is_torch, view_as_numpy, view_as_torch
from pto_sim.program.launch import kernel_compiler, kernel_runner
from pto_sim.program.model import Site
from pto_sim.program.options import RunOptions


class JitKernel(KernelFunction):
    """`@pl.jit`: an entry that runs on one chip.

    Call it with all tensors (outputs are written in place, returns None), or with the inputs only (returns the
    outputs: one array, or a tuple).
    """

    role = "entry"
    specialises = True  # the compiler takes a scalar argument for a constant

    def __init__(self, function: Callable[..., Any], auto_scope: bool) -> None:
        super().__init__(function, auto_scope)
        self._cache: dict[tuple[Any, ...], Any] = {}  # pypto's own name: its tests look into it

    def __call__(self, *args: Any, config: Any = None, **named: Any) -> Any:
        run = current_run()
        if run is not None:
            raise KernelError(
                "PTO206",
                f"a kernel cannot call the entry '{self.name}'",
                site=run.site(),
                values=f"'{self.name}' is an entry of the host ({self.site})",
                hint="make it @pl.jit.inline to use it inside another kernel",
            )
        args = ordered_arguments(self.parameters, args, named, f"kernel '{self.name}'", self.site)
        complete, given = self._complete(args)
        self._specialised(complete, config)
        runner = kernel_runner.get()
        if runner is not None:
            outputs: Any = runner(self, complete, config)
        else:
            outputs = run_kernel(self, complete, RunOptions(), ()).outputs
        if given:
            for parameter, value in zip(self.parameters, args, strict=True):
                if parameter.name in outputs:
                    as_array(parameter.name, value, self.site)[...] = outputs[parameter.name]
            return None
        values = [outputs[p.name] for p in self.parameters if p.is_output]
        if any(is_torch(arg) for arg in args):  # results are of the library that the caller uses
            values = [view_as_torch(value) for value in values]
        return values[0] if len(values) == 1 else tuple(values)

    def compile(self, *args: Any, config: Any = None, **named: Any) -> Any:
        """What calling the kernel with `args` runs: there is no code to generate, so it is the kernel itself.

        For a script written for pypto it is pypto's CompiledProgram, one for each specialisation.
        """
        args = ordered_arguments(self.parameters, args, named, f"kernel '{self.name}'", self.site)
        return self._specialised(self._complete(args)[0], config)

    def lower(self, *args: Any, config: Any = None, **named: Any) -> Any:
        """What a script written for pypto holds as the kernel's IR. Raises UnsupportedError outside such a script."""
        compiler = kernel_compiler.get()
        if compiler is None:
            raise UnsupportedError(f"the IR of kernel '{self.name}'", site=self.site, hint="call the kernel")
        return compiler(self, args, config, lowered=True)

    def _specialised(self, args: Sequence[Any], config: Any) -> Any:
        """The compiled form for arguments like `args`, made at most once; extents of pl.dynamic do not count."""
        compiler = kernel_compiler.get()
        if compiler is None:
            return self
        key = tuple(_specialisation(parameter, value) for parameter, value in zip(self.parameters, args, strict=True))
        if key not in self._cache:
            self._cache[key] = compiler(self, args, config)
        return self._cache[key]

    @property
    def param_names(self) -> list[str]:
        """Names of the parameters, in order."""
        return [parameter.name for parameter in self.parameters]

    @property
    def output_indices(self) -> list[int]:
        """Positions of the parameters that are written."""
        return [place for place, parameter in enumerate(self.parameters) if parameter.is_written]

    def _complete(self, args: Sequence[Any]) -> tuple[list[Any], bool]:
        """All arguments, with buffers for outputs that the caller left out; and whether it gave them itself."""
        if len(args) == len(self.parameters):
            return list(args), True
        inputs = [p for p in self.parameters if not p.is_output]
        if len(args) != len(inputs):
            raise InputError(
                "PTO010",
                f"kernel '{self.name}' takes {len(self.parameters)} arguments ({len(inputs)} without its outputs)",
                site=self.site,
                values=f"got {len(args)}",
                hint="pass " + ", ".join(p.name for p in self.parameters),
            )
        extents: Extents = {}
        queue = iter(args)
        values = {p.name: next(queue) for p in inputs}
        for parameter in inputs:
            if isinstance(parameter.type, TensorType):
                self._check(parameter, argument_array(parameter, values[parameter.name], self.site), extents)
        return [values[p.name] if p.name in values else self._empty(p, extents) for p in self.parameters], False

    def _empty(self, parameter: Parameter, extents: Extents) -> np.ndarray:
        type_ = parameter.type
        assert isinstance(type_, TensorType)
        if type_.shape is None or type_.dtype is None or type_.dtype.numpy is None:
            raise InputError(
                "PTO010",
                f"output '{parameter.name}' has no annotated shape and element type",
                site=self.site,
                hint="pass a buffer for it, or annotate it",
            )
        found = [d.value(extents) if isinstance(d, DynamicExtent) else d for d in type_.shape]
        shape = [extent for extent in found if extent is not None]
        if len(shape) < len(found):
            raise InputError(
                "PTO010",
                f"the extent of output '{parameter.name}' follows from no input",
                site=self.site,
                values=f"shape {list(type_.shape)}",
                hint="pass a buffer for it",
            )
        return np.zeros(shape, type_.dtype.numpy)

    def _check(self, parameter: Parameter, array: np.ndarray, extents: Extents) -> None:
        check_tensor(
            parameter, array.shape, dtype_of(array), str(array.dtype), extents, self.site, f"kernel '{self.name}'"
        )

    def entry_arguments(self, args: Sequence[Any]) -> list[EntryArgument]:
        """Arguments checked against the parameters. Raises InputError (PTO010)."""
        if len(args) != len(self.parameters):
            raise InputError(
                "PTO010",
                f"kernel '{self.name}' takes {len(self.parameters)} arguments",
                site=self.site,
                values=f"got {len(args)}",
                hint="pass " + ", ".join(p.name for p in self.parameters),
            )
        extents: Extents = {}
        result = []
        for parameter, value in zip(self.parameters, args, strict=True):
            if not isinstance(parameter.type, TensorType):
                number = _scalar(parameter, value, self.site)
                if isinstance(parameter.type, ScalarType):
                    number = parameter.type.of(number)
                specialised = self.specialises and parameter.default is not RUNTIME
                result.append(EntryArgument(parameter.name, "scalar", number, None, specialised=specialised))
                continue
            array = argument_array(parameter, value, self.site)
            carrier = as_array(parameter.name, value, self.site).dtype
            self._check(parameter, array, extents)
            dtype = parameter.type.dtype or dtype_of(array)
            result.append(EntryArgument(parameter.name, parameter.type.direction, array, dtype, carrier))
        return result

    def extents(self, arguments: Sequence[EntryArgument]) -> Extents:
        """The extents of the dynamic dimensions, and the integers, that the arguments give."""
        extents: Extents = {}
        for parameter, argument in zip(self.parameters, arguments, strict=True):
            if isinstance(parameter.type, TensorType):
                self._check(parameter, argument.value, extents)
            elif isinstance(argument.value, int):
                extents[parameter.name] = argument.value
        return extents

    def variant(self, options: RunOptions) -> Variant:
        """The scope variant that `options` ask for. Raises InputError (PTO012) for a name that is not there."""
        check_reach(self)
        variant = Variant(options.scopes, options.hoist)
        missing = set(options.hoist) - self.hoisted(variant)
        if missing:
            raise InputError(
                "PTO012",
                f"--hoist: '{self.name}' declares no {', '.join(sorted(missing))} with pl.create_tensor",
                site=self.site,
                hint="name create_tensor results as the kernel's source spells them",
            )
        return variant


def _specialisation(parameter: Parameter, value: Any) -> Any:
    """What of an argument a compiled form depends on: its type, and its extents but for those of pl.dynamic."""
    if not is_array(value):
        return value.value if isinstance(value, ctypes._SimpleCData) else value
    array = view_as_numpy(value)
    declared = parameter.type.shape if isinstance(parameter.type, TensorType) else None
    if declared is None or len(declared) != array.ndim:
        return array.dtype, array.shape
    extents = zip(declared, array.shape, strict=True)
    return array.dtype, tuple(None if isinstance(want, DynamicExtent) else have for want, have in extents)


def _scalar(parameter: Parameter, value: Any, site: Site) -> Any:
    if isinstance(value, (bool, int, float)):
        return value
    if isinstance(value, ctypes._SimpleCData):
        return value.value
    if isinstance(value, np.generic) or (is_array(value) and view_as_numpy(value).ndim == 0):
        return view_as_numpy(value).item()
    wanted = parameter.type.dtype.name if isinstance(parameter.type, ScalarType) else "a scalar"
    raise InputError(
        "PTO010",
        f"argument '{parameter.name}' must be a number ({wanted})",
        site=site,
        values=f"got {type(value).__name__}",
        hint="pass an int, a float or a bool",
    )
