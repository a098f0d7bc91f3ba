"""What a call and its assignment share: a pop and the type of its name, a launch and the name of its task id."""

from __future__ import annotations

import ast
import copy
from collections.abc import Sequence

from pto_sim.frontend.names import bound_names, called_attribute

_LAUNCHES = frozenset({"submit", "spmd_submit", "task_dummy"})


def task_names(body: Sequence[ast.stmt]) -> set[str]:
    """Names that the statements bind to task ids."""
    found: set[str] = set()
    for part in body:
        for node in ast.walk(part):
            if isinstance(node, ast.With):
                found |= bound_names([item.optional_vars for item in node.items if item.optional_vars is not None])
            elif isinstance(node, ast.Assign) and called_attribute(node.value) in _LAUNCHES:
                target = node.targets[0]
                found |= bound_names([target.elts[-1] if isinstance(target, ast.Tuple) else target])
    copies = True
    while copies:
        copies = False
        for part in body:
            for node in ast.walk(part):
                if isinstance(node, ast.Assign) and isinstance(node.value, ast.Name) and node.value.id in found:
                    new = bound_names(node.targets) - found
                    found |= new
                    copies = copies or bool(new)
    return found


def declared_call(call: ast.expr, annotation: ast.expr) -> ast.expr:
    """`x: pl.Tile[shape, dtype, ..., pl.TileView(valid_shape=v)] = pl.tpop_*(...)`: the call with `shape` and `v`."""
    assert isinstance(call, ast.Call)
    if not isinstance(annotation, ast.Subscript) or not isinstance(annotation.slice, ast.Tuple):
        return call
    parts = annotation.slice.elts
    given = {keyword.arg for keyword in call.keywords}
    if "shape" not in given and len(parts) >= 2:
        call.keywords.append(ast.keyword("shape", copy.deepcopy(parts[0])))
        call.keywords.append(ast.keyword("dtype", copy.deepcopy(parts[1])))
    for part in parts:
        if called_attribute(part) == "TileView":
            assert isinstance(part, ast.Call)
            valid = next((k.value for k in part.keywords if k.arg == "valid_shape"), None)
            if valid is not None:
                call.keywords.append(ast.keyword("valid_shape", copy.deepcopy(valid)))
    return call
