"""What `predicate=` may be: the scheduler compares one element of a tensor with one integer, and computes nothing.

pypto: python/pypto/language/parser/ast_parser.py, _validate_predicate_shape.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator

from pto_sim.frontend.legality.problem import Problem, problem
from pto_sim.frontend.legality.surroundings import Surroundings

_LAUNCHES = ("spmd", "submit", "spmd_submit")
_COMPARISONS = (ast.Eq, ast.NotEq, ast.Gt, ast.Lt, ast.GtE, ast.LtE)
_READS = ("read", "tensor.read", "tile.read")
_HINT = "predicate=(t[i, j] > 0): one element against one integer; compute the rest in the task that writes t"


def dispatch_predicates(function: ast.FunctionDef, around: Surroundings) -> Iterator[Problem]:
    """PTO270: predicate= is one comparison of an element of a tensor with an integer."""
    for node in ast.walk(function):
        if around.operator(node) in _LAUNCHES:
            assert isinstance(node, ast.Call)
            for keyword in node.keywords:
                if keyword.arg == "predicate":
                    yield from _predicate(keyword.value, around)


def _predicate(value: ast.expr, around: Surroundings) -> Iterator[Problem]:
    if not isinstance(value, ast.Compare):
        none = isinstance(value, ast.Constant) and value.value is None
        hint = "leave predicate= out: the task is dispatched unconditionally" if none else _HINT
        yield problem("PTO270", value, "predicate= is a comparison", hint)
        return
    if len(value.ops) > 1 or not isinstance(value.ops[0], _COMPARISONS):
        yield problem("PTO270", value, "predicate= is one comparison: ==, !=, <, <=, > or >=", _HINT)
        return
    sides = (value.left, value.comparators[0])
    elements = [side for side in sides if _is_element(side, around)]
    if not elements:
        yield problem("PTO270", value, "predicate= compares an element of a tensor", _HINT)
        return
    constant = sides[1] if elements[0] is sides[0] else sides[0]
    if len(elements) > 1 or not _may_be_integer(constant, around):
        yield problem("PTO270", value, "predicate= compares an element with a constant integer", _HINT)
        return
    yield from _negative_index(elements[0])


def _is_element(node: ast.expr, around: Surroundings) -> bool:
    """Whether it reads one element; a conversion of what was read goes with it."""
    while around.operator(node) == "cast" and isinstance(node, ast.Call) and node.args:
        node = node.args[0]
    return isinstance(node, ast.Subscript) or around.operator(node) in _READS


def _may_be_integer(node: ast.expr, around: Surroundings) -> bool:
    """False where it is a number of another type, or something that only the run knows."""
    for part in ast.walk(node):
        if isinstance(part, ast.Constant) and type(part.value) is not int:
            return False
        if around.operator(part) is not None and around.operator(part) != "const":
            return False
    return True


def _negative_index(element: ast.expr) -> Iterator[Problem]:
    if not isinstance(element, ast.Subscript):
        return
    indices = element.slice.elts if isinstance(element.slice, ast.Tuple) else [element.slice]
    for index in indices:
        if (
            isinstance(index, ast.UnaryOp)
            and isinstance(index.op, ast.USub)
            and isinstance(index.operand, ast.Constant)
        ):
            yield problem(
                "PTO270", index, "an index in predicate= is not negative: the scheduler keeps it as an unsigned number",
                "count from the front",
            )  # fmt: skip
