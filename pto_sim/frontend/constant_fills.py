"""Loops that the compiler turns from scalar writes into one store: a constant into one contiguous run of elements.

pypto: src/ir/transforms/convert_tensor_to_tile_ops_pass.cpp, ConstantScalarFillLoopCanonicalizer.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from typing import Any

from pto_sim.frontend.names import called_attribute


def constant_fills(function: ast.FunctionDef, constants: Mapping[str, Any]) -> dict[int, tuple[int, int]]:
    """Line of each such pl.write -> (iterations, axis along which they go).

    constants: what the function's free names stand for. Of the write's tensor, every later axis must have extent 1 and
    the run must be whole blocks of 32 bytes, which is known when it runs.
    """
    found: dict[int, tuple[int, int]] = {}
    for node in ast.walk(function):
        if isinstance(node, ast.For) and isinstance(node.target, ast.Name):
            found.update(_fills(node, node.target.id, constants))
    return found


def _fills(loop: ast.For, variable: str, constants: Mapping[str, Any]) -> Iterator[tuple[int, tuple[int, int]]]:
    head = loop.iter
    if not isinstance(head, ast.Call) or called_attribute(head) != "range" or len(head.args) != 1 or head.keywords:
        return
    count = constant(head.args[0], constants)
    places = [_written_place(statement, constants) for statement in loop.body]
    first = places[0]
    if not isinstance(count, int) or count < 1 or first is None or any(p is None for p in places):
        return
    if any(p is not None and ast.dump(p) != ast.dump(first) for p in places):
        return
    axes = [axis for axis, index in enumerate(first.elts) if _uses(index, variable)]
    if len(axes) == 1 and _unit_step(first.elts[axes[0]], variable):
        for statement in loop.body:
            yield statement.lineno, (count, axes[0])


def _written_place(statement: ast.stmt, constants: Mapping[str, Any]) -> ast.List | ast.Tuple | None:
    """The index list of `pl.write(t, [...], constant)` as a statement of its own."""
    if not isinstance(statement, ast.Expr) or called_attribute(statement.value) != "write":
        return None
    call = statement.value
    assert isinstance(call, ast.Call)
    if len(call.args) != 3 or call.keywords or not isinstance(call.args[1], (ast.List, ast.Tuple)):
        return None
    return call.args[1] if isinstance(constant(call.args[2], constants), (int, float)) else None


def _unit_step(index: ast.expr, variable: str) -> bool:
    if isinstance(index, ast.Name):
        return True
    if not isinstance(index, ast.BinOp) or not isinstance(index.op, ast.Add):
        return False
    sides = (index.left, index.right)
    return any(
        isinstance(a, ast.Name) and not _uses(b, variable) for a, b in (sides, sides[::-1]) if _uses(a, variable)
    )


def _uses(node: ast.expr, variable: str) -> bool:
    return any(isinstance(part, ast.Name) and part.id == variable for part in ast.walk(node))


def constant(node: ast.expr, constants: Mapping[str, Any]) -> Any:
    """The number that an expression of literals and constants stands for, else None."""
    if isinstance(node, ast.Constant):
        return node.value
    if isinstance(node, ast.Name):
        return constants.get(node.id)
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        value = constant(node.operand, constants)
        return -value if isinstance(value, (int, float)) else None
    if isinstance(node, ast.BinOp):
        left, right = constant(node.left, constants), constant(node.right, constants)
        if isinstance(left, int) and isinstance(right, int):
            if isinstance(node.op, ast.Mult):
                return left * right
            if isinstance(node.op, ast.FloorDiv) and right:
                return left // right
            if isinstance(node.op, ast.Add):
                return left + right
    return None
