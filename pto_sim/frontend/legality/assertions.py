"""What pl.static_assert takes: the compiler decides it while it reads the source.

pypto: python/pypto/language/parser/ast_parser.py, _handle_static_assert.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator

from pto_sim.frontend.legality.problem import Problem, problem
from pto_sim.frontend.legality.surroundings import Surroundings

_RUN_TIME = frozenset({"read", "tensor.read", "tile.read", "get_block_idx", "tile.get_block_idx"})


def static_assertions(function: ast.FunctionDef, around: Surroundings) -> Iterator[Problem]:
    """PTO206: pl.static_assert with a message that is no literal, or over what only the run knows."""
    late = _run_time_names(function, around)
    for node in ast.walk(function):
        if around.operator(node) != "static_assert":
            continue
        assert isinstance(node, ast.Call)
        if len(node.args) not in (1, 2):
            hint = 'pl.static_assert(N % 16 == 0, "N is a multiple of 16")'
            yield problem("PTO206", node, "pl.static_assert takes a condition and a message, by position", hint)
            continue
        message = node.args[1] if len(node.args) == 2 else ast.Constant("")
        if not isinstance(message, ast.Constant) or not isinstance(message.value, str):
            hint = "write the text in place; the error shows the condition with its value"
            yield problem("PTO206", message, "the message of pl.static_assert is a string literal", hint)
        found = sorted({n.id for n in ast.walk(node.args[0]) if isinstance(n, ast.Name)} & late)
        if found:
            yield problem(
                "PTO206", node, "the condition of pl.static_assert is decided before the kernel runs",
                f"assert over constants and extents; '{found[0]}' is known only in the run",
            )  # fmt: skip


def _run_time_names(function: ast.FunctionDef, around: Surroundings) -> set[str]:
    """Names of loop variables, of elements that are read, and of block indices."""
    targets: list[ast.expr] = []
    for node in ast.walk(function):
        if isinstance(node, ast.For):
            targets.append(node.target)
        elif isinstance(node, ast.Assign) and around.operator(node.value) in _RUN_TIME:
            targets.extend(node.targets)
    return {n.id for target in targets for n in ast.walk(target) if isinstance(n, ast.Name)}
