"""What `deps=` lists (pypto: python/pypto/language/parser/ast_parser.py, _parse_submit_deps_kwarg)."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from pto_sim.frontend.legality.problem import Problem, problem
from pto_sim.frontend.legality.surroundings import Surroundings
from pto_sim.frontend.names import bound_names

_HINT = "deps=[tid], with the id of an earlier launch, an element of a pl.array of pl.TASK_ID, such an array, or None"


def dependency_lists(function: ast.FunctionDef, around: Surroundings) -> Iterator[Problem]:
    """PTO267: deps= lists, in place, names, None, and elements of arrays or whole arrays."""
    arrays = _arrays(function, around)
    own = bound_names(function.body)
    for node in ast.walk(function):
        if isinstance(node, ast.keyword) and node.arg == "deps":
            yield from _dependencies(node.value, arrays, own, around)


def _dependencies(value: ast.expr, arrays: set[str], own: set[str], around: Surroundings) -> Iterator[Problem]:
    if not isinstance(value, (ast.List, ast.Tuple, ast.ListComp)):
        yield problem("PTO267", value, "deps= is a list, a tuple or a comprehension that is written in place", _HINT)
        return
    entries = [value] if isinstance(value, ast.ListComp) else value.elts
    elements = []
    for entry in entries:
        if isinstance(entry, ast.ListComp):
            yield from _comprehension(entry, own, around)
            elements.append(entry.elt)
        else:
            elements.append(entry)
    for element in elements:
        none = isinstance(element, ast.Constant) and element.value is None
        if not none and not isinstance(element, (ast.Name, ast.Subscript)):
            yield problem("PTO267", element, "deps= lists task ids", _HINT)
    whole = [element for element in elements if isinstance(element, ast.Name) and element.id in arrays]
    if whole and any(isinstance(element, ast.Subscript) for element in elements):
        yield problem(
            "PTO267", value, "deps= has whole arrays or elements of arrays, not both",
            f"deps=[{whole[0].id}] alone, or index it: {whole[0].id}[i]",
        )  # fmt: skip


def _comprehension(entry: ast.ListComp, own: set[str], around: Surroundings) -> Iterator[Problem]:
    """The compiler unrolls it before it knows any value of the kernel."""
    first = entry.generators[0]
    if len(entry.generators) > 1 or first.is_async or not isinstance(first.target, ast.Name):
        yield problem(
            "PTO267", entry, "a comprehension in deps= has one `for` over one name", "[ids[i] for i in range(n)]"
        )
        return
    for part in (first.iter, *first.ifs):
        read = {n.id for n in ast.walk(part) if isinstance(n, ast.Name)} & (own - {first.target.id})
        called = next((n for n in ast.walk(part) if around.operator(n)), None)
        if read or called is not None:
            yield problem(
                "PTO267", part, "a comprehension in deps= is unrolled before the kernel runs",
                "use range() over constants; where the count is only known in the run, launch in a pl.range loop",
            )  # fmt: skip


def _arrays(function: ast.FunctionDef, around: Surroundings) -> set[str]:
    """Names of whole arrays: made by pl.array.create, or carried by a loop that starts with one."""
    found: set[str] = set()
    for node in ast.walk(function):
        if isinstance(node, ast.Assign) and around.operator(node.value) == "array.create":
            found.update(target.id for target in node.targets if isinstance(target, ast.Name))
        if isinstance(node, ast.For) and isinstance(node.iter, ast.Call):
            found.update(_carried(node, node.iter, found))
    return found


def _carried(loop: ast.For, call: ast.Call, arrays: set[str]) -> Iterator[str]:
    starts = next((k.value for k in call.keywords if k.arg == "init_values"), None)
    names = loop.target.elts[-1] if isinstance(loop.target, ast.Tuple) and loop.target.elts else None
    if isinstance(starts, (ast.Tuple, ast.List)) and isinstance(names, ast.Tuple):
        for name, start in zip(names.elts, starts.elts, strict=False):
            if isinstance(name, ast.Name) and isinstance(start, ast.Name) and start.id in arrays:
                yield name.id
