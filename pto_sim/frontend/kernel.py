"""Kernel functions: decorated functions, and those that become part of their caller."""

from __future__ import annotations

import ast
import copy
import functools
import types
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

from pto_sim.engine.declared import DeclaredValue
from pto_sim.engine.function_facts import FunctionFacts
from pto_sim.engine.run import current_run
from pto_sim.engine.runtime import KERNEL_RUNTIME
from pto_sim.engine.scalar_operands import ScalarOperand
from pto_sim.engine.storage import Tensor as TensorHandle
from pto_sim.frontend.annotations import ScalarType, TensorType, caller_site
from pto_sim.frontend.binding import (
    Parameter,
    check_tensor,
    parameters_of,
)
from pto_sim.frontend.callee import KernelCallee
from pto_sim.frontend.constant_fills import constant_fills
from pto_sim.frontend.declared_values import declared_values
from pto_sim.frontend.dropped_writes import dropped_writes
from pto_sim.frontend.extents import DynVar, Extents, plain
from pto_sim.frontend.foreign_calls import foreign_calls
from pto_sim.frontend.legality import check_source, raise_first
from pto_sim.frontend.names import bound_names, leaves_flow_to_python, parameter_names
from pto_sim.frontend.reach import closure_values, free_names, named_kernels, surroundings_of, visible
from pto_sim.frontend.rewrite import rewrite
from pto_sim.frontend.scalar_types import ScalarTypes
from pto_sim.frontend.source import function_tree
from pto_sim.frontend.syntax_nodes import RUNTIME
from pto_sim.frontend.task_touches import Place, TaskTouches, task_touches
from pto_sim.frontend.variants import Variant, apply_variant
from pto_sim.program.errors import InputError, KernelError
from pto_sim.program.events import SourceNote
from pto_sim.program.model import Site

_MEETINGS = frozenset(
    [
        "tpush_to_aiv", "tpush_to_aic", "tpop_from_aic", "tpop_from_aiv", "tfree_to_aic", "tfree_to_aiv",
        "aic_initialize_pipe", "aiv_initialize_pipe", "sync_set", "sync_wait",
    ]
)  # fmt: skip
"""Names with which the cores of one block wait for each other; such blocks run one by one."""


class KernelFunction(KernelCallee):
    """A function of the kernel language: its parameters, its source, and its rewritten forms.

    owns_outputs: its outputs are buffers of the caller, not names that stand for the caller's variables.
    typed_scalars: its scalar parameters are variables of their declared type, not the caller's expressions.
    """

    owns_outputs = True
    typed_scalars = False

    def __init__(self, function: Callable[..., Any], auto_scope: bool) -> None:
        if not isinstance(function, types.FunctionType):
            raise KernelError(
                "PTO257",
                "a kernel decorator stands on a plain function",
                site=caller_site(),
                values=f"got {function!r}",
                hint="@pl.jit directly above `def`, with other decorators above it",
            )
        self.function = function
        self.auto_scope = auto_scope
        self.name = function.__name__
        self.site = Site(function.__code__.co_filename, function.__code__.co_firstlineno, function.__name__)
        self._checked = False
        self._forms: dict[Variant, tuple[Callable[..., Any], frozenset[str]]] = {}
        self.__doc__ = function.__doc__
        self.__name__ = self.__qualname__ = function.__name__
        self.__module__ = function.__module__

    @functools.cached_property
    def parameters(self) -> tuple[Parameter, ...]:
        """The parameters, in order."""
        return parameters_of(self.function, inline=not self.owns_outputs)

    @functools.cached_property
    def tree(self) -> ast.FunctionDef:
        """The function's syntax tree. Do not change it."""
        return function_tree(self.function)

    @functools.cached_property
    def free_names(self) -> tuple[str, ...]:
        """What its source names and does not bind itself."""
        return free_names(self.tree)

    @functools.cached_property
    def lockstep(self) -> bool:
        """Whether blocks may run in lockstep: no construct whose control flow the rewrite leaves to Python."""
        kernels = (self, *self.reachable)
        return not any(leaves_flow_to_python(kernel.tree) or kernel.meets_cores for kernel in kernels)

    @functools.cached_property
    def meets_cores(self) -> bool:
        """Whether the function uses a pipe or an event between the cores of a block, itself."""
        return any(isinstance(node, ast.Attribute) and node.attr in _MEETINGS for node in ast.walk(self.tree))

    @functools.cached_property
    def barriers(self) -> bool:
        """Whether a task of the function may call pl.system.syncall."""
        trees = [kernel.tree for kernel in (self, *self.reachable)]
        return any(isinstance(n, ast.Attribute) and n.attr == "syncall" for tree in trees for n in ast.walk(tree))

    @functools.cached_property
    def reachable(self) -> tuple[KernelFunction, ...]:
        """The kernel functions that it calls, and those that they call."""
        found: dict[int, KernelFunction] = {}
        queue = list(self.callees())
        while queue:
            kernel = queue.pop()
            if id(kernel) not in found:
                found[id(kernel)] = kernel
                queue.extend(kernel.callees())
        return tuple(found.values())

    def callees(self) -> list[KernelFunction]:
        """The kernel functions that its body names."""
        return [kernel for name, kernel in named_kernels(self).items() if not name.startswith("self.")]

    def check(self) -> None:
        """Raises KernelError for the first static rule that the source breaks."""
        if not self._checked:
            check_source(self.tree, surroundings_of(self), self.site.file)
            found = [*self.scalar_types.mixed(), *foreign_calls(self.tree, self.constants)]
            raise_first(iter(found), self.site.file, self.name)
            self._checked = True

    def form(self, variant: Variant) -> Callable[..., Any]:
        """The rewritten function for a scope variant. Raises InputError if the variant cannot be applied."""
        return self._form(variant)[0]

    def hoisted(self, variant: Variant) -> frozenset[str]:
        """Names that the variant declares at the frame, in this function and those it calls."""
        return self._form(variant)[1].union(*(kernel._form(variant)[1] for kernel in self.reachable))

    def _form(self, variant: Variant) -> tuple[Callable[..., Any], frozenset[str]]:
        if variant not in self._forms:
            self.check()
            tree = rewrite_variant(self.tree, variant, self.site.file, self.renames, self.touches)
            self._forms[variant] = (_build(self.function, tree[0]), frozenset(tree[1]))
        return self._forms[variant]

    def facts(self, variant: Variant) -> FunctionFacts:
        """What the engine must know while the function runs."""
        auto_scope = self.auto_scope or variant.scopes == "auto"
        return FunctionFacts(
            self.name, auto_scope, self.lockstep, self.barriers, self.notes, self.fills, self.scalar_operands,
            self.declared,
        )  # fmt: skip

    @functools.cached_property
    def fills(self) -> dict[int, tuple[int, int]]:
        """Lines of scalar writes that the compiler makes one store of: see `constant_fills`."""
        return constant_fills(self.tree, self.constants)

    @functools.cached_property
    def declared(self) -> dict[int, DeclaredValue]:
        """What annotations say of the values of a line."""
        return declared_values(self.tree, self.constants)

    @functools.cached_property
    def scalar_types(self) -> ScalarTypes:
        """The element types of the scalar expressions in the function's own source."""
        return ScalarTypes(self.tree, self.parameters, self.constants, not self.typed_scalars)

    @functools.cached_property
    def scalar_operands(self) -> dict[tuple[int, str], ScalarOperand]:
        """The type of the number that an operator of a line takes, where the source shows it."""
        return self.scalar_types.operands()

    @functools.cached_property
    def constants(self) -> dict[str, Any]:
        """What the free names of the function stand for."""
        own = bound_names(self.tree.body) | set(parameter_names(self.tree))
        return {name: value for name, value in visible(self).items() if name not in own}

    @functools.cached_property
    def touches(self) -> dict[Place, TaskTouches]:
        """What the tasks in the function's own source touch in every arm."""
        inline = {name: kernel.tree for name, kernel in named_kernels(self).items() if kernel.role == "inline"}
        return task_touches(self.tree, inline, self.constants)

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


def rewrite_variant(
    tree: ast.FunctionDef,
    variant: Variant,
    file: str,
    renames: bool = True,
    touches: Mapping[Place, TaskTouches] = MappingProxyType({}),
) -> tuple[ast.FunctionDef, set[str]]:
    """The rewritten function under a variant, and the names that were hoisted in it."""
    changed = copy.deepcopy(tree)
    found = apply_variant(changed, variant, file)
    return rewrite(changed, renames, touches), found


def _build(function: types.FunctionType, tree: ast.FunctionDef) -> Callable[..., Any]:
    """Compile a rewritten function in its own module's globals, without adding anything to them."""
    closure = closure_values(function)
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


def _as_declared(declared: TensorType, value: TensorHandle, extents: Extents) -> TensorHandle:
    """A tensor under the valid shape of its parameter: what an annotation does not say is not known to the function.

    (pypto: docs/en/dev/passes/47-materialize_valid_shape_symbols.md)
    """
    if declared.view is not None and declared.view.valid_shape is not None:
        for extent, have in zip(declared.view.valid_shape, value.valid or value.shape, strict=True):
            if isinstance(extent, DynVar):
                extents.setdefault(extent.name, have)
        return value
    if value.valid is None or declared.shape is None:
        return value
    whole = value.view(value.shape, value.strides, value.offset, alias=value.alias)
    whole.no_dep = value.no_dep
    return whole


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

    def in_task(self, *args: Any, **kwargs: Any) -> Any:
        """Run it as part of the task that is running. A function of one core overrides this."""
        return InlineKernel.__call__(self, *args, **kwargs)

    def scalar_arguments(self, args: Sequence[Any], kwargs: Mapping[str, Any]) -> list[tuple[str, str, Any]]:
        """The arguments of a call that are declared as scalars: name, type, value."""
        values = {**dict(zip((p.name for p in self.parameters), args, strict=False)), **kwargs}
        return [
            (p.name, p.type.dtype.name, p.type.of(values[p.name]))
            for p in self.parameters
            if isinstance(p.type, ScalarType) and p.name in values
        ]

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
                shape = value.sliced or value.shape
                check_tensor(parameter, shape, value.dtype, value.dtype.name, extents, site, f"'{self.name}'")
                values[parameter.name] = _as_declared(parameter.type, value, extents)
            elif isinstance(parameter.type, ScalarType):
                value = values[parameter.name] = parameter.type.of(value)
                if isinstance(value, int):
                    extents[parameter.name] = value
        return [values[parameter.name] for parameter in self.parameters]
