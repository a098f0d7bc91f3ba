"""`@pl.program` classes: methods decorated with `@pl.function` that call each other through `self`."""

from __future__ import annotations

import ast
import functools
from collections.abc import Callable, Sequence
from typing import Any

from pto_sim.engine.launches import At
from pto_sim.engine.run import require_run
from pto_sim.frontend.annotations import TensorType, caller_site
from pto_sim.frontend.binding import Parameter
from pto_sim.frontend.core_functions import CoreFunction, GroupFunction
from pto_sim.frontend.decorator_options import check_options
from pto_sim.frontend.entry import JitKernel
from pto_sim.frontend.kernel import InlineKernel, KernelFunction
from pto_sim.frontend.names import called_attribute
from pto_sim.frontend.task_functions import InCoreKernel
from pto_sim.frontend.variants import Variant
from pto_sim.program.errors import InputError, KernelError, UnsupportedError
from pto_sim.program.model import Site

_CORES = ("aic", "aiv")
_TASKS = ("incore", *_CORES, "group")
_ABOVE_CHIP = ("host", "cluster_0", "cluster_1", "cluster_2", "global")
# What a program has of the compiler's IR (pypto: python/pypto/pypto_core/ir.pyi, class Program).
_COMPILER_PARTS = ("as_python", "functions", "get_function", "get_global_var", "span", "serialize")
_NEED_TYPES = ("Tensor", "Tile", "Scalar")
_PLAIN = ("opaque", "orchestration", "inline", "graph", "spmd")


class _Method:
    """What a method needs besides a function's parts: it is called with the program in front."""

    program: KernelProgram | None = None
    kind = "opaque"
    level: Any = None
    renames = False
    attrs: Any = None

    @functools.cached_property
    def parameters(self) -> tuple[Parameter, ...]:
        """The parameters after `self`."""
        own = super().parameters  # type: ignore[misc]
        return tuple(p for p in own if p.name != "self")

    def form(self, variant: Variant) -> Callable[..., Any]:
        """The rewritten method, bound to the program."""
        function = super().form(variant)  # type: ignore[misc]
        return functools.partial(function, self.program) if self.takes_self else function

    def callees(self) -> list[KernelFunction]:
        """The functions that its body names, plainly or as `self.x`."""
        found = super().callees()  # type: ignore[misc]
        names = {
            node.attr
            for node in ast.walk(self.tree)  # type: ignore[attr-defined]
            if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "self"
        }
        methods = [getattr(self.program, name, None) for name in sorted(names)]
        return [*found, *(method for method in methods if isinstance(method, KernelFunction))]

    def check(self) -> None:
        """Raises KernelError as every kernel's check, and PTO257 for a parameter without a type."""
        site, tree = self.site, self.tree  # type: ignore[attr-defined]
        for argument in [*tree.args.posonlyargs, *tree.args.args]:
            missing = argument.annotation is None and argument.arg != "self"
            if missing or (isinstance(argument.annotation, ast.Attribute) and argument.annotation.attr in _NEED_TYPES):
                raise KernelError(
                    "PTO257",
                    f"parameter '{argument.arg}' of a pl.function has a shape and an element type",
                    site=Site(site.file, argument.lineno, site.function),
                    values=f"'{ast.unparse(argument)}' of '{site.function}'",
                    hint=f"{argument.arg}: pl.Tensor[[M, N], pl.FP32], or pl.Scalar[pl.INT32]",
                )
        super().check()  # type: ignore[misc]

    @property
    def takes_self(self) -> bool:
        """Whether the first parameter is the program."""
        code = self.function.__code__  # type: ignore[attr-defined]
        return bool(code.co_varnames[: code.co_argcount][:1] == ("self",))


class TaskMethod(_Method, InCoreKernel):
    """A method of type InCore."""

    def in_task(self, *args: Any, **kwargs: Any) -> Any:
        """The body; its split mode is that of the task."""
        mode = (self.attrs or {}).get("split")
        task = require_run(f"'{self.name}'").task
        if mode is not None and task is not None:
            task.record.split = mode
        return super().in_task(*args, **kwargs)


class CoreMethod(_Method, CoreFunction):
    """A method of type AIC or AIV."""


class GroupMethod(_Method, GroupFunction):
    """A method of type Group."""


class PlainMethod(_Method, InlineKernel):
    """A method of any other type."""


class EntryMethod(_Method, JitKernel):
    """The method that the host calls. A tensor that it writes without declaring it is one in place.

    A device function has an orchestration of one task around it, as the compiler makes one for a program of one kernel.
    """

    specialises = False

    def form(self, variant: Variant) -> Callable[..., Any]:
        """The rewritten method; of a device function, a launch of it."""
        function = super().form(variant)
        if self.kind not in ("incore", *_CORES):
            return function
        assert self.program is not None
        body = function if self.kind == "incore" else self.program.methods[self.name].in_task

        def orchestration(*args: Any) -> Any:
            with At(require_run("an entry"), self.name, {}):
                return body(*args)

        return orchestration

    @functools.cached_property
    def parameters(self) -> tuple[Parameter, ...]:
        """The parameters after `self`, with directions."""
        written = _written_names(self.tree)
        return tuple(
            Parameter(p.name, p.type.directed("inout"))
            if p.name in written and isinstance(p.type, TensorType) and p.type.direction == "in"
            else p
            for p in super().parameters
        )


def _written_names(tree: ast.FunctionDef) -> set[str]:
    """Names that a function writes itself: `x[...] = `, pl.assemble(x, ...), pl.store(..., x), pl.write(x, ...)."""
    found: set[str] = set()
    for node in ast.walk(tree):
        target: ast.expr | None = None
        if isinstance(node, ast.Subscript) and isinstance(node.ctx, ast.Store):
            target = node.value
        elif isinstance(node, ast.Call) and called_attribute(node) in ("assemble", "write") and node.args:
            target = node.args[0]
        elif isinstance(node, ast.Call) and called_attribute(node) == "store" and len(node.args) > 2:
            target = node.args[2]
        if isinstance(target, ast.Name):
            found.add(target.id)
    return found


def function(
    decorated: Callable[..., Any] | None = None,
    *,
    type: str = "opaque",
    level: Any = None,
    role: Any = None,
    auto_scope: bool = True,
    strict_ssa: bool = False,
    attrs: Any = None,
    external_source: Any = None,
    **options: Any,
) -> Any:
    """`@pl.function(type=pl.FunctionType.X)`: a method of a program, or a function that is called by name."""
    known = ("type", "level", "role", "auto_scope", "strict_ssa", "attrs", "external_source")
    check_options("@pl.function", options, known)
    if decorated is None:
        return functools.partial(
            function, type=type, level=level, role=role, auto_scope=auto_scope, strict_ssa=strict_ssa, attrs=attrs,
            external_source=external_source,
        )  # fmt: skip
    if external_source is not None:
        code = decorated.__code__
        site = Site(code.co_filename, code.co_firstlineno, decorated.__name__)
        raise UnsupportedError(
            "pl.function(external_source=)", site=site, hint="write the same computation with pl operators"
        )
    if attrs is not None and not (isinstance(attrs, dict) and all(isinstance(key, str) for key in attrs)):
        raise KernelError(
            "PTO257", "attrs= is a dict with names as keys", site=caller_site(), values=f"got {attrs!r}",
            hint='attrs={"split": pl.SplitMode.UP_DOWN}',
        )  # fmt: skip
    method = _KINDS.get(type, PlainMethod)(decorated, auto_scope)
    method.level, method.kind, method.attrs = level, type, attrs
    return method


_KINDS: dict[str, Callable[..., Any]] = {
    "incore": TaskMethod, "aic": CoreMethod, "aiv": CoreMethod, "group": GroupMethod,
}  # fmt: skip


class KernelProgram:
    """A program: its methods are attributes; `entry` is what the host calls."""

    def __init__(self, cls: type) -> None:
        self.name = self.__name__ = cls.__name__
        self.__doc__ = cls.__doc__
        methods: dict[str, Any] = {n: m for n, m in vars(cls).items() if isinstance(m, _Method)}
        for name, method in methods.items():
            method.program = self
            setattr(self, name, method)
        self._methods = methods
        self.entry = self._entry(methods)

    def _entry(self, methods: dict[str, Any]) -> EntryMethod:
        for kinds in (("orchestration",), ("opaque",), _PLAIN, _TASKS):
            found = [m for m in methods.values() if m.kind in kinds]
            if found:
                return self.entry_of(found[-1].name)
        raise InputError(
            "PTO010", f"the program '{self.name}' has no @pl.function", hint="decorate its methods with @pl.function"
        )

    def __call__(self, *args: Any, config: Any = None) -> Any:
        return self.entry(*args, config=config)

    def compile(self, *args: Any, config: Any = None) -> KernelProgram:
        """The program itself: there is no code to generate."""
        return self

    @property
    def methods(self) -> dict[str, Any]:
        """The functions of the program by name, in the order of the class."""
        return dict(self._methods)

    def entry_of(self, name: str) -> EntryMethod:
        """The method called `name` as an entry of its own. Raises KeyError if there is none."""
        chosen = self._methods[name]
        entry = EntryMethod(chosen.function, chosen.auto_scope)
        entry.program, entry.kind = self, chosen.kind
        return entry

    @property
    def parameters(self) -> Sequence[Parameter]:
        """The entry's parameters."""
        return self.entry.parameters

    @property
    def host_method(self) -> PlainMethod | TaskMethod | None:
        """The method that spreads over several chips, if there is one: its level is above that of a chip."""
        return next((method for method in self._methods.values() if method.level in _ABOVE_CHIP), None)

    def __getattr__(self, name: str) -> Any:
        if name in _COMPILER_PARTS:
            raise UnsupportedError(
                f"{self.name}.{name} (the IR of a program)", hint="run the program; its source is the class itself"
            )
        raise AttributeError(f"the program '{self.name}' has no function '{name}'")


def program(cls: type | None = None, **options: Any) -> Any:
    """`@pl.program`: a class of `@pl.function` methods becomes a KernelProgram."""
    check_options("@pl.program", options, ("strict_ssa",))
    return KernelProgram if cls is None else KernelProgram(cls)
