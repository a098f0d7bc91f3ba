"""Names that cross the edge of a scope or of an inline function: two traps of older compilers."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from pto_sim.frontend.legality.problem import Problem, problem
from pto_sim.frontend.legality.surroundings import BUILTINS, Surroundings
from pto_sim.frontend.names import bound_names, called_attribute, parameter_names
from pto_sim.frontend.statement_names import exposed_names


def rebound_handles(function: ast.FunctionDef, around: Surroundings) -> Iterator[Problem]:
    """PTO231: a tensor name rebound to a call's result inside a scope and read after it.

    The compiler gives the new name a handle (`x__ssa_v1`) that is declared inside the scope's block.
    """
    yield from _rebound(function.body, set(parameter_names(function)), [], around)


def _rebound(body: list[ast.stmt], bound: set[str], after: list[ast.stmt], around: Surroundings) -> Iterator[Problem]:
    known = set(bound)
    for place, node in enumerate(body):
        later = [*body[place + 1 :], *after]
        if isinstance(node, ast.With) and called_attribute(node.items[0].context_expr) in ("scope", "manual_scope"):
            read = exposed_names(later)
            for statement in node.body:
                if not isinstance(statement, ast.Assign):
                    continue
                target = statement.targets[0]
                if (
                    isinstance(target, ast.Name)
                    and target.id in known & read
                    and _calls_inline(statement.value, around)
                ):
                    yield problem(
                        "PTO231",
                        statement,
                        f"'{target.id}' is rebound inside a scope and read after it",
                        "call the function bare: it writes its output in place, and the outer name stays valid",
                    )
        for name in ("body", "orelse"):
            yield from _rebound(getattr(node, name, []), known, later, around)
        known |= bound_names([node])


def _calls_inline(value: ast.expr, around: Surroundings) -> bool:
    """Whether the value is a call of an inline function, perhaps of another module.

    A device function is no such case: its result has to be taken (PTO241).
    """
    if not isinstance(value, ast.Call) or not isinstance(value.func, ast.Name):
        return False
    callee = around.callee(value)
    return value.func.id not in BUILTINS if callee is None else callee.kind == "inline"


def sliced_arguments(function: ast.FunctionDef, around: Surroundings) -> Iterator[Problem]:
    """PTO232: a name bound to `t[a:b]` in orchestration and passed to an inline function loses its static shape."""
    sugar: dict[str, ast.Assign] = {}
    for node in ast.walk(function):
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name) and _sugar(node.value):
            sugar[node.targets[0].id] = node
    for node in ast.walk(function):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and _is_inline(node, around):
            for argument in [*node.args, *(keyword.value for keyword in node.keywords)]:
                if isinstance(argument, ast.Name) and argument.id in sugar:
                    yield problem(
                        "PTO232",
                        sugar[argument.id],
                        f"the slice '{argument.id}' loses its shape in the inline function '{node.func.id}'",
                        f"{argument.id} = pl.slice(t, shape, offset)",
                    )


def _is_inline(call: ast.Call, around: Surroundings) -> bool:
    callee = around.callee(call)
    return callee is not None and callee.kind == "inline"


def _sugar(value: ast.expr) -> bool:
    if not isinstance(value, ast.Subscript):
        return False
    parts = value.slice.elts if isinstance(value.slice, ast.Tuple) else [value.slice]
    return any(isinstance(part, ast.Slice) and (part.lower or part.upper) for part in parts)
