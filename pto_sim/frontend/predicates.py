"""The operands of `predicate=`: the scheduler reads them when the task is ready, and not the orchestration."""

from __future__ import annotations

import ast

from pto_sim.frontend.names import called_attribute

_LAUNCHES = frozenset({"spmd", "submit", "spmd_submit"})


def mark_predicates(function: ast.FunctionDef, runtime: str) -> None:
    """Let every launch of `function` say which elements its predicate reads. runtime: the name of the engine there."""
    for node in ast.walk(function):
        if not isinstance(node, ast.Call) or called_attribute(node) not in _LAUNCHES:
            continue
        for keyword in node.keywords:
            if keyword.arg == "predicate":
                begun = ast.Call(_method(runtime, "predicate_begins"), [], [])
                marked = ast.Call(_method(runtime, "predicate"), [begun, keyword.value], [])
                for made in (begun, begun.func, marked, marked.func):
                    ast.copy_location(made, keyword.value)
                keyword.value = marked


def _method(runtime: str, name: str) -> ast.Attribute:
    return ast.Attribute(ast.Name(runtime, ast.Load()), name, ast.Load())
