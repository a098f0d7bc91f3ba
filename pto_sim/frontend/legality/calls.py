"""Calls of kernel functions and of the language: names, counts of arguments, results, arguments that are dead after."""

from __future__ import annotations

import ast
import inspect
from collections.abc import Iterator, Sequence

from pto_sim.frontend.legality.keywords import KEYWORDS, nearest
from pto_sim.frontend.legality.problem import Problem, problem
from pto_sim.frontend.legality.surroundings import Callee, Surroundings
from pto_sim.frontend.names import bound_names
from pto_sim.program.errors import PtoError, UnsupportedError


def call_arguments(function: ast.FunctionDef, around: Surroundings) -> Iterator[Problem]:
    """PTO206: a kernel function called with too many or too few arguments. PTO240: the value of one that gives none."""
    statements = {id(node.value) for node in ast.walk(function) if isinstance(node, ast.Expr)}
    for node in ast.walk(function):
        callee = around.callee(node) if isinstance(node, ast.Call) else None
        if callee is None or not isinstance(node, ast.Call):
            continue
        name = ast.unparse(node.func)
        if not any(isinstance(a, ast.Starred) for a in node.args) and all(k.arg for k in node.keywords):
            yield from _count(node, name, callee)
        if callee.kind == "inline" and not callee.returns and id(node) not in statements:
            yield problem(
                "PTO240", node, f"'{name}' returns nothing, and its value is used", "return the tensor that it writes"
            )


def _count(node: ast.Call, name: str, callee: Callee) -> Iterator[Problem]:
    # device= says where a host entry launches a chip's entry; attrs= is what printed code carries.
    named = [k.arg for k in node.keywords if k.arg not in ("attrs", "device")]
    given = [*callee.parameters[: len(node.args)], *named]
    unknown = [arg for arg in given if arg not in callee.parameters]
    listed = f"{name}({', '.join(callee.parameters)})"
    if unknown and callee.kind != "entry":
        hint = nearest(str(unknown[0]), callee.parameters, "{}=") or listed
        yield problem("PTO206", node, f"'{name}' has no parameter '{unknown[0]}'", hint)
    elif len(node.args) > len(callee.parameters) or (callee.kind == "inline" and set(given) != set(callee.parameters)):
        yield problem(
            "PTO206",
            node,
            f"'{name}' takes {len(callee.parameters)} arguments",
            f"write {listed}",
            f"{len(node.args) + len(node.keywords)} given",
        )


def language_calls(function: ast.FunctionDef, around: Surroundings) -> Iterator[Problem]:
    """PTO201: a name that the language does not have. PTO238: arguments that an operator does not take."""
    if around.resolve is None:
        return
    inner = {id(n.value) for n in ast.walk(function) if isinstance(n, ast.Attribute)}
    for statement in function.body:
        for node in ast.walk(statement):
            if isinstance(node, ast.Attribute) and id(node) not in inner:
                name = around.language_name(node)
                if name is not None:
                    yield from _known(node, name, around)
            if isinstance(node, ast.Call):
                yield from _signature(node, around)


def _known(node: ast.Attribute, name: str, around: Surroundings) -> Iterator[Problem]:
    assert around.resolve is not None
    try:
        around.resolve(name)
    except UnsupportedError:
        return  # said when it is used, with its name
    except PtoError as error:
        yield problem(error.code, node, error.rule, error.hint, f"pl.{name}")


def _signature(node: ast.Call, around: Surroundings) -> Iterator[Problem]:
    name = around.operator(node)
    if name is None or name in KEYWORDS or any(k.arg is None for k in node.keywords):
        return
    assert around.resolve is not None
    if any(isinstance(a, ast.Starred) for a in node.args):
        return
    try:
        target = around.resolve(name)
    except PtoError:
        return
    if not inspect.isfunction(target):
        return
    signature = inspect.signature(target)
    named = getattr(target, "__operand_names__", ())
    try:
        signature.bind(*node.args, **_own_names(node, signature, named))
    except TypeError as error:
        known = list(dict.fromkeys([*named, *(p.name for p in signature.parameters.values())]))
        if named:
            known = [n for n in known if n in named or signature.parameters[n].kind is inspect.Parameter.KEYWORD_ONLY]
        bad = next((k.arg for k in node.keywords if k.arg not in known), None)
        text = ", ".join(known)
        hint = (bad and nearest(bad, known, "{}=")) or f"pl.{name}({text})"
        rule = f"pl.{name} has no keyword '{bad}'" if bad else f"pl.{name}: {error}"
        yield problem("PTO238", node, rule, hint, f"{ast.unparse(node)[:60]}; it takes {text}")


def _own_names(node: ast.Call, signature: inspect.Signature, named: Sequence[str]) -> dict[str, ast.expr]:
    """The keywords of a call by the function's own names, where it also knows its operands under others."""
    own = [p.name for p in signature.parameters.values() if p.kind is p.POSITIONAL_OR_KEYWORD]
    free = any(p.kind is p.VAR_POSITIONAL for p in signature.parameters.values())
    result = {}
    for keyword in node.keywords:
        name = str(keyword.arg)
        if name in named and name not in signature.parameters:
            place = list(named).index(name)
            if free:
                continue
            name = own[place] if place < len(own) else name
        result[name] = keyword.value
    return result


def dead_arguments(function: ast.FunctionDef, around: Surroundings) -> Iterator[Problem]:
    """PTO241: an argument that a task function writes is read afterwards under the name it had before the call.

    pypto: src/ir/transforms/utils/stmt_dependency_analysis.cpp (InOutUseDisciplineChecker).
    """
    tasks = any(callee.kind == "task" for callee in (*around.callees.values(), *around.methods.values()))
    if tasks and not around.group:
        yield from _Discipline(around).block(function.body, {})


class _Discipline:
    """Names that a call has written, with the line of the call; an assignment makes a name live again."""

    def __init__(self, around: Surroundings) -> None:
        self._around = around
        self._said: set[tuple[str, int]] = set()

    def block(self, body: Sequence[ast.stmt], dead: dict[str, int]) -> Iterator[Problem]:
        for node in body:
            yield from self._statement(node, dead)

    def _statement(self, node: ast.stmt, dead: dict[str, int]) -> Iterator[Problem]:
        if isinstance(node, ast.If):
            yield from self._reads(node.test, dead)
            other = dict(dead)
            yield from self.block(node.body, dead)
            yield from self.block(node.orelse, other)
            dead.update(other)
        elif isinstance(node, (ast.For, ast.While)):
            yield from self._reads(node.iter if isinstance(node, ast.For) else node.test, dead)
            rebound = bound_names([node.target]) if isinstance(node, ast.For) else set()
            first = {name: line for name, line in dead.items() if name not in rebound}
            for _ in self.block(node.body, first):
                pass
            self._said -= {said for said in self._said if said[1] >= node.lineno}
            dead.update(first)  # a second iteration sees what the first one wrote
            for name in rebound:  # but each has carried values of its own
                dead.pop(name, None)
            yield from self.block(node.body, dead)
        elif isinstance(node, ast.With):
            for item in node.items:
                yield from self._reads(item.context_expr, dead)
            yield from self.block(node.body, dead)
        else:
            yield from self._reads(node, dead)
            for name in bound_names([node]):
                dead.pop(name, None)

    def _reads(self, node: ast.AST, dead: dict[str, int]) -> Iterator[Problem]:
        for name in ast.walk(node):
            if not isinstance(name, ast.Name) or not isinstance(name.ctx, ast.Load) or name.id not in dead:
                continue
            if (name.id, name.lineno) not in self._said:
                self._said.add((name.id, name.lineno))
                yield problem(
                    "PTO241",
                    name,
                    f"'{name.id}' was written by the call at line {dead[name.id]}; its old name is dead",
                    f"take the result: {name.id} = kernel(..., {name.id})",
                )
        for call in ast.walk(node):
            callee = self._around.callee(call) if isinstance(call, ast.Call) else None
            if callee is not None and callee.kind == "task" and isinstance(call, ast.Call):
                for argument, parameter in _pairs(call, callee):
                    if isinstance(argument, ast.Name) and parameter:
                        dead.setdefault(argument.id, call.lineno)


def _pairs(call: ast.Call, callee: Callee) -> Iterator[tuple[ast.expr, bool]]:
    yield from zip(call.args, callee.written, strict=False)
    for keyword in call.keywords:
        if keyword.arg in callee.parameters:
            yield keyword.value, callee.written[callee.parameters.index(keyword.arg)]
