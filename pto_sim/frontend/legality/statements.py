"""Statements and expressions that the language does not have (pypto: python/pypto/language/parser/ast_parser.py)."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from pto_sim.frontend.legality.problem import Problem, problem
from pto_sim.frontend.legality.surroundings import Surroundings
from pto_sim.frontend.names import called_attribute

_STATEMENTS = (
    ast.Assign, ast.AnnAssign, ast.For, ast.While, ast.If, ast.With, ast.Return, ast.Pass,
    ast.Break, ast.Continue, ast.Expr,
)  # fmt: skip
_EXPRESSIONS = {
    ast.Lambda: "lambda", ast.IfExp: "conditional expression", ast.Dict: "dict", ast.Set: "set",
    ast.DictComp: "dict comprehension", ast.SetComp: "set comprehension", ast.GeneratorExp: "generator",
    ast.ListComp: "list comprehension", ast.JoinedStr: "f-string", ast.NamedExpr: "assignment expression",
    ast.Await: "await", ast.Yield: "yield", ast.YieldFrom: "yield from", ast.Starred: "star argument",
}  # fmt: skip

_FOREIGN_TEXT = """
print input eval exec sorted sum zip map filter enumerate reversed isinstance getattr setattr vars type
"""
_FOREIGN = frozenset(_FOREIGN_TEXT.split())
_CONTAINER = frozenset(("append", "extend", "insert", "pop", "setdefault"))


def unknown_statements(function: ast.FunctionDef, around: Surroundings) -> Iterator[Problem]:
    """PTO220: a statement other than assignment, for, while, if, with, return, pass, break, continue and calls."""
    for node in _statements(function.body):
        if isinstance(node, ast.AugAssign):
            yield problem("PTO220", node, "there is no augmented assignment", "write x = x + 1")
        elif not isinstance(node, _STATEMENTS):
            name = type(node).__name__
            yield problem("PTO220", node, f"a kernel has no {name} statement", "move it out of the kernel")


def unknown_expressions(function: ast.FunctionDef, around: Surroundings) -> Iterator[Problem]:
    """PTO221: an expression that the parser does not know. f-strings belong in pl.static_print, lists in deps=."""
    allowed = _allowed(function, around)
    for statement in function.body:
        for node in ast.walk(statement):
            if id(node) in allowed:
                continue
            for kind, text in _EXPRESSIONS.items():
                if isinstance(node, kind):
                    yield problem("PTO221", node, f"a kernel has no {text}", _HINT)
            if isinstance(node, ast.Compare):
                yield from _comparison(node)
            if isinstance(node, ast.Call):
                yield from _python_call(node)
            if isinstance(node, ast.BinOp) and isinstance(node.op, ast.MatMult):
                yield problem("PTO221", node, "there is no operator @", "pl.matmul(a, b)")


def _python_call(node: ast.Call) -> Iterator[Problem]:
    """A kernel calls operators and kernel functions; of Python's own it has a few on scalars."""
    function = node.func
    if isinstance(function, ast.Name) and function.id in _FOREIGN:
        yield problem("PTO221", node, f"a kernel does not call {function.id}()", _HINT)
    elif isinstance(function, ast.Attribute) and function.attr in _CONTAINER and isinstance(function.value, ast.Name):
        yield problem(
            "PTO221", node, "a kernel has no Python lists, sets or dicts to change", "pl.array.create(n, dtype)"
        )


def _comparison(node: ast.Compare) -> Iterator[Problem]:
    if len(node.ops) > 1:
        yield problem("PTO221", node, "there is no chained comparison", "write a < b and b < c")
    elif isinstance(node.ops[0], (ast.Is, ast.IsNot, ast.In, ast.NotIn)):
        yield problem("PTO221", node, "comparisons are ==, !=, <, <=, > and >=", "compare scalars by value")


def _allowed(function: ast.FunctionDef, around: Surroundings) -> set[int]:
    """Nodes inside the statements and keywords that take more than kernel expressions."""
    heads: list[ast.AST] = []
    for node in ast.walk(function):
        if around.operator(node) in ("static_print", "static_assert"):
            heads.append(node)
        if isinstance(node, ast.keyword) and node.arg in ("deps", "attrs"):
            heads.append(node.value)
        if around.operator(node) == "func_attr":
            heads.append(node)
        if isinstance(node, ast.AnnAssign):
            heads.append(node.annotation)
    return {id(inner) for head in heads for inner in ast.walk(head)}


_HINT = "use an if statement, plain scalars, or compute it outside the kernel"


def several_managers(function: ast.FunctionDef, around: Surroundings) -> Iterator[Problem]:
    """PTO222: one `with` statement opens one context. PTO223: its `as` target is a plain name."""
    for node in ast.walk(function):
        if isinstance(node, ast.With):
            if len(node.items) > 1:
                yield problem("PTO222", node, "a with statement opens one context", "nest two with statements")
            for item in node.items:
                if item.optional_vars is not None and not isinstance(item.optional_vars, ast.Name):
                    yield problem("PTO223", node, "the target of `as` is a plain name", "bind it, then store it")


def stray_jumps(function: ast.FunctionDef, around: Surroundings) -> Iterator[Problem]:
    """PTO224: break and continue belong to pl.range, pl.pipeline, pl.while_ or while."""
    yield from _jumps(function.body, None)


def _jumps(body: list[ast.stmt], loop: str | None) -> Iterator[Problem]:
    for node in body:
        if isinstance(node, (ast.Break, ast.Continue)) and loop in ("parallel", "unroll", "spmd", "split_aiv"):
            yield problem(
                "PTO224", node, f"pl.{loop} cannot be left with {type(node).__name__.lower()}", "use pl.range and an if"
            )
        inner = loop
        if isinstance(node, ast.While):
            inner = "while"
        elif isinstance(node, ast.For):
            inner = called_attribute(node.iter) or "range"
        for name in ("body", "orelse"):
            yield from _jumps(getattr(node, name, []), inner)


def _statements(body: list[ast.stmt]) -> Iterator[ast.stmt]:
    for node in body:
        yield node
        for name in ("body", "orelse", "finalbody"):
            yield from _statements(getattr(node, name, []))
