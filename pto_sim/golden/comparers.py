"""Comparers for outputs that need not be equal: how many elements may be off, and by how much.

A comparer is called as `compare(actual, expected, *, actual_outputs, expected_outputs, inputs, rtol, atol)` and
returns (passed, message). Rules and parameters: pypto-lib, golden/validation.py. All arithmetic is FP32.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from pto_sim.golden.tensors import as_numpy, to_float32
from pto_sim.program.forks import read_slab

Comparer = Callable[..., "tuple[bool, str]"]
_SLAB = 1 << 20  # elements


def ratio_allclose(
    atol: float | None = None,
    rtol: float | None = None,
    max_error_ratio: float = 0.005,
    max_show: int = 10,
    valid_rows: int | None = None,
    valid_axis: int = 0,
    zero_tail: bool = False,
) -> Comparer:
    """Elements may be off by more than `atol + rtol * |expected|`, but at most round(max_error_ratio * count) of them.

    atol, rtol: None takes what the run was given. NaN and Inf on either side always fail. valid_rows: compare only so
    many entries of axis valid_axis; zero_tail: the others must be zero. max_show: mismatches that a message lists.

    Raises ValueError for a ratio outside [0, 1].
    """
    if not 0.0 <= max_error_ratio <= 1.0:
        raise ValueError(f"max_error_ratio must be in [0, 1], got {max_error_ratio}")
    given_atol, given_rtol = atol, rtol

    def compare(actual: Any, expected: Any, *, rtol: float, atol: float, **_context: Any) -> tuple[bool, str]:
        absolute = atol if given_atol is None else given_atol
        relative = rtol if given_rtol is None else given_rtol
        have, want, problem = _prepare(actual, expected, valid_rows, valid_axis, zero_tail)
        if problem or have.size == 0:
            return not problem, problem
        allowed = round(max_error_ratio * have.size)
        off = (np.abs(a - b) > absolute + relative * np.abs(b) for a, b in _slabs(have, want))
        if sum(int(np.count_nonzero(part)) for part in off) <= allowed:
            return True, ""
        have, want = to_float32(have), to_float32(want)
        difference = np.abs(have - want)
        tolerance = absolute + relative * np.abs(want)
        bad = difference > tolerance
        count = int(np.count_nonzero(bad))
        worst = np.unravel_index(int(np.argmax(difference)), have.shape)
        lines = [
            f"    ratio_allclose: {_too_many(count, have.size, max_error_ratio, allowed)}",
            f"    atol={absolute} rtol={relative}",
            f"    max abs diff={difference[worst]:.6g} at {_place(worst)} (tol={tolerance[worst]:.6g})",
            *_listing(bad, max_show, actual=have, expected=want, diff=difference, tol=tolerance),
        ]
        return False, "\n".join(lines)

    return _named(compare, f"ratio_allclose(atol={atol}, rtol={rtol}, max_error_ratio={max_error_ratio}", locals())


def ratio_reldiff(
    diff_thd: float = 0.01,
    pct_thd: float = 0.05,
    max_diff_hd: float = float("inf"),
    max_show: int = 10,
    valid_rows: int | None = None,
    valid_axis: int = 0,
    zero_tail: bool = False,
) -> Comparer:
    """A mixed difference may exceed `diff_thd` in at most round(pct_thd * count) elements, and never reach max_diff_hd.

    With d = |actual - expected|, the difference of an element is d where d < diff_thd, else
    d / (max(|actual|, |expected|, 2^-14 / diff_thd) + 1e-9). The other parameters are those of `ratio_allclose`.

    Raises ValueError for a threshold that is not positive or a ratio outside [0, 1].
    """
    if not (diff_thd > 0.0 and max_diff_hd > 0.0):
        raise ValueError(f"diff_thd and max_diff_hd must be > 0, got {diff_thd} and {max_diff_hd}")
    if not 0.0 <= pct_thd <= 1.0:
        raise ValueError(f"pct_thd must be in [0, 1], got {pct_thd}")

    def compare(actual: Any, expected: Any, **_context: Any) -> tuple[bool, str]:
        have, want, problem = _prepare(actual, expected, valid_rows, valid_axis, zero_tail)
        if problem or have.size == 0:
            return not problem, problem
        have, want = to_float32(have), to_float32(want)
        difference = np.abs(have - want)
        floor = np.float32(2.0**-14 / diff_thd)
        scale = np.maximum(np.maximum(np.abs(have), np.abs(want)), floor) + np.float32(1e-9)
        relative = np.where(difference < diff_thd, difference, difference / scale)
        bad = relative > diff_thd
        count, allowed = int(np.count_nonzero(bad)), round(pct_thd * have.size)
        worst = float(relative[bad].max()) if count else 0.0
        reasons = []
        if count > allowed:
            reasons.append(_too_many(count, have.size, pct_thd, allowed))
        if worst >= max_diff_hd:
            reasons.append(f"worst difference {worst:.4g} >= max_diff_hd={max_diff_hd:.4g}")
        if not reasons:
            return True, ""
        lines = [
            f"    ratio_reldiff: {' and '.join(reasons)}",
            f"    diff_thd={diff_thd} pct_thd={pct_thd} max_diff_hd={max_diff_hd}",
            *_listing(bad, max_show, actual=have, expected=want, abs_diff=difference, rdiff=relative),
        ]
        return False, "\n".join(lines)

    return _named(compare, f"ratio_reldiff(diff_thd={diff_thd}, pct_thd={pct_thd}, max_diff_hd={max_diff_hd}", locals())


def _prepare(
    actual: Any, expected: Any, valid_rows: int | None, axis: int, zero_tail: bool
) -> tuple[np.ndarray, np.ndarray, str]:
    """Both sides cut to their valid part, and what already fails ('' if nothing)."""
    have, want = as_numpy(actual), as_numpy(expected)
    if have.shape != want.shape:
        return have, want, f"    shapes differ: actual {have.shape}, expected {want.shape}"
    if valid_rows is not None:
        rows = have.shape[axis]
        if not 0 <= valid_rows <= rows:
            return have, want, f"    valid_rows={valid_rows} is outside axis {axis} of length {rows}"
        tail = np.count_nonzero(np.take(have, range(valid_rows, rows), axis)) if zero_tail else 0
        if tail:
            return have, want, f"    {tail} nonzero values behind the first {valid_rows} entries of axis {axis}"
        have, want = (np.take(side, range(valid_rows), axis) for side in (have, want))
    counts = [0, 0, 0, 0]
    for slab in _slabs(have, want):
        for i, (side, test) in enumerate((side, test) for side in slab for test in (np.isnan, np.isinf)):
            counts[i] += int(np.count_nonzero(test(side)))
    if any(counts):
        text = "actual: NaN={} Inf={}; expected: NaN={} Inf={}".format(*counts)
        return have, want, f"    values that cannot be compared: {text}"
    return have, want, ""


def _slabs(have: np.ndarray, want: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Parts of both sides as FP32, flat: a cache is large, and what is made of it should not be."""
    flat = [np.ascontiguousarray(side).reshape(-1) for side in (have, want)]
    for start in range(0, have.size, _SLAB):
        stop = min(start + _SLAB, have.size)
        yield to_float32(read_slab(flat[0], start, stop)), to_float32(read_slab(flat[1], start, stop))


def _too_many(count: int, size: int, ratio: float, allowed: int) -> str:
    return f"{count} of {size} elements off ({count / size:.4%}; allowed {ratio:.4%} = {allowed})"


def _listing(bad: np.ndarray, limit: int, **columns: np.ndarray) -> list[str]:
    """The first `limit` bad elements, one line each, with their flat index."""
    places = np.flatnonzero(bad)[:limit]
    lines = [f"    first {len(places)}:"]
    for place in places:
        values = ", ".join(f"{name}={float(column.flat[place]):.8g}" for name, column in columns.items())
        lines.append(f"    [{place}] {values}")
    return lines


def _place(index: Sequence[Any]) -> tuple[int, ...]:
    return tuple(int(i) for i in index)


def _named(compare: Comparer, start: str, given: dict[str, Any]) -> Comparer:
    """`compare` under a name that tells its parameters; messages and the run's output show it."""
    compare.__name__ = start + "".join(
        f", {key}={given[key]}" for key, default in (("valid_rows", None), ("valid_axis", 0), ("zero_tail", False))
        if given[key] != default
    ) + ")"  # fmt: skip
    return compare
