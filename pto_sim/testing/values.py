"""Hypothesis strategies for what a kernel is called with: shapes, element types, arrays with special values."""

from __future__ import annotations

from types import MappingProxyType
from typing import Any

import numpy as np
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from pto_sim.program.dtypes import DTYPES, DataType

ROW_BYTES = 32
"""A tile's row is a whole number of such pieces (pypto: docs/en/user/language: tile shapes)."""

KINDS = ("bool", "int", "uint", "float")

# By width in bits: NaN, infinities, zeros, the least and largest subnormal and normal numbers, ties of a cast, as bits.
_FLOAT_BITS = MappingProxyType(
    {
        "FP32": (
            0x00000000, 0x80000000, 0x00000001, 0x807FFFFF, 0x00800000, 0x7F7FFFFF, 0xFF7FFFFF, 0x7F800000,
            0xFF800000, 0x7FC00000, 0xFFC00001, 0x7F800001, 0x3F800000, 0xBF800000, 0x3F000000, 0x40200000,
            0x3F808000, 0x3F818000, 0x3F801000, 0x477FF000, 0x4B000000, 0x4F000000, 0xCF000000,
        ),
        "FP16": (
            0x0000, 0x8000, 0x0001, 0x83FF, 0x0400, 0x7BFF, 0xFBFF, 0x7C00, 0xFC00, 0x7E00, 0xFE01, 0x7C01,
            0x3C00, 0xBC00, 0x3800, 0x4100,
        ),
        "BF16": (
            0x0000, 0x8000, 0x0001, 0x807F, 0x0080, 0x7F7F, 0xFF7F, 0x7F80, 0xFF80, 0x7FC0, 0xFFC1, 0x7F81,
            0x3F80, 0xBF80, 0x3F00, 0x4020,
        ),
    }
)  # fmt: skip


def dtypes(*kinds: str) -> st.SearchStrategy[DataType]:
    """Element types that a tensor of a2a3 can hold, of the given kinds ('bool', 'int', 'uint', 'float'; all if none).

    Raises ValueError for another kind.
    """
    if unknown := set(kinds) - set(KINDS):
        raise ValueError(f"kinds are {KINDS}, got {sorted(unknown)}")
    wanted = kinds or KINDS
    return st.sampled_from(
        [d for d in DTYPES.values() if d.numpy is not None and d.kind in wanted and d.name != "INDEX"]
    )


def shapes(
    dtype: DataType, *, rank: int = 2, max_side: int = 64, whole_rows: bool = True
) -> st.SearchStrategy[tuple[int, ...]]:
    """Shapes whose sides are at most `max_side`. whole_rows: the last side is a multiple of 32 bytes, as tiles need.

    Raises ValueError if no such side is allowed.
    """
    unit = ROW_BYTES // dtype.nbytes if whole_rows else 1
    if max_side < unit:
        raise ValueError(f"a row of {dtype.name} has at least {unit} elements, max_side is {max_side}")
    last = st.integers(1, max_side // unit).map(lambda count: count * unit)
    return st.tuples(*[st.integers(1, max_side)] * (rank - 1), last)


def special_values(dtype: DataType) -> np.ndarray:
    """The values of `dtype` that arithmetic gets wrong: NaN, infinities, both zeros, subnormals, extremes, ties."""
    assert dtype.numpy is not None
    if dtype.kind == "float":
        return np.array(_FLOAT_BITS[dtype.name], np.dtype(f"uint{dtype.nbytes * 8}")).view(dtype.numpy)
    if dtype.kind == "bool":
        return np.array([False, True])
    info = np.iinfo(dtype.numpy)
    values = {info.min, info.min + 1, -1, 0, 1, 2, info.max // 2, info.max - 1, info.max}
    return np.array(sorted(value for value in values if value >= info.min), dtype.numpy)


@st.composite
def tensors(draw: st.DrawFn, dtype: DataType, shape: tuple[int, ...], *, special: bool = True) -> np.ndarray[Any, Any]:
    """Arrays of `dtype`, drawn bit pattern by bit pattern. special: mostly special values, NaN among them.

    Without `special`, floats are finite and between -4 and 4, and integers between -100 and 100 (0 and 100).
    """
    assert dtype.numpy is not None
    if special and dtype.kind != "bool":
        bits = np.dtype(f"uint{dtype.nbytes * 8}")
        known = [int(value) for value in special_values(dtype).view(bits)]
        elements = st.sampled_from(known) | st.integers(0, int(np.iinfo(bits).max))
        return draw(hnp.arrays(bits, shape, elements=elements)).view(dtype.numpy)
    if dtype.kind == "bool":
        return draw(hnp.arrays(np.bool_, shape))
    if dtype.kind == "float":
        return (
            draw(hnp.arrays(np.float32, shape, elements=st.integers(-1024, 1024))).__truediv__(256).astype(dtype.numpy)
        )
    lowest = 0 if dtype.kind == "uint" else -100
    return draw(hnp.arrays(dtype.numpy, shape, elements=st.integers(lowest, 100)))
