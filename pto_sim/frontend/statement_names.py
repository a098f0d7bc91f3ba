"""Which names statements bind and read, in the order in which they run."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from pto_sim.frontend.names import bound_names, called_attribute, loaded_names


@dataclass(frozen=True)
class _Names:
    """bound: anywhere in it. definite: whenever it has run to its end. exposed: read before they are bound."""

    bound: frozenset[str]
    definite: frozenset[str]
    exposed: frozenset[str]


class StatementNames:
    """The names of statements, each found once: they may change later, the answer stays that of the first look."""

    def __init__(self, statements: Sequence[ast.stmt] = ()) -> None:
        self._known: dict[int, tuple[ast.stmt, _Names]] = {}
        for statement in statements:
            self._of(statement)

    def bound(self, statements: Iterable[ast.stmt]) -> set[str]:
        """Names that the statements bind by assignment, `for` or `with ... as`."""
        return set().union(*(self._of(statement).bound for statement in statements))

    def definite(self, statements: Iterable[ast.stmt]) -> set[str]:
        """Names that are bound whenever the statements have run to their end."""
        return set().union(*(self._of(statement).definite for statement in statements))

    def exposed(self, statements: Iterable[ast.stmt]) -> set[str]:
        """Names whose value from before the statements may be read by them."""
        exposed: set[str] = set()
        bound: set[str] = set()
        for statement in statements:
            names = self._of(statement)
            exposed |= names.exposed - bound
            bound |= names.definite
        return exposed

    def _of(self, node: ast.stmt) -> _Names:
        known = self._known.get(id(node))
        if known is None:
            known = self._known[id(node)] = (node, self._look(node))
        return known[1]

    def _look(self, node: ast.stmt) -> _Names:
        bound = frozenset(self._bound(node))
        if isinstance(node, ast.If):
            exposed = loaded_names([node.test]) | self.exposed(node.body) | self.exposed(node.orelse)
            return _Names(bound, frozenset(self.definite(node.body) & self.definite(node.orelse)), frozenset(exposed))
        if isinstance(node, ast.For):
            inner = self.exposed(node.body) - bound_names([node.target])
            return _Names(bound, frozenset(), frozenset(loaded_names([node.iter]) | inner))
        if isinstance(node, ast.While):
            return _Names(bound, frozenset(), frozenset(loaded_names([node.test]) | self.exposed(node.body)))
        if isinstance(node, ast.With):
            return self._look_at_with(node, bound)
        return _Names(bound, bound, frozenset(loaded_names([node])))

    def _look_at_with(self, node: ast.With, bound: frozenset[str]) -> _Names:
        own = bound_names([item.optional_vars for item in node.items if item.optional_vars is not None])
        exposed = loaded_names([item.context_expr for item in node.items]) | (self.exposed(node.body) - own)
        runs = called_attribute(node.items[0].context_expr) != "spmd"  # an spmd may have no blocks
        return _Names(bound, frozenset(own | self.definite(node.body) if runs else own), frozenset(exposed))

    def _bound(self, node: ast.AST) -> set[str]:
        found: set[str] = set()
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.stmt):
                found |= self._of(child).bound
            elif isinstance(child, ast.Name):
                found |= bound_names([child])
            else:
                found |= self._bound(child)
        return found


def exposed_names(statements: Sequence[ast.stmt]) -> set[str]:
    """Names whose value from before the statements may be read by them."""
    return StatementNames().exposed(statements)
