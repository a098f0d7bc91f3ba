"""Which assignments may give a name a new type.

Under pl.jit a name that is bound again at the block depth of its first binding is renamed, so its type is free. Deeper
inside, and everywhere in a pl.function, it stays the same variable (pypto: python/pypto/jit/specializer.py,
_visit_simple_assign and _classify_loop_locals; python/pypto/language/parser/ast_parser.py, _assign_or_let).
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager

from pto_sim.frontend.statement_names import StatementNames


class TypedNames:
    """The depth at which each name was bound first, while a function is walked in order."""

    def __init__(self, parameters: Iterable[str], names: StatementNames, renames: bool) -> None:
        self._names = names
        self._renames = renames
        self._depth = 0
        self._first = dict.fromkeys(parameters, 0)

    def keeps_type(self, name: str) -> bool:
        """Whether an assignment to `name` here must keep its type; the first one binds it."""
        first = self._first.setdefault(name, self._depth)
        return not self._renames or first != self._depth

    def bind(self, names: Iterable[str]) -> None:
        """Names that a tuple assignment binds here."""
        for name in names:
            self._first.setdefault(name, self._depth)

    @contextmanager
    def deeper(self) -> Iterator[None]:
        """The statements of a block."""
        self._depth += 1
        yield
        self._depth -= 1

    @contextmanager
    def arms(self) -> Iterator[Callable[[], None]]:
        """The two arms of an `if`: what the first one bound first is unknown to the second. Call it between them."""
        before = set(self._first)

        def other_arm() -> None:
            for name in set(self._first) - before:
                del self._first[name]

        yield other_arm

    @contextmanager
    def loop(self, node: ast.For) -> Iterator[None]:
        """The body of a loop: a name of a sibling block is carried if the body reads it first, else it is new."""
        exposed = self._names.exposed(node.body)
        assigned = self._names.bound([s for s in node.body if isinstance(s, (ast.Assign, ast.AnnAssign))])
        for name in assigned:
            if self._first.get(name) == self._depth + 1:
                if name in exposed:
                    self._first[name] = self._depth
                elif self._renames:
                    del self._first[name]
        with self.deeper():
            yield
