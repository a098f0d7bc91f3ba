"""Slow twins of the operators that move, compare or make elements: one element at a time, over plain lists.

As in `strict`, a twin has the signature of its row's function and shares no code with it. Profile a2a3.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

import numpy as np

from pto_sim.numerics.element_types import STORAGE
from pto_sim.numerics.strict import _each, _second, _value, wrap

_COMPARE = (operator.eq, operator.ne, operator.lt, operator.le, operator.gt, operator.ge)
_PERIOD = {1: (2, 0), 2: (2, 1), 3: (4, 0), 4: (4, 1), 5: (4, 2), 6: (4, 3), 7: (1, 0)}


def _filled(shape: tuple[int, ...], dtype: np.dtype, element: Callable[..., Any]) -> np.ndarray:
    out = np.empty(shape, dtype)
    for place in np.ndindex(*shape):
        out[place] = element(*place)
    return out


def _lane(x: np.ndarray, lane: int) -> np.ndarray:
    return x[lane if len(x) > 1 else 0]


def _expand(target: np.ndarray, v: np.ndarray, *, profile: str = "a2a3") -> np.ndarray:
    shape = (len(v), *target.shape[1:])
    return _filled(shape, v.dtype, lambda i, r, c: v[i, r % v.shape[1], c % v.shape[2]])


def _gather(x: np.ndarray, index: np.ndarray, *, profile: str = "a2a3") -> np.ndarray:
    lanes = max(len(x), len(index))
    shape = (lanes, *index.shape[1:])
    return _filled(shape, x.dtype, lambda i, r, c: _lane(x, i)[r, int(_lane(index, i)[r, c])])


def _gather_flat(x: np.ndarray, index: np.ndarray, *, profile: str = "a2a3") -> np.ndarray:
    shape = (max(len(x), len(index)), *index.shape[1:])
    width = x.shape[2]
    return _filled(shape, x.dtype, lambda i, r, c: _lane(x, i)[divmod(int(_lane(index, i)[r, c]), width)])


def _gather_mask(x: np.ndarray, *, pattern: int, dtype: str, profile: str = "a2a3") -> np.ndarray:
    period, first = _PERIOD[pattern]
    columns = [c for c in range(x.shape[-1]) if c % period == first]
    shape = (*x.shape[:-1], len(columns))
    return _filled(shape, x.dtype, lambda i, r, c: x[i, r, columns[c]]).view(STORAGE[dtype])


def _gatherb(x: np.ndarray, offsets: np.ndarray, *, columns: int, dtype: str = "", profile: str = "a2a3") -> np.ndarray:
    element = STORAGE[dtype] if dtype else x.dtype
    lanes, rows = max(len(x), len(offsets)), offsets.shape[1]
    out = []
    for lane in range(lanes):
        raw = _lane(x, lane).tobytes()
        for row in range(rows):
            starts = [int(o) for o in _lane(offsets, lane)[row]][: columns * element.itemsize // 32]
            out.append(b"".join(raw[start : start + 32] for start in starts))
    return np.frombuffer(b"".join(out), element).reshape(lanes, rows, columns)


def _scatter_flat(dst: np.ndarray, src: np.ndarray, index: np.ndarray, *, profile: str = "a2a3") -> np.ndarray:
    lanes = max(len(dst), len(src), len(index))
    out = np.zeros((lanes, *dst.shape[1:]), dst.dtype)
    for lane, r, c in np.ndindex(lanes, *index.shape[1:]):
        out[lane][divmod(int(_lane(index, lane)[r, c]), dst.shape[2])] = _lane(src, lane)[r, c]
    return out


def _scatter_mask(dst: np.ndarray, src: np.ndarray, *, pattern: int, profile: str = "a2a3") -> np.ndarray:
    period, first = _PERIOD[pattern]
    lanes = max(len(dst), len(src))
    zero = np.zeros((), dst.dtype)[()]
    return _filled(
        (lanes, *dst.shape[1:]), dst.dtype,
        lambda i, r, c: _lane(src, i)[r, c // period] if c % period == first else zero,
    )  # fmt: skip


def _concat(*parts: np.ndarray, profile: str = "a2a3") -> np.ndarray:
    lanes, rows = max(len(p) for p in parts), parts[0].shape[1]
    rowwise = [[[v for p in parts for v in _lane(p, i)[r]] for r in range(rows)] for i in range(lanes)]
    return np.array(rowwise, parts[0].dtype)


def _transpose(x: np.ndarray, *, axis1: int = 0, axis2: int = 1, profile: str = "a2a3") -> np.ndarray:
    return _filled((len(x), x.shape[2], x.shape[1]), x.dtype, lambda i, r, c: x[i, c, r])


def _full(*, shape: tuple[int, ...], dtype: str, value: Any, profile: str = "a2a3") -> np.ndarray:
    return _filled((1, *shape), STORAGE[dtype], lambda *_: value)


def _arange(
    *, start: int, shape: tuple[int, ...], dtype: str, descending: bool = False, profile: str = "a2a3"
) -> np.ndarray:
    kind = STORAGE[dtype]
    return _filled((1, *shape), kind, lambda *at: wrap(start - at[-1] if descending else start + at[-1], kind))


def _tri(
    *, diagonal: int, shape: tuple[int, ...], dtype: str = "INT32", upper: bool = False, profile: str = "a2a3"
) -> np.ndarray:
    return _filled((1, *shape), STORAGE[dtype], lambda _, r, c: int(c - r >= diagonal if upper else c - r <= diagonal))


def _shift(left: bool) -> Callable[..., np.ndarray]:
    """Of a value promoted to 32 bits, by the count's low 5 bits; Python's >> of a negative number is arithmetic."""

    def twin(a: np.ndarray, b: Any, *, profile: str = "a2a3") -> np.ndarray:
        return _each(
            lambda x, y: wrap(x << (y & 31) if left else x >> (y & 31), a.dtype), a, _second(a, b), out=a.dtype
        )

    return twin


def _compare(
    a: np.ndarray, b: Any, *, cmp_type: int, packed_mask: bool = True, width: int = 0, profile: str = "a2a3"
) -> np.ndarray:
    bits = _each(lambda x, y: int(_COMPARE[cmp_type](x, y)), a, _second(a, b), out=np.dtype(np.uint8))
    if not packed_mask:
        return bits.astype(a.dtype)
    lanes, rows, columns = bits.shape
    out = np.zeros((lanes, rows, (columns + 255) // 256 * 32), np.uint8)
    for i, r, c in np.ndindex(lanes, rows, columns):
        out[i, r, c // 8] |= bits[i, r, c] << (c % 8)
    return out


def _bit(mask: np.ndarray, lane: int, r: int, c: int) -> int:
    return int(_lane(mask, lane)[r].tobytes()[c // 8]) >> (c % 8) & 1


def _select(mask: np.ndarray, a: np.ndarray, b: Any, *, mask_bytes: int = 0, profile: str = "a2a3") -> np.ndarray:
    other = np.broadcast_to(_second(a, b), a.shape)
    return _filled(a.shape, a.dtype, lambda i, r, c: a[i, r, c] if _bit(mask, i, r, c) else other[i, r, c])


def _records(x: np.ndarray) -> list[tuple[float, tuple[Any, ...]]]:
    width = 8 // x.itemsize
    flat = x.reshape(-1)
    return [(_value(flat[p]), tuple(flat[p : p + width])) for p in range(0, len(flat), width)]


def _sort32(x: np.ndarray, index: np.ndarray, *, width: int = 0, profile: str = "a2a3") -> np.ndarray:
    size = 8 // x.itemsize
    out = np.zeros((*x.shape[:2], x.shape[2] * size), x.dtype)
    for i, r in np.ndindex(*x.shape[:2]):
        for first in range(0, x.shape[2], 32):
            pairs = [(_value(x[i, r, c]), int(index[i, r, c]), c) for c in range(first, min(first + 32, x.shape[2]))]
            for place, (_, word, c) in enumerate(sorted(pairs, key=lambda pair: (-pair[0], pair[1]))):
                at = (first + place) * size
                halves = np.array([word], np.uint32).view(x.dtype)
                out[i, r, at] = x[i, r, c]
                out[i, r, at + size - len(halves) : at + size] = halves
    return out


def _merged(lists: list[list[tuple[float, tuple[Any, ...]]]], exhausted: bool) -> list[tuple[Any, ...]]:
    """The largest head first; of equal heads that of the earlier list."""
    out = []
    queues = [list(part) for part in lists]
    while any(queues):
        best = max(queue[0][0] for queue in queues if queue)
        chosen = next(queue for queue in queues if queue and queue[0][0] == best)
        out.append(chosen.pop(0)[1])
        if exhausted and not chosen:
            break
    return out


def _mrgsort(x: np.ndarray, *, block_len: int, profile: str = "a2a3") -> np.ndarray:
    out = x.copy()
    for lane in range(len(x)):
        flat = out[lane].reshape(-1)
        for first in range(0, len(flat) - 4 * block_len + 1, 4 * block_len):
            runs = [_records(flat[first + k * block_len : first + (k + 1) * block_len].copy()) for k in range(4)]
            flat[first : first + 4 * block_len] = [v for record in _merged(runs, False) for v in record]
    return out


def _mrgsort_lists(*lists: np.ndarray, exhausted: bool = False, profile: str = "a2a3") -> np.ndarray:
    lanes, columns = max(len(part) for part in lists), sum(part.shape[-1] for part in lists)
    out = np.zeros((lanes, 1, columns), lists[0].dtype)
    for lane in range(lanes):
        values = [v for record in _merged([_records(_lane(p, lane)) for p in lists], exhausted) for v in record]
        out[lane, 0, : len(values)] = values
    return out


def _philox(counter: int, key: tuple[int, int], rounds: int) -> list[int]:
    """One block of four words."""
    c = [counter >> (32 * place) & 0xFFFFFFFF for place in range(4)]
    k0, k1 = key
    for _ in range(rounds):
        low, high = c[0] * 0xD2511F53, c[2] * 0xCD9E8D57
        c = [(high >> 32) ^ c[1] ^ k0, high & 0xFFFFFFFF, (low >> 32) ^ c[3] ^ k1, low & 0xFFFFFFFF]
        k0, k1 = (k0 + 0x9E3779B9) & 0xFFFFFFFF, (k1 + 0xBB67AE85) & 0xFFFFFFFF
    return c


def _random(
    *,
    key: tuple[int, int],
    counter: tuple[int, int, int, int],
    shape: tuple[int, ...],
    valid: tuple[int, ...] | None = None,
    dtype: str = "UINT32",
    rounds: int = 10,
    row_stride: int = 0,
    profile: str = "a2a3",
) -> np.ndarray:
    rows, columns = valid or shape
    stride = row_stride or (shape[-1] + 7) // 8 * 8
    start = sum(word << (32 * place) for place, word in enumerate(counter))
    chunks = (columns + 255) // 256

    def word(r: int, c: int) -> int:
        if r >= rows or c >= columns:
            return 0
        step = (r * chunks + c // 256) * (stride // 4) + c % 64
        return wrap(_philox((start + step) % (1 << 128), key, rounds)[c % 256 // 64], STORAGE[dtype])

    return _filled((1, *shape), STORAGE[dtype], lambda _, r, c: word(r, c))


STRICT_MOVES: Mapping[str, Callable[..., np.ndarray]] = MappingProxyType(
    {
        "row_expand": _expand,
        "col_expand": _expand,
        "gather": _gather,
        "gather_flat": _gather_flat,
        "gather_mask": _gather_mask,
        "gatherb": _gatherb,
        "scatter_flat": _scatter_flat,
        "scatter_mask": _scatter_mask,
        "concat": _concat,
        "transpose": _transpose,
        "full": _full,
        "arange": _arange,
        "tri": _tri,
        "random": _random,
        "shl": _shift(True),
        "shr": _shift(False),
        "cmp": _compare,
        "sel": _select,
        "sels": _select,
        "sort32": _sort32,
        "mrgsort": _mrgsort,
        "mrgsort_lists": _mrgsort_lists,
    }
)
