"""Slow twins of the gathers and scatters of `indexed` and `table_access`: one element at a time.

As in `strict`, a twin has the signature of its row's function and shares no code with it. Profile a2a3, indices inside.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

import numpy as np

from pto_sim.numerics.element_types import FILL_BYTE, STORAGE

_COMPARE = (operator.eq, operator.ne, operator.lt, operator.le, operator.gt, operator.ge)
_PERIOD = {1: (2, 0), 2: (2, 1), 3: (4, 0), 4: (4, 1), 5: (4, 2), 6: (4, 3), 7: (1, 0)}
_ROWS = 0


def _lane(x: np.ndarray, lane: int) -> np.ndarray:
    return x[lane if len(x) > 1 else 0]


def _lanes(*operands: np.ndarray) -> range:
    return range(max(len(operand) for operand in operands))


def _gather_axis(x: np.ndarray, index: np.ndarray, *, axis: int, profile: str = "a2a3") -> np.ndarray:
    place = axis % (x.ndim - 1)
    out = np.empty((len(_lanes(x, index)), *index.shape[1:]), x.dtype)
    for lane in _lanes(x, index):
        for at in np.ndindex(*index.shape[1:]):
            source = list(at)
            source[place] = int(_lane(index, lane)[at])
            out[(lane, *at)] = _lane(x, lane)[tuple(source)]
    return out


def _scatter(x: np.ndarray, index: np.ndarray, src: np.ndarray, *, profile: str = "a2a3") -> np.ndarray:
    out = np.stack([_lane(x, lane) for lane in _lanes(x, index, src)])
    for lane in _lanes(x, index, src):
        for row in range(index.shape[1]):
            for k in range(index.shape[2]):
                out[lane, row, int(_lane(index, lane)[row, k])] = _lane(src, lane)[row, k]
    return out


def _scatter_rows(x: np.ndarray, index: np.ndarray, src: np.ndarray, *, profile: str = "a2a3") -> np.ndarray:
    out = np.stack([_lane(x, lane) for lane in _lanes(x, index, src)])
    columns = index.shape[2]
    for lane in _lanes(x, index, src):
        for k in range(index.shape[1] * columns):
            row = int(_lane(index, lane)[k // columns, k % columns])
            for column in range(x.shape[2]):
                out[lane, row, column] = _lane(src, lane)[k, column]
    return out


def _scatter_columns(dst: np.ndarray, src: np.ndarray, *, pattern: int, profile: str = "a2a3") -> np.ndarray:
    period, first = _PERIOD[pattern]
    out = np.stack([_lane(dst, lane) for lane in _lanes(dst, src)])
    for lane in _lanes(dst, src):
        for row in range(dst.shape[1]):
            taken = 0
            for column in range(dst.shape[2]):
                if column % period == first:
                    out[lane, row, column] = _lane(src, lane)[row, taken]
                    taken += 1
    return out


def _scalar(value: Any, lane: int) -> Any:
    values = np.reshape(value, -1)
    return values[lane if len(values) > 1 else 0]


def _matching(x: np.ndarray, value: Any, cmp_mode: int, lane: int, row: int) -> list[int]:
    bound = _scalar(value, lane)
    return [c for c in range(x.shape[2]) if _COMPARE[cmp_mode](_lane(x, lane)[row, c], bound)]


def _compared_lanes(x: np.ndarray, value: Any) -> range:
    return range(max(len(x), np.size(value)))


def _gather_compare(
    x: np.ndarray, value: Any, *, cmp_mode: int, offset: int, columns: int, profile: str = "a2a3"
) -> np.ndarray:
    lanes = _compared_lanes(x, value)
    unwritten = int.from_bytes(bytes([FILL_BYTE] * 4), "little", signed=True)
    out = np.full((len(lanes), x.shape[1], columns), unwritten, np.int32)
    for lane in lanes:
        for row in range(x.shape[1]):
            for place, column in enumerate(_matching(x, value, cmp_mode, lane, row)):
                out[lane, row, place] = column + offset
    return out


def _gather_count(x: np.ndarray, value: Any, *, cmp_mode: int, dtype: str, profile: str = "a2a3") -> np.ndarray:
    lanes = _compared_lanes(x, value)
    out = np.empty((len(lanes), 1, x.shape[1]), STORAGE[dtype])
    for lane in lanes:
        for row in range(x.shape[1]):
            out[lane, 0, row] = len(_matching(x, value, cmp_mode, lane, row))
    return out


def _mgather(table: np.ndarray, index: np.ndarray, *, coalesce: int, oob: int, profile: str = "a2a3") -> np.ndarray:
    lanes, wide = _lanes(table, index), table.shape[-1]
    places = [[int(i) for i in _lane(index, lane).reshape(-1)] for lane in lanes]
    flat = [_lane(table, lane).reshape(-1) for lane in lanes]
    if coalesce == _ROWS:
        rows = [[[flat[i][row * wide + c] for c in range(wide)] for row in places[i]] for i in lanes]
        return np.array(rows, table.dtype)
    elements = [[flat[i][place] for place in places[i]] for i in lanes]
    return np.array(elements, table.dtype).reshape(len(lanes), *index.shape[1:])


def _mscatter(table: np.ndarray, src: np.ndarray, index: np.ndarray, *, profile: str = "a2a3") -> np.ndarray:
    flat = list(table.reshape(-1))
    for lane in _lanes(src, index):
        for at in np.ndindex(*index.shape[1:]):
            flat[int(_lane(index, lane)[at])] = _lane(src, lane)[at]
    return np.array(flat, table.dtype).reshape(table.shape)


STRICT_INDEXED: Mapping[str, Callable[..., np.ndarray]] = MappingProxyType(
    {
        "gather_axis": _gather_axis,
        "gather_compare": _gather_compare,
        "gather_count": _gather_count,
        "mgather": _mgather,
        "mscatter": _mscatter,
        "scatter": _scatter,
        "scatter_columns": _scatter_columns,
        "scatter_rows": _scatter_rows,
    }
)
