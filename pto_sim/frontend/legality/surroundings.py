"""What a rule must know beyond the function it looks at: the names and the kernel functions that it sees."""

from __future__ import annotations

import ast
import builtins
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

from pto_sim.frontend.names import bound_names, parameter_names

BUILTINS = frozenset(dir(builtins))


class Callee(NamedTuple):
    """A kernel function that can be called by name.

    kind: 'inline', 'task' (device function), 'entry', 'extern' or 'host'. parameters: its names, in order.
    written: for each, whether it is declared pl.Out or pl.InOut. returns: whether it returns a value.
    """

    kind: str
    parameters: tuple[str, ...]
    written: tuple[bool, ...]
    returns: bool


class Surroundings(NamedTuple):
    """auto_scope: of the function. renames: rebinding a name at its own block depth gives it a new type (pl.jit).
    group: the function launches cube and vector kernels that share their outputs (pl.FunctionType.Group).

    names: what the function sees besides its own names, None if that cannot be known. callees: kernel functions
    by name. methods: the same for `self.<name>`. language: names of the language module ('pl'). resolve: the
    object behind a dotted name of the language; raises PtoError if there is none.
    """

    auto_scope: bool = True
    renames: bool = True
    group: bool = False
    names: frozenset[str] | None = None
    callees: Mapping[str, Callee] = MappingProxyType({})
    methods: Mapping[str, Callee] = MappingProxyType({})
    language: frozenset[str] = frozenset({"pl"})
    resolve: Callable[[str], Any] | None = None

    def callee(self, call: ast.Call) -> Callee | None:
        """The kernel function that a call names, `f(...)` or `self.f(...)`."""
        function = call.func
        if isinstance(function, ast.Name):
            return self.callees.get(function.id)
        if isinstance(function, ast.Attribute) and isinstance(function.value, ast.Name) and function.value.id == "self":
            return self.methods.get(function.attr)
        return None

    def operator(self, call: ast.AST) -> str | None:
        """`add` for `pl.add(...)`, `tile.load` for `pl.tile.load(...)`; None for any other expression."""
        if not isinstance(call, ast.Call):
            return None
        return self.language_name(call.func)

    def language_name(self, node: ast.AST) -> str | None:
        """The dotted name behind `pl.`, None if the expression is no name of the language."""
        parts: list[str] = []
        while isinstance(node, ast.Attribute):
            parts.append(node.attr)
            node = node.value
        if isinstance(node, ast.Name) and node.id in self.language and parts:
            return ".".join(reversed(parts))
        return None


def callee_of(tree: ast.FunctionDef, kind: str) -> Callee:
    """What a caller must know of the kernel function `tree`."""
    parameters = [name for name in parameter_names(tree) if name != "self"]
    annotated = {a.arg: a.annotation for a in [*tree.args.posonlyargs, *tree.args.args, *tree.args.kwonlyargs]}
    written = tuple(_is_written(annotated[name]) for name in parameters)
    returns = any(isinstance(node, ast.Return) and node.value is not None for node in ast.walk(tree))
    return Callee(kind, tuple(parameters), written, returns)


def _is_written(annotation: ast.expr | None) -> bool:
    if isinstance(annotation, ast.Constant) and isinstance(annotation.value, str):
        return annotation.value.startswith(("pl.Out[", "pl.InOut["))
    text = ast.unparse(annotation.value) if isinstance(annotation, ast.Subscript) else ""
    return text.split(".")[-1] in ("Out", "InOut")


def decorator_kind(function: ast.FunctionDef, language: frozenset[str]) -> str | None:
    """The kind of a kernel function (see Callee) by its decorators, None if it has none of the language."""
    around = Surroundings(language=language)
    for decorator in function.decorator_list:
        called = decorator.func if isinstance(decorator, ast.Call) else decorator
        name = around.language_name(called)
        if name in ("jit", "program"):
            return "entry"
        if name == "inline" or name == "jit.inline" or name == "jit.opaque":
            return "inline"
        if name in ("jit.incore", "jit.extern", "jit.host"):
            return {"jit.incore": "task", "jit.extern": "extern", "jit.host": "host"}[name]
        if name == "function":
            return _function_kind(decorator)
    return None


def function_type(function: ast.FunctionDef) -> str:
    """`InCore` for `@pl.function(type=pl.FunctionType.InCore)`; '' where no decorator says one."""
    for decorator in function.decorator_list:
        for keyword in decorator.keywords if isinstance(decorator, ast.Call) else []:
            if keyword.arg == "type":
                return ast.unparse(keyword.value).split(".")[-1]
    return ""


def _function_kind(decorator: ast.expr) -> str | None:
    keywords = decorator.keywords if isinstance(decorator, ast.Call) else []
    texts = {k.arg: ast.unparse(k.value).split(".")[-1] for k in keywords}
    if texts.get("role") == "SubWorker":
        return None  # ordinary Python on the host
    return "task" if texts.get("type") in ("InCore", "AIC", "AIV") else "inline"


def module_names(module: ast.Module) -> frozenset[str] | None:
    """Every name that a module binds at its top level, None if a star import hides some."""
    found = set(bound_names([n for n in module.body if not isinstance(n, (ast.FunctionDef, ast.ClassDef))]))
    for node in ast.walk(module):
        if isinstance(node, (ast.Import, ast.ImportFrom)):
            if any(alias.name == "*" for alias in node.names):
                return None
            found |= {(alias.asname or alias.name.split(".")[0]) for alias in node.names}
        elif isinstance(node, (ast.FunctionDef, ast.ClassDef)):
            found.add(node.name)
    return frozenset(found | {"__name__", "__file__", "__doc__", "self"})


def language_aliases(module: ast.Module) -> frozenset[str]:
    """Names under which a module imports the language."""
    found = {
        alias.asname
        for node in ast.walk(module)
        if isinstance(node, ast.Import)
        for alias in node.names
        if alias.asname and alias.name in ("pypto.language", "pto_sim.language")
    }
    for node in ast.walk(module):
        if isinstance(node, ast.ImportFrom) and node.module in ("pypto", "pto_sim"):
            found |= {alias.asname or alias.name for alias in node.names if alias.name == "language"}
    return frozenset(found) or frozenset({"pl"})
