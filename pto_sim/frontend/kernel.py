"""Kernels: decorated functions that can be run or inlined."""

from __future__ import annotations

import ast
import copy
import ctypes
import functools
import types
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from pto_sim.engine.arguments import EntryArgument
from pto_sim.engine.run import FunctionFacts, current_run, run_kernel
from pto_sim.engine.runtime import KERNEL_RUNTIME
from pto_sim.engine.storage import Tensor as TensorHandle
from pto_sim.frontend.annotations import ScalarType, TensorType
from pto_sim.frontend.binding import (
    Parameter,
    argument_array,
    as_array,
    check_tensor,
    dtype_of,
    ordered_arguments,
    parameters_of,
)
from pto_sim.frontend.dropped_writes import dropped_writes
from pto_sim.frontend.extents import DynamicExtent, Extents, plain
from pto_sim.frontend.legality import check_source
from pto_sim.frontend.names import bound_names, leaves_flow_to_python, loaded_names, parameter_names
from pto_sim.frontend.rewrite import RUNTIME, rewrite
from pto_sim.frontend.source import function_tree
from pto_sim.frontend.variants import Variant, apply_variant
from pto_sim.program.errors import InputError, KernelError, UnsupportedError
from pto_sim.program.events import SourceNote
from pto_sim.program.host_arrays import is_array, is_torch, view_as_numpy, view_as_torch
from pto_sim.program.launch import kernel_compiler, kernel_runner
from pto_sim.program.model import Site
from pto_sim.program.options import RunOptions


class KernelFunction:
    """A function of the kernel language: its parameters, its source, and its rewritten forms.

    owns_outputs: its outputs are buffers of the caller, not names that stand for the caller's variables.
    """

    owns_outputs = True

    def __init__(self, function: Callable[..., Any], auto_scope: bool) -> None:
        assert isinstance(function, types.FunctionType)
        self.function = function
        self.auto_scope = auto_scope
        self.name = function.__name__
        self.site = Site(function.__code__.co_filename, function.__code__.co_firstlineno, function.__name__)
        self._forms: dict[Variant, tuple[Callable[..., Any], frozenset[str]]] = {}
        self.__doc__ = function.__doc__
        self.__name__ = self.__qualname__ = function.__name__
        self.__module__ = function.__module__

    @functools.cached_property
    def parameters(self) -> tuple[Parameter, ...]:
        """The parameters, in order."""
        return parameters_of(self.function)

    @functools.cached_property
    def tree(self) -> ast.FunctionDef:
        """The function's syntax tree. Do not change it."""
        return function_tree(self.function)

    @functools.cached_property
    def lockstep(self) -> bool:
        """Whether blocks may run in lockstep: no construct whose control flow the rewrite leaves to Python."""
        return not any(leaves_flow_to_python(kernel.tree) for kernel in (self, *self.reachable))

    @functools.cached_property
    def barriers(self) -> bool:
        """Whether a task of the function may call pl.system.syncall."""
        trees = [kernel.tree for kernel in (self, *self.reachable)]
        return any(isinstance(n, ast.Attribute) and n.attr == "syncall" for tree in trees for n in ast.walk(tree))

    @functools.cached_property
    def reachable(self) -> tuple[KernelFunction, ...]:
        """The kernel functions that it calls, and those that they call. Raises KernelError (PTO211) for a cycle."""
        found: dict[int, KernelFunction] = {}
        queue = list(self.callees())
        while queue:
            kernel = queue.pop()
            if kernel is self:
                raise KernelError(
                    "PTO211",
                    f"'{self.name}' calls itself",
                    site=self.site,
                    hint="a kernel function becomes part of its caller; write a loop",
                )
            if id(kernel) not in found:
                found[id(kernel)] = kernel
                queue.extend(kernel.callees())
        return tuple(found.values())

    def callees(self) -> list[KernelFunction]:
        """The kernel functions that its body names."""
        spaces = {**self.function.__globals__, **_closure(self.function)}
        own = bound_names(self.tree.body) | set(parameter_names(self.tree))
        names = loaded_names(self.tree.body) - own
        return [spaces[name] for name in sorted(names) if isinstance(spaces.get(name), KernelFunction)]

    def form(self, variant: Variant) -> Callable[..., Any]:
        """The rewritten function for a scope variant. Raises InputError if the variant cannot be applied."""
        return self._form(variant)[0]

    def hoisted(self, variant: Variant) -> frozenset[str]:
        """Names that the variant declares at the frame, in this function and those it calls."""
        return self._form(variant)[1].union(*(kernel._form(variant)[1] for kernel in self.reachable))

    def _form(self, variant: Variant) -> tuple[Callable[..., Any], frozenset[str]]:
        if variant not in self._forms:
            if not self._forms:
                check_source(self.tree, self.auto_scope, self.site.file)
            tree = rewrite_variant(self.tree, variant, self.site.file)
            self._forms[variant] = (_build(self.function, tree[0]), frozenset(tree[1]))
        return self._forms[variant]

    def facts(self, variant: Variant) -> FunctionFacts:
        """What the engine must know while the function runs."""
        auto_scope = self.auto_scope or variant.scopes == "auto"
        return FunctionFacts(self.name, auto_scope, self.lockstep, self.barriers, self.notes)

    @functools.cached_property
    def notes(self) -> tuple[SourceNote, ...]:
        """What the source shows. An inline function's outputs are names of its caller, so it has no dropped writes."""
        if not self.owns_outputs:
            return ()
        outputs = [p.name for p in self.parameters if p.is_written]
        return tuple(
            SourceNote("dropped write", Site(self.site.file, line, self.name), f"'{name}' of '{self.name}'")
            for name, line in dropped_writes(self.tree, outputs)
        )


def rewrite_variant(tree: ast.FunctionDef, variant: Variant, file: str) -> tuple[ast.FunctionDef, set[str]]:
    """The rewritten function under a variant, and the names that were hoisted in it."""
    changed = copy.deepcopy(tree)
    found = apply_variant(changed, variant, file)
    return rewrite(changed), found


def _closure(function: types.FunctionType) -> dict[str, Any]:
    cells = function.__closure__ or ()
    return {name: cell.cell_contents for name, cell in zip(function.__code__.co_freevars, cells, strict=True)}


def _build(function: types.FunctionType, tree: ast.FunctionDef) -> Callable[..., Any]:
    """Compile a rewritten function in its own module's globals, without adding anything to them."""
    closure = _closure(function)
    names = [RUNTIME, *closure]
    factory = ast.FunctionDef(
        name=f"{RUNTIME}_factory",
        args=ast.arguments([], [ast.arg(name) for name in names], None, [], [], None, []),
        body=[tree, ast.Return(ast.Name(tree.name, ast.Load()))],
        decorator_list=[],
        returns=None,
    )
    if "type_params" in ast.FunctionDef._fields:
        factory.type_params = []  # type: ignore[attr-defined]
    module = ast.fix_missing_locations(ast.Module([ast.copy_location(factory, tree)], []))
    space: dict[str, Any] = {}
    exec(compile(module, function.__code__.co_filename, "exec"), function.__globals__, space)
    return space[factory.name](KERNEL_RUNTIME, *closure.values())


class InlineKernel(KernelFunction):
    """`@pl.jit.inline`: its body becomes part of the caller. Its parameters alias the caller's variables."""

    owns_outputs = False

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        run = current_run()
        if run is None:
            raise InputError(
                "PTO013",
                f"the inline kernel '{self.name}' was called outside a kernel",
                site=self.site,
                hint="call it from a @pl.jit function, and run that",
            )
        extents: Extents = {}
        bound = self._bind(args, kwargs, run.site(), extents)
        with run.function(self.facts(run.variant), extents):
            return self.form(run.variant)(*bound)

    def _bind(self, args: Sequence[Any], kwargs: dict[str, Any], site: Site, extents: Extents) -> list[Any]:
        values = dict(zip((p.name for p in self.parameters), args, strict=False))
        if (
            len(args) > len(self.parameters)
            or values.keys() & kwargs.keys()
            or len(values) + len(kwargs) != len(self.parameters)
        ):
            raise KernelError(
                "PTO206",
                f"'{self.name}' takes {len(self.parameters)} arguments",
                site=site,
                values=f"got {len(args)} positional and {len(kwargs)} by name",
                hint="pass " + ", ".join(p.name for p in self.parameters),
            )
        values.update(kwargs)
        for parameter in self.parameters:
            value = values[parameter.name] = plain(values[parameter.name])
            if isinstance(parameter.type, TensorType) and isinstance(value, TensorHandle):
                check_tensor(parameter, value.shape, value.dtype, value.dtype.name, extents, site, f"'{self.name}'")
            elif isinstance(parameter.type, ScalarType) and isinstance(value, int):
                extents[parameter.name] = value
        return [values[parameter.name] for parameter in self.parameters]


class JitKernel(KernelFunction):
    """`@pl.jit`: an entry that runs on one chip.

    Call it with all tensors (outputs are written in place, returns None), or with the inputs only (returns the
    outputs: one array, or a tuple).
    """

    def __init__(self, function: Callable[..., Any], auto_scope: bool) -> None:
        super().__init__(function, auto_scope)
        self._cache: dict[tuple[Any, ...], Any] = {}  # pypto's own name: its tests look into it

    def __call__(self, *args: Any, config: Any = None, **named: Any) -> Any:
        if current_run() is not None:
            raise KernelError(
                "PTO206",
                f"a kernel cannot call the entry '{self.name}'",
                site=self.site,
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
                result.append(EntryArgument(parameter.name, "scalar", _scalar(parameter, value, self.site), None))
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
