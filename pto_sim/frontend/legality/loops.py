"""Loops: explicit carried values, conditions, bounds that must be constants."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from pto_sim.frontend.legality.problem import Problem, problem
from pto_sim.frontend.names import bound_names, called_attribute, loaded_names, parameter_names


def carried_values(function: ast.FunctionDef) -> Iterator[Problem]:
    """PTO225: pl.cond comes first in pl.while_. PTO226: pl.while_ has init_values. PTO227: pl.yield_ gives."""
    firsts = set()
    for node in ast.walk(function):
        if not isinstance(node, ast.For) or not isinstance(node.iter, ast.Call):
            continue
        keywords = {keyword.arg for keyword in node.iter.keywords}
        if called_attribute(node.iter) == "while_":
            if "init_values" not in keywords:
                yield problem("PTO226", node.iter, "pl.while_ needs init_values=", "or write a plain while")
            first = node.body[0]
            if isinstance(first, ast.Expr) and called_attribute(first.value) == "cond":
                firsts.add(id(first.value))
            else:
                yield problem("PTO225", first, "pl.while_ begins with pl.cond", "put pl.cond(c) first")
        if "init_values" in keywords and not _yields(node.body):
            yield problem("PTO227", node, "a loop with init_values ends with pl.yield_", "y = pl.yield_(new_value)")
    for node in ast.walk(function):
        if isinstance(node, ast.Call) and called_attribute(node) == "cond" and id(node) not in firsts:
            yield problem("PTO225", node, "pl.cond is the first statement of a pl.while_", "move it there")
        if isinstance(node, ast.Call) and called_attribute(node) == "yield_" and not node.args:
            yield problem("PTO227", node, "pl.yield_ gives at least one value", "pl.yield_(x)")


def _yields(body: list[ast.stmt]) -> bool:
    return any(called_attribute(node) == "yield_" for statement in body for node in ast.walk(statement))


def unrolled_bounds(function: ast.FunctionDef) -> Iterator[Problem]:
    """PTO228: pl.unroll has constant bounds, a step other than 0, and carries nothing."""
    local = bound_names(function.body) | set(parameter_names(function))
    for node in ast.walk(function):
        if isinstance(node, ast.Call) and called_attribute(node) == "unroll":
            if loaded_names(list(node.args)) & local:
                yield problem("PTO228", node, "pl.unroll needs constant bounds", "use pl.range, or a constant")
            if any(keyword.arg == "init_values" for keyword in node.keywords):
                yield problem("PTO228", node, "pl.unroll carries no values", "rebind the name in the body")


def inline_optimizations(function: ast.FunctionDef) -> Iterator[Problem]:
    """PTO233: optimizations= is a list written in place."""
    for node in ast.walk(function):
        if (
            isinstance(node, ast.keyword)
            and node.arg == "optimizations"
            and not isinstance(node.value, (ast.List, ast.Tuple))
        ):
            yield problem(
                "PTO233", node.value, "optimizations= is a list written in place", "optimizations=[pl.split(...)]"
            )
