"""Elements picked and placed by an index tile along an axis, and positions of the elements that pass a comparison.

pypto: src/ir/transforms/op_conversion_registry.cpp lowers these names of the language to TGATHER, TSCATTER and TSEL.
TSCATTER of a2a3 clears its destination first (pto-isa: include/pto/npu/a2a3/TScatter.hpp), so the lowering selects
between what was scattered and the old values: `scatter`, `scatter_rows` and `scatter_columns` keep them.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from pto_sim.numerics.comparisons import compare
from pto_sim.numerics.element_types import FILL_BYTE, STORAGE
from pto_sim.numerics.index_errors import TooManyMatchesError, first_outside
from pto_sim.numerics.patterns import pattern_columns
from pto_sim.numerics.profiles import A2A3, CPU_SIM


def _lanes(*operands: np.ndarray) -> int:
    return max(len(operand) for operand in operands)


def gather_axis(x: np.ndarray, index: np.ndarray, *, axis: int, profile: str = "a2a3") -> np.ndarray:
    """out[i] = x[i with i[axis] replaced by index[i]]. x: [L, *S]; index: [L, *K] with K <= S on the other axes.

    axis does not count the lanes. An index outside: GatherIndexError in a2a3, 0 in cpu-sim.
    """
    lanes, place = _lanes(x, index), axis % (x.ndim - 1) + 1
    window = tuple(slice(None) if a in (0, place) else slice(0, n) for a, n in enumerate(index.shape))
    source = np.broadcast_to(x[window], (lanes, *x[window].shape[1:]))
    at = np.broadcast_to(index, (lanes, *index.shape[1:])).astype(np.int64)
    error = first_outside(at, x.shape[place], "gather")
    if error is None:
        return np.take_along_axis(source, at, place)
    if profile != CPU_SIM:
        raise error
    inside = (at >= 0) & (at < x.shape[place])
    picked = np.take_along_axis(source, np.where(inside, at, 0), place)
    return np.where(inside, picked, np.zeros((), x.dtype))


def scatter(x: np.ndarray, index: np.ndarray, src: np.ndarray, *, profile: str = "a2a3") -> np.ndarray:
    """A copy of x with out[b, index[b, k]] = src[b, k], k ascending. x: [L, B, S]; index, src: [L, R, K], R <= B.

    Raises GatherIndexError for an index outside its row.
    """
    lanes = _lanes(x, index, src)
    error = first_outside(index, x.shape[-1], "scatter")
    if error is not None:
        raise error
    out = np.array(np.broadcast_to(x, (lanes, *x.shape[1:])))
    at = np.broadcast_to(index, (lanes, *index.shape[1:])).astype(np.int64)
    values = np.broadcast_to(src, (lanes, *src.shape[1:]))
    lane, row = np.ogrid[:lanes, : index.shape[1]]
    for k in range(index.shape[-1]):  # one column after another, so that the last write to a place stays
        out[lane, row, at[..., k]] = values[..., k]
    return out


def scatter_rows(x: np.ndarray, index: np.ndarray, src: np.ndarray, *, profile: str = "a2a3") -> np.ndarray:
    """A copy of x with row index.flat[k] = src[k], k ascending. x: [L, M, D]; index: [L, B, S]; src: [L, B * S, D].

    Raises GatherIndexError for a row that x does not have.
    """
    lanes = _lanes(x, index, src)
    error = first_outside(index, x.shape[1], "scatter")
    if error is not None:
        raise error
    out = np.array(np.broadcast_to(x, (lanes, *x.shape[1:])))
    at = np.broadcast_to(index, (lanes, *index.shape[1:])).reshape(lanes, -1).astype(np.int64)
    values = np.broadcast_to(src, (lanes, *src.shape[1:]))
    lane = np.arange(lanes)
    for k in range(at.shape[1]):
        out[lane, at[:, k]] = values[:, k]
    return out


def scatter_columns(dst: np.ndarray, src: np.ndarray, *, pattern: int, profile: str = "a2a3") -> np.ndarray:
    """dst with the columns of a pattern replaced by those of src; the others keep their values."""
    out = np.array(np.broadcast_to(dst, (_lanes(dst, src), *dst.shape[1:])))
    out[..., pattern_columns(pattern, dst.shape[-1])] = src
    return out


def _passes(x: np.ndarray, value: Any, cmp_mode: int) -> np.ndarray:
    lanes = max(len(x), np.size(value))
    return np.broadcast_to(compare(x, value, cmp_mode, A2A3), (lanes, *x.shape[1:]))


def gather_compare(
    x: np.ndarray, value: Any, *, cmp_mode: int, offset: int, columns: int, profile: str = "a2a3"
) -> np.ndarray:
    """Columns of the elements that pass `element ? value`, ascending, each plus offset. x: [L, M, N]; [L, M, columns].

    Places after the last match are not written: they hold the fill. Raises TooManyMatchesError where a row has more
    matches than columns, because the device would write them over the next row.
    """
    passes = _passes(x, value, cmp_mode)
    counts = passes.sum(-1)
    if (counts > columns).any():
        lane, row = np.argwhere(counts > columns)[0].tolist()
        raise TooManyMatchesError(lane, row, int(counts[lane, row]), columns)
    out = np.full((*passes.shape[:-1], columns * 4), FILL_BYTE, np.uint8).view(np.int32)
    place = np.cumsum(passes, -1) - 1
    lane, row, column = np.nonzero(passes)
    out[lane, row, place[lane, row, column]] = column + offset
    return out


def gather_count(x: np.ndarray, value: Any, *, cmp_mode: int, dtype: str, profile: str = "a2a3") -> np.ndarray:
    """How many elements of each row pass `element ? value`. x: [L, M, N]; the result is a row [L, 1, M]."""
    return _passes(x, value, cmp_mode).sum(-1).astype(STORAGE[dtype])[:, None, :]
