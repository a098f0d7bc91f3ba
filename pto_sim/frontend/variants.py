"""Scope variants of a kernel: one transform of its source, so that nobody writes a kernel twice.

`scopes`: 'written' leaves them, 'flat' dissolves every `with pl.scope()` into its surroundings, 'auto' does
that and runs the function with automatic scopes. `hoist`: names of create_tensor results that are declared
at the frame, just before the outermost scope that holds them.
"""

from __future__ import annotations

import ast
from collections.abc import Sequence
from dataclasses import dataclass

from pto_sim.frontend.names import bound_names, called_attribute, loaded_names, parameter_names
from pto_sim.program.errors import InputError
from pto_sim.program.model import Site

SCOPE_MODES = ("written", "flat", "auto")


@dataclass(frozen=True)
class Variant:
    """Which transform to apply to every function of a kernel."""

    scopes: str = "written"
    hoist: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.scopes not in SCOPE_MODES:
            raise InputError(
                "PTO012",
                f"there is no scope variant {self.scopes!r}",
                hint=f"choose one of {', '.join(SCOPE_MODES)}",
            )

    def describe(self) -> str:
        """Short text for reports: 'written', 'flat', 'written, hoist a+b'."""
        return self.scopes + (f", hoist {'+'.join(self.hoist)}" if self.hoist else "")


def apply_variant(function: ast.FunctionDef, variant: Variant, file: str) -> set[str]:
    """Transform `function` in place; returns the hoisted names that it held.

    Raises InputError (PTO012) if a hoisted buffer's shape needs a name that is bound inside its scope.
    """
    found: set[str] = set()
    if variant.hoist:
        function.body, found = _hoist(function, function.body, set(variant.hoist), file)
    if variant.scopes != "written":
        function.body = _flatten(function.body)
    return found


def _is_scope(node: ast.stmt) -> bool:
    return isinstance(node, ast.With) and called_attribute(node.items[0].context_expr) == "scope"


def _flatten(statements: Sequence[ast.stmt]) -> list[ast.stmt]:
    result: list[ast.stmt] = []
    for node in statements:
        for field in ("body", "orelse"):
            if getattr(node, field, None):
                setattr(node, field, _flatten(getattr(node, field)))
        if _is_scope(node):
            assert isinstance(node, ast.With)
            result.extend(node.body)
        else:
            result.append(node)
    return result


def _hoist(
    function: ast.FunctionDef, statements: Sequence[ast.stmt], names: set[str], file: str
) -> tuple[list[ast.stmt], set[str]]:
    result: list[ast.stmt] = []
    found: set[str] = set()
    visible = set(parameter_names(function))
    for node in statements:
        if _is_scope(node):
            assert isinstance(node, ast.With)
            moved = _take(node, names)
            hidden = bound_names(node.body) - visible
            for declaration in moved:
                _check_movable(declaration, hidden, function.name, file)
                found |= bound_names([declaration])
            result.extend(moved)
        elif isinstance(node, ast.Assign) and _declares(node, names):
            found |= bound_names([node])
        visible |= bound_names([node]) if not _is_scope(node) else set()
        result.append(node)
    return result, found


def _declares(node: ast.stmt, names: set[str]) -> bool:
    return (
        isinstance(node, ast.Assign)
        and isinstance(node.targets[0], ast.Name)
        and node.targets[0].id in names
        and called_attribute(node.value) == "create_tensor"
    )


def _take(node: ast.With, names: set[str]) -> list[ast.stmt]:
    """Remove the declarations of `names` from a scope and the scopes inside it."""
    moved = [child for child in node.body if _declares(child, names)]
    node.body = [child for child in node.body if child not in moved]
    for child in node.body:
        if _is_scope(child):
            assert isinstance(child, ast.With)
            moved.extend(_take(child, names))
    if not node.body:
        node.body = [ast.copy_location(ast.Pass(), node)]
    return moved


def _check_movable(declaration: ast.stmt, hidden: set[str], function: str, file: str) -> None:
    assert isinstance(declaration, ast.Assign)
    needed = loaded_names([declaration.value]) & hidden
    if needed:
        raise InputError(
            "PTO012",
            f"'{', '.join(sorted(bound_names([declaration])))}' cannot be declared at the frame",
            site=Site(file, declaration.lineno, function),
            values=f"its shape needs {', '.join(sorted(needed))}, bound inside the scope",
            hint="hoist another name, or compute the size before the scope",
        )
