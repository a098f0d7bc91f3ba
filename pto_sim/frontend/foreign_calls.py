"""Calls of ordinary Python functions with values of the kernel.

The parser knows pl's operators and kernel functions; a helper that it has not decorated it cannot look into
(pypto: python/pypto/language/parser/ast_parser.py, parse_call). Calls on constants alone are folded: they may stay.
"""

from __future__ import annotations

import ast
import types
from collections.abc import Iterator, Mapping
from typing import Any

from pto_sim.frontend.legality.problem import Problem, problem
from pto_sim.frontend.names import bound_names, loaded_names, parameter_names

_EVALUATED = ("deps", "attrs")


def foreign_calls(function: ast.FunctionDef, constants: Mapping[str, Any]) -> Iterator[Problem]:
    """PTO221: a Python function called with a local value. constants: what the free names stand for."""
    own = bound_names(function.body) | set(parameter_names(function))
    evaluated = {
        id(inner)
        for node in ast.walk(function)
        if isinstance(node, ast.keyword) and node.arg in _EVALUATED
        for inner in ast.walk(node.value)
    }
    for node in ast.walk(function):
        if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Name) or id(node) in evaluated:
            continue
        called = constants.get(node.func.id)
        given = loaded_names([*node.args, *(k.value for k in node.keywords)])
        if isinstance(called, types.FunctionType) and given & own:
            yield problem(
                "PTO221",
                node,
                f"a kernel does not call the Python function '{node.func.id}'",
                "decorate it with @pl.jit.inline (in a pl.program: @pl.inline), so that its body is part of the kernel",
            )
