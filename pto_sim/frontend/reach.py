"""Which kernel functions a kernel reaches, and what holds for all of them together before anything runs."""

from __future__ import annotations

import ast
import functools
import types
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from pto_sim.frontend.callee import KernelCallee
from pto_sim.frontend.legality import Callee, Surroundings, callee_of
from pto_sim.frontend.names import bound_names, parameter_names
from pto_sim.program.errors import KernelError
from pto_sim.program.model import Site

if TYPE_CHECKING:
    from pto_sim.frontend.kernel import KernelFunction

_LANGUAGE = "pto_sim.language"


def closure_values(function: types.FunctionType) -> dict[str, Any]:
    """Names that a function takes from the function around it; those that are not bound yet are left out."""
    cells = zip(function.__code__.co_freevars, function.__closure__ or (), strict=True)
    return {name: cell.cell_contents for name, cell in cells if cell != types.CellType()}


def visible(kernel: KernelFunction) -> dict[str, Any]:
    """What the names of a kernel's source mean, apart from its own."""
    return {**kernel.function.__globals__, **closure_values(kernel.function)}


def named_callees(kernel: KernelFunction) -> dict[str, KernelCallee]:
    """What a kernel's source can call, by the name that it uses; methods as 'self.<name>'."""
    space = visible(kernel)
    program = getattr(kernel, "program", None)
    methods = program.methods if program is not None else {}
    found: dict[str, KernelCallee] = {}
    for name in kernel.free_names:
        if isinstance(space.get(name), KernelCallee):
            found[name] = space[name]
        elif name.startswith("self.") and name[5:] in methods:
            found[name] = methods[name[5:]]
    return found


def free_names(function: ast.FunctionDef) -> tuple[str, ...]:
    """Names that a function uses and does not bind, and `self.<name>`, in the order of the tree, each once."""
    own = bound_names(function.body) | set(parameter_names(function))
    found: dict[str, None] = {}
    for node in ast.walk(function):
        if isinstance(node, ast.Name) and node.id not in own:
            found[node.id] = None
        elif isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "self":
            found[f"self.{node.attr}"] = None
    return tuple(found)


def named_kernels(kernel: KernelFunction) -> dict[str, Any]:
    """Those of `named_callees` that have a source in the kernel language."""
    return {name: c for name, c in named_callees(kernel).items() if c.role in ("inline", "task", "entry")}


def surroundings_of(kernel: KernelFunction) -> Surroundings:
    """What the static rules must know about the place of a kernel."""
    space, callees = visible(kernel), named_callees(kernel)
    modules = {name: v for name, v in space.items() if isinstance(v, types.ModuleType) and v.__name__ == _LANGUAGE}
    return Surroundings(
        auto_scope=kernel.auto_scope,
        renames=kernel.renames,
        group=getattr(kernel, "kind", "") in ("group", "spmd"),
        names=frozenset(space) | {"self"},
        callees={name: _facts(value) for name, value in callees.items() if not name.startswith("self.")},
        methods={name[5:]: _facts(value) for name, value in callees.items() if name.startswith("self.")},
        language=frozenset(modules or {"pl"}),
        resolve=functools.partial(resolve, next(iter(modules.values()))) if modules else None,
    )


def _facts(callee: Any) -> Callee:
    if callee.role in ("extern", "host"):
        return Callee(callee.role, (), (), True)
    return callee_of(callee.tree, callee.role)


def resolve(module: types.ModuleType, name: str) -> Any:
    """The object behind a dotted name of the language. Raises PtoError (PTO201, PTO001) if there is none."""
    value: Any = module
    for part in name.split("."):
        value = getattr(value, part)
    return value


def check_reach(kernel: KernelFunction) -> None:
    """Check the source of a kernel and of all that it reaches.

    Raises KernelError: PTO211 for functions that call each other in a circle, PTO253 for two functions of one name,
    or what the static rules say of one of them.
    """
    reached: dict[int, KernelFunction] = {}
    for _ in _walk(kernel, [], reached):
        pass
    _one_name_each(list(reached.values()))
    for found in reached.values():
        found.check()


def _walk(
    kernel: KernelFunction, path: list[KernelFunction], reached: dict[int, KernelFunction]
) -> Iterator[KernelFunction]:
    if kernel in path:
        circle = [*path[path.index(kernel) :], kernel]
        raise KernelError(
            "PTO211",
            f"'{kernel.name}' calls itself",
            site=_call_site(path[-1], kernel),
            values=" calls ".join(k.name for k in circle),
            hint="a kernel function becomes part of its caller: write a loop instead",
        )
    if id(kernel) in reached:
        return
    for other in named_kernels(kernel).values():
        yield from _walk(other, [*path, kernel], reached)
    reached[id(kernel)] = kernel
    yield kernel


def _call_site(caller: KernelFunction, callee: KernelFunction) -> Site:
    names = {name.removeprefix("self.") for name, kernel in named_kernels(caller).items() if kernel is callee}
    for node in ast.walk(caller.tree):
        text = node.attr if isinstance(node, ast.Attribute) else node.id if isinstance(node, ast.Name) else None
        if text in names:
            return Site(caller.site.file, getattr(node, "lineno", caller.site.line), caller.name)
    return caller.site


def _one_name_each(kernels: list[KernelFunction]) -> None:
    """Functions outside a program are known to the compiler by their own name (ast_parser.py: external functions)."""
    seen: dict[str, KernelFunction] = {}
    for kernel in kernels:
        if kernel.renames:
            continue
        other = seen.setdefault(kernel.name, kernel)
        if other.function is not kernel.function:
            raise KernelError(
                "PTO253",
                f"two functions are named '{kernel.name}'",
                site=kernel.site,
                values=f"the other one is at {other.site}",
                hint="rename one of them",
            )
