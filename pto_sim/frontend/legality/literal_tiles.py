"""Tiles whose shape and element type stand in the source: their rows fill whole blocks of 32 bytes.

A row of any other tile is checked where its operator first runs (engine) or where a run is lowered.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator

from pto_sim.frontend.legality.problem import Problem, problem
from pto_sim.frontend.legality.surroundings import Surroundings
from pto_sim.program.dtypes import DTYPES, DataType

_BLOCK_BYTES = 32
_MAKERS = {
    "create_tile": ("shape", "dtype", "target_memory"),
    "tile.create": ("shape", "dtype", "target_memory"),
    **dict.fromkeys(("full", "tile.full"), ("shape", "dtype")),
    **dict.fromkeys(("arange", "tile.arange", "ci", "tile.ci"), ("start", "shape", "dtype")),
}
"""Operators that name a tile's shape and element type, with their first parameters."""


def block_rows(function: ast.FunctionDef, around: Surroundings) -> Iterator[Problem]:
    """PTO247: a tile in UB (Vec) is made with rows that are no multiple of 32 bytes. A column [M, 1] is exempt."""
    for node in ast.walk(function):
        name = around.operator(node)
        if name not in _MAKERS or not isinstance(node, ast.Call):
            continue
        given = dict(zip(_MAKERS[name], node.args, strict=False)) | {k.arg: k.value for k in node.keywords}
        if not _in_vector_memory(given.get("target_memory")):
            continue
        columns, dtype = _columns(given.get("shape")), _dtype(given.get("dtype"), around)
        if columns is None or dtype is None or columns <= 1 or columns * dtype.nbytes % _BLOCK_BYTES == 0:
            continue
        whole = -(-columns * dtype.nbytes // _BLOCK_BYTES) * _BLOCK_BYTES // dtype.nbytes
        yield problem(
            "PTO247",
            node,
            "a row of a tile in UB (Vec) is a multiple of 32 bytes",
            f"make rows of {whole} elements, with valid_shape= for those that count",
            f"pl.{name} of {columns} elements of {dtype.name} a row: {columns * dtype.nbytes} bytes",
        )


def _in_vector_memory(memory: ast.expr | None) -> bool:
    """Whether a tile is in UB: the default, or `pl.Mem.Vec`. Anything that is not written out counts as elsewhere."""
    return memory is None or (isinstance(memory, ast.Attribute) and memory.attr == "Vec")


def _columns(shape: ast.expr | None) -> int | None:
    """The last extent of a shape that is written out, None if it is not a number."""
    if not isinstance(shape, (ast.List, ast.Tuple)) or not shape.elts:
        return None
    last = shape.elts[-1]
    return last.value if isinstance(last, ast.Constant) and type(last.value) is int else None


def _dtype(node: ast.expr | None, around: Surroundings) -> DataType | None:
    """The element type behind `pl.FP32`, None for any other expression and for types that no tile can have."""
    found = DTYPES.get(around.language_name(node) or "") if node is not None else None
    return found if found is not None and found.numpy is not None else None
