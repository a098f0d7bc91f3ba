"""Pieces of syntax that the rewrite puts into a kernel."""

from __future__ import annotations

import ast
from collections.abc import Sequence

RUNTIME = "__pto"


def at(place: ast.AST, node):  # type: ignore[no-untyped-def]
    """Give `node` and its new children the line of `place`."""
    ast.copy_location(node, place)
    for child in ast.walk(node):
        if "lineno" in child._attributes and not hasattr(child, "lineno"):
            ast.copy_location(child, place)
    return node


def load(name: str) -> ast.Name:
    """`name`, read."""
    return ast.Name(name, ast.Load())


def store(name: str) -> ast.Name:
    """`name`, bound."""
    return ast.Name(name, ast.Store())


def loads(names: Sequence[str]) -> ast.Tuple:
    """`(a, b)` of names, read."""
    return ast.Tuple([load(name) for name in names], ast.Load())


def strings(names: Sequence[str]) -> ast.Tuple:
    """`('a', 'b')`."""
    return ast.Tuple([ast.Constant(name) for name in names], ast.Load())


def stores(names: Sequence[str]) -> ast.Tuple:
    """`(a, b)` of names, bound."""
    return ast.Tuple([store(name) for name in names], ast.Store())


def method(part: str, name: str) -> ast.Attribute:
    """`part.name`."""
    return ast.Attribute(load(part), name, ast.Load())


def call(name: str, *arguments: ast.expr) -> ast.Call:
    """A call of the runtime object that a rewritten function gets."""
    return ast.Call(ast.Attribute(load(RUNTIME), name, ast.Load()), list(arguments), [])


def leave(node: ast.stmt, part: str, names: Sequence[str]) -> list[ast.stmt]:
    """The statements have run: tell `part` what they left the names with."""
    if not names:
        return []
    return [at(node, ast.Expr(ast.Call(method(part, "leave"), [loads(names)], [])))]


def restore(node: ast.stmt, part: str, names: Sequence[str]) -> list[ast.stmt]:
    """Give the names back what `part` saved."""
    if not names:
        return []
    return [at(node, ast.Assign([stores(names)], method(part, "saved")))]


def join(node: ast.stmt, part: str, names: Sequence[str]) -> list[ast.stmt]:
    """Bind the names to what `part` makes of all its parts."""
    if not names:
        return []
    return [at(node, ast.Assign([stores(names)], ast.Call(method(part, "join"), [], [])))]


def touch_entry(name: str, reads: bool, writes: bool | None, verdicts: list[ast.expr], rule: ast.boolop) -> ast.expr:
    """A touch, as the run-time object takes it. writes: None if the task is to say so itself."""
    holds = ast.BoolOp(rule, verdicts) if len(verdicts) > 1 else verdicts[0] if verdicts else ast.Constant(value=True)
    return ast.Tuple([load(name), ast.Constant(reads), ast.Constant(writes), holds], ast.Load())
