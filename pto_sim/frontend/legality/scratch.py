"""The lint "declare scratch at first use": a buffer stands right before the first block that uses it."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from pto_sim.frontend.legality.problem import Problem, problem
from pto_sim.frontend.legality.surroundings import Surroundings
from pto_sim.frontend.names import called_attribute, loaded_names


def late_scratch(function: ast.FunctionDef, around: Surroundings) -> Iterator[Problem]:
    """PTO234: a create_tensor whose first use is further down, or only inside one scope below it.

    A buffer that is written inside a scope and read after it belongs before that scope, where it may stand.
    """
    yield from _walk(function.body)


def _walk(body: list[ast.stmt]) -> Iterator[Problem]:
    for place, node in enumerate(body):
        if isinstance(node, ast.Assign) and called_attribute(node.value) == "create_tensor":
            target = node.targets[0]
            if isinstance(target, ast.Name):
                yield from _judge(target.id, node, body[place + 1 :])
        for name in ("body", "orelse"):
            yield from _walk(getattr(node, name, []))


def _judge(name: str, node: ast.Assign, rest: list[ast.stmt]) -> Iterator[Problem]:
    uses = [statement for statement in rest if name in loaded_names([statement])]
    if not uses:
        return
    first = uses[0]
    if len(uses) == 1 and isinstance(first, ast.With) and called_attribute(first.items[0].context_expr) == "scope":
        inner = next(statement for statement in first.body if name in loaded_names([statement]))
        yield problem(
            "PTO234",
            node,
            f"'{name}' is used in one scope only",
            f"declare it in the scope, before line {inner.lineno}",
        )
        return
    between = rest[: rest.index(first)]
    if any(isinstance(statement, (ast.With, ast.For, ast.While)) for statement in between):
        yield problem(
            "PTO234",
            node,
            f"'{name}' is declared before blocks that do not use it",
            f"declare it before line {first.lineno}",
        )
