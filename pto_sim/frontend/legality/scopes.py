"""Scopes: where they may stand, and names that cross their edge."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from pto_sim.frontend.legality.problem import Problem, problem
from pto_sim.frontend.names import bound_names, called_attribute, exposed_names, parameter_names


def placed_scopes(function: ast.FunctionDef, auto_scope: bool) -> Iterator[Problem]:
    """PTO207: a hand-placed pl.scope needs auto_scope=False."""
    if not auto_scope:
        return
    for node in ast.walk(function):
        if isinstance(node, ast.With) and called_attribute(node.items[0].context_expr) == "scope":
            yield problem(
                "PTO207", node, "pl.scope() needs a function with auto_scope=False", "@pl.jit(auto_scope=False)"
            )


def rebound_handles(function: ast.FunctionDef) -> Iterator[Problem]:
    """PTO231: a tensor name rebound to a call's result inside a scope and read after it.

    The compiler gives the new name a handle (`x__ssa_v1`) that is declared inside the scope's block.
    """
    yield from _rebound(function.body, set(parameter_names(function)), [])


def _rebound(body: list[ast.stmt], bound: set[str], after: list[ast.stmt]) -> Iterator[Problem]:
    known = set(bound)
    for place, node in enumerate(body):
        later = [*body[place + 1 :], *after]
        if isinstance(node, ast.With) and called_attribute(node.items[0].context_expr) in ("scope", "manual_scope"):
            read = exposed_names(later)
            for statement in node.body:
                if not isinstance(statement, ast.Assign):
                    continue
                target = statement.targets[0]
                if isinstance(target, ast.Name) and target.id in known & read and _calls_kernel(statement.value):
                    yield problem(
                        "PTO231",
                        statement,
                        f"'{target.id}' is rebound inside a scope and read after it",
                        "call the function bare: it writes its output in place, and the outer name stays valid",
                    )
        for name in ("body", "orelse"):
            yield from _rebound(getattr(node, name, []), known, later)
        known |= bound_names([node])


def _calls_kernel(value: ast.expr) -> bool:
    """Whether the value is a call of a plain name: another kernel function, not an operator of the language."""
    return isinstance(value, ast.Call) and isinstance(value.func, ast.Name)


def sliced_arguments(function: ast.FunctionDef, inlines: frozenset[str]) -> Iterator[Problem]:
    """PTO232: a name bound to `t[a:b]` in orchestration and passed to an inline function loses its static shape."""
    sugar: dict[str, ast.Assign] = {}
    for node in ast.walk(function):
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name) and _sugar(node.value):
            sugar[node.targets[0].id] = node
    for node in ast.walk(function):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in inlines:
            for argument in [*node.args, *(keyword.value for keyword in node.keywords)]:
                if isinstance(argument, ast.Name) and argument.id in sugar:
                    yield problem(
                        "PTO232",
                        sugar[argument.id],
                        f"the slice '{argument.id}' loses its shape in the inline function '{node.func.id}'",
                        f"{argument.id} = pl.slice(t, shape, offset)",
                    )


def _sugar(value: ast.expr) -> bool:
    if not isinstance(value, ast.Subscript):
        return False
    parts = value.slice.elts if isinstance(value.slice, ast.Tuple) else [value.slice]
    return any(isinstance(part, ast.Slice) and (part.lower or part.upper) for part in parts)
