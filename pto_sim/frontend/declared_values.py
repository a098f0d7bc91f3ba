"""What annotated assignments say of their values: `t: pl.Tile[[16, 32], pl.FP32] = ...`.

pypto: python/pypto/language/parser/type_resolver.py, validate_annotation_consistency.
"""

from __future__ import annotations

import ast
from collections.abc import Mapping
from typing import Any

from pto_sim.engine.declared import DeclaredValue
from pto_sim.frontend.constant_fills import constant
from pto_sim.program.dtypes import DTYPES

_KINDS = {"Tile": "tile", "Tensor": "tensor"}


def annotated_kind(node: ast.expr) -> str | None:
    """'tile' or 'tensor' for the annotation of one, with a shape and an element type."""
    if not isinstance(node, ast.Subscript) or not isinstance(node.value, ast.Attribute):
        return None
    several = isinstance(node.slice, ast.Tuple) and len(node.slice.elts) >= 2
    return _KINDS.get(node.value.attr) if several else None


def declared_values(function: ast.FunctionDef, constants: Mapping[str, Any]) -> dict[int, DeclaredValue]:
    """Line of each value with an annotation -> what it says. constants: what the function's free names stand for."""
    found = {}
    for node in ast.walk(function):
        if not isinstance(node, ast.AnnAssign) or node.value is None or not isinstance(node.target, ast.Name):
            continue
        kind = annotated_kind(node.annotation)
        if kind is None:
            continue
        assert isinstance(node.annotation, ast.Subscript) and isinstance(node.annotation.slice, ast.Tuple)
        extents, dtype = node.annotation.slice.elts[:2]
        if not isinstance(extents, (ast.List, ast.Tuple)):
            continue
        shape = tuple(_extent(extent, constants) for extent in extents.elts)
        known = DTYPES.get(dtype.attr) if isinstance(dtype, ast.Attribute) else None
        found[node.value.lineno] = DeclaredValue(node.target.id, kind, shape, known)
    return found


def _extent(node: ast.expr, constants: Mapping[str, Any]) -> int | None:
    value = constant(node, constants)
    return value if type(value) is int else None
