"""Subscripts: slices have no step, count from the front, and start at a constant where they cut a tile."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from pto_sim.frontend.legality.problem import Problem, problem
from pto_sim.frontend.legality.surroundings import Surroundings
from pto_sim.frontend.names import bound_names, loaded_names, parameter_names

# Operators whose result is a tile whatever their operands are.
_TILE_MAKERS = frozenset({"load", "create_tile", "move", "tile.load", "tile.create", "tile.create_tile", "tile.move"})


def slice_forms(function: ast.FunctionDef, around: Surroundings) -> Iterator[Problem]:
    """PTO250: a step, a negative index, an ellipsis; a slice of a tile whose lower bound is known only at run time."""
    tiles = _tile_names(function, around)
    local = bound_names(function.body) | set(parameter_names(function))
    for node in _subscripts(function):
        parts = node.slice.elts if isinstance(node.slice, ast.Tuple) else [node.slice]
        for part in parts:
            yield from _form(node, part)
            if not isinstance(part, ast.Slice) or part.lower is None or not isinstance(node.value, ast.Name):
                continue
            if node.value.id in tiles and isinstance(node.ctx, ast.Load) and loaded_names([part.lower]) & local:
                yield problem(
                    "PTO250",
                    node,
                    f"a slice of the tile '{node.value.id}' starts at a constant",
                    "pl.slice(tile, shape, offset) takes an offset known at run time",
                )


def _subscripts(function: ast.FunctionDef) -> Iterator[ast.Subscript]:
    """Subscripts of values in the body; those of annotations and of lists of the module are no slices."""
    for statement in function.body:
        skipped = {id(n) for a in ast.walk(statement) if isinstance(a, ast.AnnAssign) for n in ast.walk(a.annotation)}
        for node in ast.walk(statement):
            if isinstance(node, ast.Subscript) and id(node) not in skipped:
                yield node


def _form(node: ast.Subscript, part: ast.expr) -> Iterator[Problem]:
    if isinstance(part, ast.Constant) and part.value is Ellipsis:
        yield problem("PTO250", node, "there is no ellipsis in a subscript", "write a colon for each axis: x[:, :]")
    if not isinstance(part, ast.Slice):
        return
    if part.step is not None:
        yield problem("PTO250", node, "a slice has no step", "loop over the elements, or gather with a mask pattern")
    for bound in (part.lower, part.upper):
        if _negative(bound):
            yield problem(
                "PTO250", node, "a bound of a slice does not count from the end", "write the extent: x[n - 4 : n]"
            )


def _negative(node: ast.expr | None) -> bool:
    return isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub) and isinstance(node.operand, ast.Constant)


def element_writes(function: ast.FunctionDef, around: Surroundings) -> Iterator[Problem]:
    """PTO251: `x[i, j] = number` on a tile or a tensor. Arrays of scalars take it."""
    for node in ast.walk(function):
        if not isinstance(node, ast.Assign) or not isinstance(node.targets[0], ast.Subscript):
            continue
        target = node.targets[0]
        if not isinstance(target.slice, ast.Tuple) or any(isinstance(p, ast.Slice) for p in target.slice.elts):
            continue
        if isinstance(node.value, ast.Constant):
            yield problem(
                "PTO251",
                node,
                "an element is not written with a subscript",
                f"pl.write({ast.unparse(target.value)}, [{ast.unparse(target.slice)[1:-1]}], value)",
            )


def _tile_names(function: ast.FunctionDef, around: Surroundings) -> set[str]:
    """Names that hold a tile after each of their assignments."""
    kinds: dict[str, set[bool]] = {name: {False} for name in parameter_names(function)}
    for node in ast.walk(function):
        if isinstance(node, (ast.Assign, ast.AnnAssign)):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            made = node.value is not None and around.operator(node.value) in _TILE_MAKERS
            for target in targets:
                for name in bound_names([target]):
                    kinds.setdefault(name, set()).add(made and isinstance(target, ast.Name))
        elif isinstance(node, (ast.For, ast.With)):
            bound = [node.target] if isinstance(node, ast.For) else [i.optional_vars for i in node.items]
            for name in bound_names(b for b in bound if b is not None):
                kinds.setdefault(name, set()).add(False)
    return {name for name, seen in kinds.items() if seen == {True}}
