"""All rules over the kernels of a source file, without importing it: what `pto-sim lint` shows."""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator
from typing import Any

from pto_sim.frontend.legality.check import problems, style_problems
from pto_sim.frontend.legality.problem import Problem
from pto_sim.frontend.legality.surroundings import (
    Callee,
    Surroundings,
    callee_of,
    decorator_kind,
    function_type,
    language_aliases,
    module_names,
)


def module_problems(
    module: ast.Module, resolve: Callable[[str], Any] | None = None, style: bool = True
) -> Iterator[Problem]:
    """Every violation in the kernel functions of a module; style: also PTO231, PTO232 and PTO234."""
    around = Surroundings(names=module_names(module), language=language_aliases(module), resolve=resolve)
    yield from _within(module, around, style)


def _within(owner: ast.AST, around: Surroundings, style: bool) -> Iterator[Problem]:
    """The kernels that stand directly in a module, class or function, then those further inside."""
    kinds = _kinds(owner, around.language)
    own = _callees(kinds)
    inside_class = isinstance(owner, ast.ClassDef)
    seen = around._replace(methods=own) if inside_class else around._replace(callees={**around.callees, **own})
    if isinstance(owner, ast.FunctionDef) and around.names is not None:
        seen = seen._replace(names=around.names | _inner_names(owner))
    for tree, kind in kinds.items():
        if kind != "extern":
            group = function_type(tree) in ("Group", "Spmd")
            facts = seen._replace(auto_scope=_auto_scope(tree), renames=_renames(tree), group=group)
            yield from problems(tree, facts)
            if style:
                yield from style_problems(tree, facts)
    inner = around._replace(names=seen.names, callees=seen.callees)
    for node in _containers(owner):
        if node not in kinds:
            yield from _within(node, inner, style)


def _containers(owner: ast.AST) -> Iterator[ast.AST]:
    """Classes and functions directly inside, also below if, with and try."""
    for node in ast.iter_child_nodes(owner):
        if isinstance(node, (ast.ClassDef, ast.FunctionDef)):
            yield node
        elif isinstance(node, ast.stmt):
            yield from _containers(node)


def _inner_names(owner: ast.FunctionDef) -> set[str]:
    inner = {node.id for node in ast.walk(owner) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)}
    inner |= {node.arg for node in ast.walk(owner) if isinstance(node, ast.arg)}
    return inner | {node.name for node in ast.walk(owner) if isinstance(node, (ast.FunctionDef, ast.ClassDef))}


def _kinds(owner: ast.AST, language: frozenset[str]) -> dict[ast.FunctionDef, str]:
    found = {}
    for node in _containers(owner):
        if isinstance(node, ast.FunctionDef):
            kind = decorator_kind(node, language)
            if kind is not None:
                found[node] = kind
    return found


def _callees(kinds: dict[ast.FunctionDef, str]) -> dict[str, Callee]:
    return {tree.name: callee_of(tree, kind) for tree, kind in kinds.items()}


def _auto_scope(tree: ast.FunctionDef) -> bool:
    return not any("auto_scope=False" in ast.unparse(decorator) for decorator in tree.decorator_list)


def _renames(tree: ast.FunctionDef) -> bool:
    return any(".jit" in ast.unparse(decorator) for decorator in tree.decorator_list)
