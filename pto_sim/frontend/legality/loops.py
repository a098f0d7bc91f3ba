"""Loops: explicit carried values, conditions, bounds that must be constants."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from pto_sim.frontend.legality.problem import Problem, problem
from pto_sim.frontend.legality.surroundings import Surroundings
from pto_sim.frontend.names import bound_names, called_attribute, loaded_names, parameter_names

LOOPS = ("range", "pipeline", "parallel", "unroll", "while_", "spmd", "split_aiv")


def carried_values(function: ast.FunctionDef, around: Surroundings) -> Iterator[Problem]:
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
        if "init_values" in keywords:
            yield from _carries(node)
    for node in ast.walk(function):
        if isinstance(node, ast.Call) and called_attribute(node) == "cond" and id(node) not in firsts:
            yield problem("PTO225", node, "pl.cond is the first statement of a pl.while_", "move it there")


def _carries(node: ast.For) -> Iterator[Problem]:
    """A loop with init_values names as many values as it starts with, and ends with `y = pl.yield_(...)`."""
    assert isinstance(node.iter, ast.Call)
    values = next(k.value for k in node.iter.keywords if k.arg == "init_values")
    if not isinstance(values, (ast.Tuple, ast.List)):
        yield problem("PTO227", values, "init_values= is a tuple written in place", "init_values=(a, b)")
    last = node.body[-1]
    yields = [n for s in node.body for n in ast.walk(s) if called_attribute(n) == "yield_"]
    if not yields:
        yield problem("PTO227", node, "a loop with init_values ends with pl.yield_", "y = pl.yield_(new_value)")
    elif isinstance(last, ast.Expr) and called_attribute(last.value) == "yield_":
        yield problem(
            "PTO227", last, "the pl.yield_ of a loop with init_values has a target", "y = pl.yield_(new_value)"
        )
    names = node.target.elts[-1] if isinstance(node.target, ast.Tuple) and node.target.elts else None
    if called_attribute(node.iter) == "while_":
        names = node.target
    if not isinstance(names, ast.Tuple):
        yield problem(
            "PTO227", node.target, "a loop with init_values names them in a tuple", "for i, (x,) in pl.range(n, ...)"
        )
    elif isinstance(values, (ast.Tuple, ast.List)) and len(names.elts) != len(values.elts):
        yield problem(
            "PTO227",
            node.target,
            "a loop names as many carried values as init_values has",
            "for i, (a, b) in pl.range(n, init_values=(x, y))",
            f"{len(names.elts)} names, {len(values.elts)} values",
        )


def iterators(function: ast.FunctionDef, around: Surroundings) -> Iterator[Problem]:
    """PTO254: a `for` over something that is no loop of the language."""
    for node in ast.walk(function):
        if isinstance(node, ast.For) and around.operator(node.iter) not in LOOPS:
            hint = "use pl.range" if called_attribute(node.iter) == "range" else "use pl.range, pl.spmd, pl.unroll, ..."
            yield problem("PTO254", node.iter, "a kernel loops over pl.range and its kin only", hint)


def unrolled_bounds(function: ast.FunctionDef, around: Surroundings) -> Iterator[Problem]:
    """PTO228: pl.unroll has constant bounds, a step other than 0, and carries nothing."""
    local = bound_names(function.body) | set(parameter_names(function))
    for node in ast.walk(function):
        if isinstance(node, ast.Call) and called_attribute(node) == "unroll":
            if loaded_names(list(node.args)) & local:
                yield problem("PTO228", node, "pl.unroll needs constant bounds", "use pl.range, or a constant")
            step = node.args[2] if len(node.args) > 2 else None
            if isinstance(step, ast.Constant) and step.value == 0:
                yield problem("PTO228", node, "the step of pl.unroll is not 0", "pl.unroll(start, stop, 1)")


def inline_optimizations(function: ast.FunctionDef, around: Surroundings) -> Iterator[Problem]:
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
