"""Sizes of pl element types in bytes, and of the accumulator of a matmul."""

from __future__ import annotations

from types import MappingProxyType

from pto_sim.program.errors import UnsupportedError
from pto_sim.program.model import ValueType

ITEMSIZE_BYTES = MappingProxyType(
    {
        "BOOL": 1,
        "INT8": 1,
        "UINT8": 1,
        "INT16": 2,
        "UINT16": 2,
        "FP16": 2,
        "BF16": 2,
        "INT32": 4,
        "UINT32": 4,
        "FP32": 4,
        "INT64": 8,
        "UINT64": 8,
        "INDEX": 8,
        "TASK_ID": 8,
    }
)


def itemsize_bytes(dtype: str) -> int:
    """Bytes of one element. Raises UnsupportedError for a type that has no on-chip form on a2a3."""
    try:
        return ITEMSIZE_BYTES[dtype]
    except KeyError:
        raise UnsupportedError(f"element type {dtype} on chip") from None


def elements(shape: tuple[int, ...]) -> int:
    """Number of elements of a shape; 1 for a scalar."""
    count = 1
    for extent in shape:
        count *= extent
    return count


def nbytes(value: ValueType) -> int:
    """Bytes of a value without padding."""
    return elements(value.shape) * itemsize_bytes(value.dtype)


def rows_cols(shape: tuple[int, ...]) -> tuple[int, int]:
    """The 2D form of a tile: leading axes are rows (pypto: docs/en/dev/passes/13-flatten_tile_nd_to_2d.md)."""
    if not shape:
        return 1, 1
    return elements(shape[:-1]), shape[-1]
