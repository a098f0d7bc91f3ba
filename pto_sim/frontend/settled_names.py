"""Expressions of names and literals alone, whose value the compiler knows if it knows that of the names."""

from __future__ import annotations

import ast
from collections.abc import Iterable

from pto_sim.frontend.names import called_attribute

_FOLDED = frozenset({"cast", "min", "max"})


class SettledNames:
    """The names of a function that may stand for numbers that the compiler knows: parameters, and what follows."""

    def __init__(self, locals_: set[str], parameters: Iterable[str]) -> None:
        self._locals = locals_
        self._candidates = set(parameters)

    def operands(self, nodes: Iterable[ast.expr]) -> list[str] | None:
        """The local names in expressions, sorted; None if anything but such names, literals and arithmetic is there."""
        found: set[str] = set()
        return sorted(found) if all(self._collect(node, found) for node in nodes) else None

    def assigned(self, name: str) -> None:
        """The name was bound to an expression that has operands."""
        self._candidates.add(name)

    def _collect(self, node: ast.expr, found: set[str]) -> bool:
        if isinstance(node, ast.Name):
            if node.id in self._locals:
                found.add(node.id)
                return node.id in self._candidates
            return True
        if isinstance(node, ast.Constant):
            return isinstance(node.value, (int, float))
        if isinstance(node, ast.BinOp):
            parts = [node.left, node.right]
        elif isinstance(node, ast.UnaryOp):
            parts = [node.operand]
        elif isinstance(node, ast.Compare):
            parts = [node.left, *node.comparators]
        elif isinstance(node, ast.BoolOp):
            parts = node.values
        elif isinstance(node, ast.Call) and called_attribute(node) in _FOLDED and isinstance(node.func, ast.Attribute):
            parts = node.args[:1] if called_attribute(node) == "cast" else node.args
        else:
            return False
        return all(self._collect(part, found) for part in parts)
