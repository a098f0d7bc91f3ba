"""Conditions of branches that the compiler may settle before the run."""

from __future__ import annotations

import ast
import copy
from collections.abc import Mapping
from typing import Any, NamedTuple

_PLAIN = (
    ast.Expression, ast.Name, ast.Constant, ast.Compare, ast.BoolOp, ast.UnaryOp, ast.BinOp, ast.expr_context,
    ast.cmpop, ast.boolop, ast.unaryop, ast.operator,
)  # fmt: skip


class Test(NamedTuple):
    """The condition of an `if`. counters: the loop variables in it, with the arguments of their pl.range."""

    condition: ast.expr
    counters: tuple[tuple[str, tuple[ast.expr, ...]], ...] = ()


def test_ends(test: Test) -> list[ast.expr] | None:
    """What decides a test: itself, or if a loop variable is compared, the comparison at both ends of its range.

    None for a condition of which nothing follows at the ends: one of several loop variables, or not an order.
    """
    if not test.counters:
        return [copy.deepcopy(test.condition)]
    (name, bounds), *others = test.counters
    ends = _first_last(bounds)
    if others or ends is None or not _is_order(test.condition, name):
        return None
    return [_Replaced(name, end).visit(copy.deepcopy(test.condition)) for end in ends]


def _is_order(condition: ast.expr, counter: str) -> bool:
    """Whether a condition is one order comparison, whose sides grow or fall steadily with the loop variable."""
    if not isinstance(condition, ast.Compare) or len(condition.ops) > 1:
        return False
    if not isinstance(condition.ops[0], (ast.Lt, ast.LtE, ast.Gt, ast.GtE)):
        return False
    inside = [node for node in ast.walk(condition) if isinstance(node, ast.BinOp)]
    steady = all(isinstance(node.op, (ast.Add, ast.Sub, ast.Mult)) for node in inside)
    return steady and sum(isinstance(node, ast.Name) and node.id == counter for node in ast.walk(condition)) == 1


def _first_last(bounds: tuple[ast.expr, ...]) -> tuple[ast.expr, ast.expr] | None:
    """The first and the last value of a loop; None unless its step is a positive literal."""
    first = bounds[0] if len(bounds) > 1 else ast.Constant(0)
    step = bounds[2] if len(bounds) > 2 else ast.Constant(1)
    if not (isinstance(step, ast.Constant) and isinstance(step.value, int) and step.value > 0):
        return None
    reach = ast.BinOp(
        ast.BinOp(bounds[1] if len(bounds) > 1 else bounds[0], ast.Sub(), first), ast.Sub(), ast.Constant(1)
    )
    turns = ast.BinOp(ast.BinOp(reach, ast.FloorDiv(), step), ast.Mult(), step)
    return first, ast.BinOp(first, ast.Add(), turns)


class _Replaced(ast.NodeTransformer):
    """A condition with an expression in place of a name."""

    def __init__(self, name: str, value: ast.expr) -> None:
        self._name, self._value = name, value

    def visit_Name(self, node: ast.Name) -> ast.expr:
        return copy.deepcopy(self._value) if node.id == self._name else node


def constant_verdict(test: ast.expr, constants: Mapping[str, Any]) -> bool | None:
    """What a test of literals and module constants says, None for any other."""
    if not all(isinstance(node, _PLAIN) for node in ast.walk(test)):
        return None
    names = {node.id for node in ast.walk(test) if isinstance(node, ast.Name)}
    values = {name: constants[name] for name in names if name in constants}
    if len(values) < len(names) or not all(isinstance(value, (bool, int, float)) for value in values.values()):
        return None
    return bool(eval(compile(ast.fix_missing_locations(ast.Expression(test)), "<test>", "eval"), values))
