"""Outputs whose name is rebound to a value that has nothing to do with them: `out = pl.add(a, b)`.

The compiler warns of them (pypto: src/ir/verifier/warning_out_param_write_dropped.cpp, OutParamWriteDropped): the
name is bound to a new tensor, and the caller's buffer is not written. A value that flows from the parameter, through
calls, views, loops and other names, is no such value, even if it only reads it.
"""

from __future__ import annotations

import ast
from collections import defaultdict
from collections.abc import Iterator, Sequence

from pto_sim.frontend.names import bound_names, loaded_names


def dropped_writes(function: ast.FunctionDef, outputs: Sequence[str]) -> Iterator[tuple[str, int]]:
    """(parameter, line) of each assignment that rebinds one of `outputs` to a value that does not flow from it."""
    assigned = [node for node in ast.walk(function) if isinstance(node, (ast.Assign, ast.AnnAssign))]
    rebound = [
        (target.id, node)
        for node in assigned
        for target in _plain_targets(node)
        if isinstance(target, ast.Name) and target.id in outputs
    ]
    flows = _flows(function) if rebound else {}
    for name, node in sorted(rebound, key=lambda pair: pair[1].lineno):
        if node.value is not None and name not in _sources(loaded_names([node.value]), flows, name):
            yield name, node.lineno


def _plain_targets(node: ast.Assign | ast.AnnAssign) -> list[ast.expr]:
    return node.targets if isinstance(node, ast.Assign) else [node.target]


def _flows(function: ast.FunctionDef) -> dict[str, set[str]]:
    """Name -> the names that its values are made of."""
    flows: dict[str, set[str]] = defaultdict(set)
    for node in ast.walk(function):
        if isinstance(node, (ast.Assign, ast.AnnAssign)) and node.value is not None:
            for name in bound_names(_plain_targets(node)):
                flows[name] |= loaded_names([node.value])
        elif isinstance(node, ast.For):
            for name in bound_names([node.target]):
                flows[name] |= loaded_names([node.iter])
    return flows


def _sources(names: set[str], flows: dict[str, set[str]], parameter: str) -> set[str]:
    """All names from which one of `names` takes a value. The parameter itself is followed no further."""
    found: set[str] = set()
    queue = set(names)
    while queue:
        name = queue.pop()
        found.add(name)
        if name != parameter:
            queue |= flows.get(name, set()) - found
    return found
