"""`with` statements: which contexts there are, how they nest, and what a block of pl.spmd must do.

pypto: python/pypto/language/parser/ast_parser.py (_parse_scope_kind, _emit_spmd_body),
src/ir/verifier/verify_no_nested_incore.cpp.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator

from pto_sim.frontend.legality.problem import Problem, problem
from pto_sim.frontend.legality.surroundings import BUILTINS, Surroundings

MANAGERS = ("at", "spmd", "cluster", "scope", "manual_scope")
_NAMED = ("at", "spmd")
_LAUNCHES = ("at", "spmd")


def unknown_managers(function: ast.FunctionDef, around: Surroundings) -> Iterator[Problem]:
    """PTO258: a context that the language does not have, or `as` on one that gives nothing."""
    for node in ast.walk(function):
        if not isinstance(node, ast.With):
            continue
        name = around.operator(node.items[0].context_expr)
        if name not in MANAGERS:
            known = ", ".join(f"pl.{manager}" for manager in MANAGERS)
            yield problem("PTO258", node, "a with statement opens a scope or a task", f"use one of {known}")
        elif node.items[0].optional_vars is not None and name not in _NAMED:
            yield problem("PTO258", node, f"pl.{name} gives no task id", f"with pl.{name}(...): without `as`")


def spmd_bodies(function: ast.FunctionDef, around: Surroundings) -> Iterator[Problem]:
    """PTO245: the body of `with pl.spmd(n):` reads the block's number, or is exactly one kernel call."""
    for node in ast.walk(function):
        if not isinstance(node, ast.With) or around.operator(node.items[0].context_expr) != "spmd":
            continue
        if _is_task_alone(node.body, around) or _reads_block(node.body):
            continue
        every = [n for s in node.body for n in ast.walk(s) if isinstance(n, ast.Call)]
        calls = [call for call in every if around.callee(call)]
        if not any(_may_launch(call) for call in every):
            yield problem(
                "PTO245",
                node,
                "every block of this pl.spmd would do the same work",
                "read the block with i = pl.tile.get_block_idx(), or write `for i in pl.spmd(n):`",
            )
        if len(calls) > 1:
            yield problem(
                "PTO245",
                node,
                "a pl.spmd that only launches kernels launches one",
                "use one pl.spmd for each kernel",
                f"{len(calls)} calls: {', '.join(ast.unparse(c.func) for c in calls)}",
            )


def _may_launch(call: ast.Call) -> bool:
    """A call of a plain name or a method: a kernel function, perhaps of another module."""
    function = call.func
    if isinstance(function, ast.Name):
        return function.id not in BUILTINS
    return isinstance(function, ast.Attribute) and isinstance(function.value, ast.Name) and function.value.id == "self"


def _is_task_alone(body: list[ast.stmt], around: Surroundings) -> bool:
    first = body[0]
    return len(body) == 1 and isinstance(first, ast.With) and around.operator(first.items[0].context_expr) == "at"


def _reads_block(body: list[ast.stmt]) -> bool:
    names = (n.attr if isinstance(n, ast.Attribute) else n.id for s in body for n in ast.walk(s)
             if isinstance(n, (ast.Attribute, ast.Name)))  # fmt: skip
    return "get_block_idx" in names


def nested_contexts(function: ast.FunctionDef, around: Surroundings) -> Iterator[Problem]:
    """PTO204: a task inside a task. PTO207: a scope inside a task, a manual scope, or where scopes are automatic."""
    yield from _nested(function.body, around, [])


def _nested(body: list[ast.stmt], around: Surroundings, outer: list[str]) -> Iterator[Problem]:
    for node in body:
        inner = outer
        if isinstance(node, ast.With):
            name = _scope_name(node.items[0].context_expr, around)
            if name is not None:
                yield from _judge(node, name, around, outer)
                carried = name == "spmd" and _is_task_alone(node.body, around)
                inner = [*outer, "spmd carrier" if carried else name]
        elif isinstance(node, ast.For) and around.operator(node.iter) == "spmd":
            yield from _judge(node, "spmd", around, outer)
            inner = [*outer, "spmd"]
        for field in ("body", "orelse"):
            yield from _nested(getattr(node, field, []), around, inner)


def _scope_name(call: ast.expr, around: Surroundings) -> str | None:
    """'at', 'spmd', 'auto' or 'manual'; None for a context that matters to no rule of nesting."""
    name = around.operator(call)
    if name == "manual_scope":
        return "manual"
    if name == "scope":
        assert isinstance(call, ast.Call)
        modes = [*call.args, *(k.value for k in call.keywords if k.arg == "mode")]
        return "manual" if modes and ast.unparse(modes[0]).endswith("MANUAL") else "auto"
    if name == "at":
        assert isinstance(call, ast.Call)
        levels = [*call.args, *(k.value for k in call.keywords if k.arg == "level")]
        return "at" if levels and ast.unparse(levels[0]).endswith("CORE_GROUP") else None
    return "spmd" if name == "spmd" else None


def _judge(node: ast.stmt, name: str, around: Surroundings, outer: list[str]) -> Iterator[Problem]:
    head = node.items[0].context_expr if isinstance(node, ast.With) else node
    task = next((o for o in outer if o in _LAUNCHES), None)
    if name in _LAUNCHES and task is not None:
        yield problem(
            "PTO204", head, f"a task cannot launch another task: pl.{name} inside pl.{task}", "launch both from outside"
        )
    if name in ("auto", "manual"):
        if task is not None:
            yield problem("PTO207", head, f"a scope belongs around a task, not inside pl.{task}", "open it outside")
        elif name == "auto" and around.auto_scope:
            yield problem(
                "PTO207", head, "pl.scope() needs a function with auto_scope=False", "@pl.jit(auto_scope=False)"
            )
        elif "manual" in outer:
            yield problem("PTO207", head, f"no {name} scope stands inside a manual scope", "close the manual one first")
