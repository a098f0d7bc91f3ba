"""pl.split_aiv: once a task opens such a region, its vector work stands in regions and its cube work outside.

pypto: src/ir/verifier/verify_aiv_split.cpp. What depends on shapes (the axis of a reduction) is checked by the engine.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Sequence

from pto_sim.frontend.legality.problem import Problem, problem
from pto_sim.frontend.legality.surroundings import Surroundings
from pto_sim.numerics.optable import OP_TABLE

_TASKS = ("at", "spmd")


def split_regions(function: ast.FunctionDef, around: Surroundings) -> Iterator[Problem]:
    """PTO246: a cube operator in a region, a vector operator outside one, a region inside a region, a wrong head."""
    for node in ast.walk(function):
        if isinstance(node, ast.For) and around.operator(node.iter) == "split_aiv":
            yield from _head(node)
            yield from _inside(node, around)
    for body in _task_bodies(function, around):
        if _has_region(body, around):
            yield from _outside(body, around)


def _head(node: ast.For) -> Iterator[Problem]:
    call = node.iter
    assert isinstance(call, ast.Call)
    if not any(keyword.arg == "mode" for keyword in call.keywords):
        yield problem("PTO246", call, "pl.split_aiv needs mode=", "pl.split_aiv(2, mode=pl.SplitMode.NONE)")
    if not isinstance(node.target, ast.Name):
        yield problem(
            "PTO246", node.target, "pl.split_aiv gives one name, the lane", "for lane in pl.split_aiv(2, ...)"
        )


def _inside(region: ast.For, around: Surroundings) -> Iterator[Problem]:
    for statement in region.body:
        for node in ast.walk(statement):
            name = around.operator(node)
            if name is None:
                continue
            if name == "split_aiv":
                yield problem("PTO246", node, "pl.split_aiv cannot be nested", "close the outer region first")
            elif _unit(name) == "M":
                yield problem(
                    "PTO246",
                    node,
                    f"pl.{name} is cube work; the body of pl.split_aiv runs on the vector cores",
                    "move it before the region, and bring its result in with pl.aiv_shard(x)",
                )


def _outside(body: Sequence[ast.stmt], around: Surroundings) -> Iterator[Problem]:
    for node in body:
        if isinstance(node, ast.For) and around.operator(node.iter) == "split_aiv":
            continue
        heads: list[ast.AST] = [node]
        nested = [inner for field in ("body", "orelse") for inner in getattr(node, field, [])]
        if nested:
            heads = [getattr(node, field) for field in ("test", "iter") if hasattr(node, field)]
        for head in heads:
            for call in ast.walk(head):
                name = around.operator(call)
                if name is not None and _unit(name) == "V":
                    yield problem(
                        "PTO246",
                        call,
                        f"pl.{name} is vector work outside every pl.split_aiv of its task",
                        "wrap it: for _ in pl.split_aiv(2, mode=pl.SplitMode.NONE):",
                    )
        yield from _outside(nested, around)


def _unit(name: str) -> str:
    """'V' or 'M' for an operator of the table, '' for anything else (loads, stores and buffers belong to both)."""
    row = OP_TABLE.get(name.split(".")[-1])
    return row.unit if row is not None and name.split(".")[-1] != "full" else ""


def _task_bodies(function: ast.FunctionDef, around: Surroundings) -> Iterator[Sequence[ast.stmt]]:
    found = False
    for node in ast.walk(function):
        if (isinstance(node, ast.With) and around.operator(node.items[0].context_expr) in _TASKS) or (
            isinstance(node, ast.For) and around.operator(node.iter) == "spmd"
        ):
            found = True
            yield node.body
    if not found:
        yield function.body  # a device function is one task


def _has_region(body: Sequence[ast.stmt], around: Surroundings) -> bool:
    return any(around.operator(node) == "split_aiv" for statement in body for node in ast.walk(statement))
