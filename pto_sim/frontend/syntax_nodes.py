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
