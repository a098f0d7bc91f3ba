"""Options of launches and scopes that the parser takes in one spelling only.

pypto: python/pypto/language/parser/ast_parser.py (_parse_at_kwargs, _parse_spmd_kwargs, _parse_optimizations,
_parse_no_dep_args_kwarg, _parse_submit_call).
"""

from __future__ import annotations

import ast
import keyword
from collections.abc import Iterator

from pto_sim.frontend.legality.problem import Problem, problem
from pto_sim.frontend.legality.surroundings import Surroundings

_LAUNCHES = frozenset({"at", "spmd", "submit", "spmd_submit"})
_SWITCHES = ("allow_early_resolve", "sync_start", "windowize")
_SUBMITS = ("submit", "spmd_submit")
# A group's tasks are launched as one: what belongs to a single task has no place there.
_PER_TASK = ("deps", "allow_early_resolve", "predicate", "core_num", "sync_start", "dumps")
_AS_GROUP = ("allow_early_resolve", "predicate")


def launch_options(function: ast.FunctionDef, around: Surroundings) -> Iterator[Problem]:
    """PTO206: a value that an option of a launch does not take, or an option that is given twice."""
    for node in ast.walk(function):
        name = around.operator(node)
        if name not in _LAUNCHES or not isinstance(node, ast.Call):
            continue
        given = {k.arg: k.value for k in node.keywords if k.arg is not None}
        for switch in _SWITCHES:
            value = given.get(switch)
            if isinstance(value, ast.Constant) and not isinstance(value.value, bool):
                yield problem("PTO206", value, f"{switch}= is True or False", f"{switch}=True")
        if "name_hint" in given:
            yield from _name_hint(given["name_hint"])
        if isinstance(given.get("optimizations"), (ast.List, ast.Tuple)):
            yield from _optimizations(given["optimizations"], around)
        if "no_dep_args" in given:
            yield from _no_dep_args(given["no_dep_args"])
        if name in _SUBMITS and isinstance(given.get("dumps"), (ast.List, ast.Tuple)):
            yield from _dumps(node, given["dumps"])
        if name == "spmd" and node.args and "core_num" in given:
            yield problem("PTO206", node, "pl.spmd has its number of blocks twice", "pl.spmd(n)")
        if name == "at" and "role" in given and ast.unparse(given.get("level", node)).endswith("CORE_GROUP"):
            yield problem("PTO206", node, "a task has no role=: it belongs to the levels above", "leave role= out")


def _name_hint(value: ast.expr) -> Iterator[Problem]:
    text = value.value if isinstance(value, ast.Constant) else ""
    if isinstance(text, str) and text and (not text.isidentifier() or keyword.iskeyword(text)):
        yield problem("PTO206", value, "name_hint= is an identifier", 'name_hint="gate_up": letters, digits and _')


def _optimizations(values: ast.expr, around: Surroundings) -> Iterator[Problem]:
    assert isinstance(values, (ast.List, ast.Tuple))
    seen: set[str] = set()
    slots = False
    for entry in values.elts:
        name = (around.operator(entry) or "").removeprefix("optimizations.")
        if name not in ("split", "cross_core_slot") or not isinstance(entry, ast.Call):
            continue
        if name in seen:
            yield problem("PTO206", entry, f"optimizations= has pl.{name} twice", "keep one of them")
        seen.add(name)
        place = 0 if name == "cross_core_slot" else 1
        counts = [*entry.args[place : place + 1], *(k.value for k in entry.keywords if k.arg == "slot_num")]
        if counts and slots:
            yield problem("PTO206", entry, "the slots between the cores are given twice", "pl.cross_core_slot(n) alone")
        slots = slots or bool(counts)
        for count in counts:
            if not _positive(count):
                yield problem("PTO206", count, "a number of slots is a positive integer", "slot_num=2")


def _positive(node: ast.expr) -> bool:
    """False for a literal that is no positive integer."""
    if isinstance(node, ast.UnaryOp) and isinstance(node.operand, ast.Constant):
        return False
    return not isinstance(node, ast.Constant) or (type(node.value) is int and node.value > 0)


def _no_dep_args(value: ast.expr) -> Iterator[Problem]:
    if not isinstance(value, (ast.List, ast.Tuple)):
        yield problem("PTO206", value, "no_dep_args= is a list written in place", "no_dep_args=[x, y]")
        return
    seen: set[str] = set()
    for entry in value.elts:
        if not isinstance(entry, ast.Name):
            yield problem("PTO206", entry, "no_dep_args= names tensors", "no_dep_args=[x]: the names alone")
        elif entry.id in seen:
            yield problem("PTO206", entry, f"no_dep_args= names '{entry.id}' twice", "name it once")
        else:
            seen.add(entry.id)


def _dumps(call: ast.Call, value: ast.expr) -> Iterator[Problem]:
    assert isinstance(value, (ast.List, ast.Tuple))
    passed = {n.id for argument in call.args[1:] for n in ast.walk(argument) if isinstance(n, ast.Name)}
    for entry in value.elts:
        if isinstance(entry, ast.Name) and entry.id not in passed:
            yield problem("PTO206", entry, f"dumps= names '{entry.id}', which the launch does not take", "pass it, too")


def bound_submits(function: ast.FunctionDef, around: Surroundings) -> Iterator[Problem]:
    """PTO206: what pl.submit gives, a result and a task id, is not bound to names."""
    bound = {id(node.value) for node in ast.walk(function) if isinstance(node, (ast.Assign, ast.AnnAssign))}
    for node in ast.walk(function):
        name = around.operator(node)
        if name in _SUBMITS and id(node) not in bound:
            yield problem(
                "PTO206",
                node,
                f"pl.{name} gives a result and a task id",
                f"out, tid = pl.{name}(kernel, ...)",
            )


def groups(function: ast.FunctionDef, around: Surroundings) -> Iterator[Problem]:
    """PTO204: inside `with pl.cluster():`, what only a task of its own can have."""
    for outer in ast.walk(function):
        if not isinstance(outer, ast.With) or around.operator(outer.items[0].context_expr) != "cluster":
            continue
        for node in (n for s in outer.body for n in ast.walk(s)):
            name = around.operator(node)
            if isinstance(node, ast.With) and around.operator(node.items[0].context_expr) == "spmd":
                if node.items[0].optional_vars is not None:
                    yield problem("PTO204", node, "a launch in a pl.cluster has no task id", "launch it outside")
            elif isinstance(node, ast.Call) and name in _LAUNCHES:
                refused = _PER_TASK if name in _SUBMITS else _AS_GROUP
                for option in [k.arg for k in node.keywords if k.arg in refused]:
                    yield problem(
                        "PTO204", node, f"a launch in a pl.cluster has no {option}=", "launch it outside the cluster"
                    )


def captured_grids(function: ast.FunctionDef, around: Surroundings) -> Iterator[Problem]:
    """PTO238: deps= of a pl.spmd without `as`."""
    for node in ast.walk(function):
        if isinstance(node, ast.With) and node.items[0].optional_vars is None:
            call = node.items[0].context_expr
            if around.operator(call) == "spmd" and isinstance(call, ast.Call):
                for option in [k for k in call.keywords if k.arg == "deps"]:
                    yield problem(
                        "PTO238",
                        option,
                        "a pl.spmd with deps= gives its task id",
                        "with pl.spmd(n, deps=[...]) as tid:",
                    )


def function_attributes(function: ast.FunctionDef, around: Surroundings) -> Iterator[Problem]:
    """PTO206: pl.func_attr after another statement, with a key that is set already or that only the decorator has."""
    known = {text for d in function.decorator_list if isinstance(d, ast.Call) for k in d.keywords if k.arg == "attrs"
             for text in _keys(k.value)}  # fmt: skip
    first = True
    for statement in function.body:
        call = statement.value if isinstance(statement, ast.Expr) else None
        if around.operator(call) != "func_attr" if call is not None else True:
            if not (isinstance(call, ast.Constant) and isinstance(call.value, str)):
                first = False
            continue
        assert isinstance(call, ast.Call)
        if not first:
            yield problem("PTO206", call, "pl.func_attr comes before every other statement", "move it to the top")
        for text in _keys(call.args[0]) if call.args else []:
            if text in ("auto_scope", "external_source"):
                yield problem("PTO206", call, f"pl.func_attr cannot set {text}", f"@pl.function({text}=...)")
            elif text in known:
                yield problem("PTO206", call, f"the attribute '{text}' is set twice", "set it once")
            known.add(text)


def _keys(node: ast.expr) -> list[str]:
    keys = node.keys if isinstance(node, ast.Dict) else []
    return [key.value for key in keys if isinstance(key, ast.Constant) and isinstance(key.value, str)]
