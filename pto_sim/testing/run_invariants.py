"""Invariants over several runs of one kernel: nothing but its inputs decides a bit; a larger ring never hurts."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

from pto_sim.testing.runs import run
from pto_sim.testing.verdict import HOLDS, Verdict, broken

if TYPE_CHECKING:
    from pto_sim.backend import BackendRun

ORDER = ("info", "warning", "error")


def completes_with(kernel: object, args: Sequence[object], ring_heap: int | Sequence[int], **options: Any) -> Verdict:
    """The kernel runs to its end with these ring heaps (bytes: one size for all four rings, or four sizes).

    Its reason holds the runtime's error code, the state of the ring and the advice. options: as for `run`; time is not
    simulated unless asked for.
    """
    done = run(kernel, args, ring_heap_bytes=_four(ring_heap), **{"timing": False, **options})
    return HOLDS if done.fault is None else broken(f"with ring heaps of {_four(ring_heap)} bytes: {done.fault}")


def bits_equal(first: BackendRun, second: BackendRun) -> Verdict:
    """Two runs gave the same bits in every output, and wrote the same elements. A NaN equals itself bit by bit."""
    for done in (first, second):
        if done.fault is not None:
            return broken(f"{done.kernel} ended with {done.fault}")
    if list(first.outputs) != list(second.outputs):
        return broken(f"outputs {list(first.outputs)} and {list(second.outputs)}")
    for name, have in first.outputs.items():
        verdict = _same_array(name, have, second.outputs[name])
        if not verdict:
            return verdict
    return HOLDS


def _same_array(name: str, have: np.ndarray, other: np.ndarray) -> Verdict:
    if have.shape != other.shape or have.dtype != other.dtype:
        return broken(f"{name}: {have.shape} {have.dtype} and {other.shape} {other.dtype}")
    bits = [np.ascontiguousarray(side).view(np.uint8).reshape(*have.shape, -1) for side in (have, other)]
    different = (bits[0] != bits[1]).any(axis=-1)
    if not different.any():
        return HOLDS
    where = tuple(int(i) for i in np.argwhere(different)[0])
    return broken(
        f"{name}: {int(different.sum())} of {have.size} elements differ, the first at {list(where)}: "
        f"{have[where]} and {other[where]}"
    )


def bits_equal_under(kernel: object, args: Sequence[object], **axes: Iterable[Any]) -> Verdict:
    """The outputs have the same bits as in a plain run when one option at a time takes each value of its axis.

    axes: fields of `RunOptions` with the values to try, for example `scopes=("flat", "auto")`, `lanes=(1, 7)`,
    `block_order_seed=range(3)`, `hoist=[("scratch",)]`. Time is not simulated.
    """
    standard = run(kernel, args, timing=False)
    for option, values in axes.items():
        for value in values:
            verdict = bits_equal(standard, run(kernel, args, **{"timing": False, option: value}))
            if not verdict:
                return broken(f"under {option}={value!r}: {verdict.reason}")
    return HOLDS


def monotone_in_ring_size(kernel: object, args: Sequence[object], sizes: Iterable[int], **options: Any) -> Verdict:
    """Once the kernel completes with a ring heap it completes with every larger one of `sizes`, with the same bits."""
    runs = [
        (size, run(kernel, args, ring_heap_bytes=(size,) * 4, **{"timing": False, **options}))
        for size in sorted(set(sizes))
    ]
    for (small, before), (large, after) in pairwise(runs):
        if before.fault is not None:
            continue
        verdict = bits_equal(before, after)
        if not verdict:
            return broken(f"with {small} bytes it completes, with {large}: {verdict.reason}")
    return HOLDS


def no_findings(done: BackendRun, *, severity: str = "warning", ignore: Iterable[str] = ()) -> Verdict:
    """No finding of this severity or higher, except the codes in `ignore`. Raises ValueError for another severity."""
    if severity not in ORDER:
        raise ValueError(f"severity is one of {ORDER}, got {severity!r}")
    ignored = set(ignore)
    found = [
        f"{finding.code} {finding.title} at {finding.site}: {finding.message}"
        for finding in done.findings
        if finding.code not in ignored and ORDER.index(finding.severity) >= ORDER.index(severity)
    ]
    return broken("; ".join(found)) if found else HOLDS


def outputs_match(done: BackendRun, expected: Mapping[str, Any], *, rtol: float = 0.0, atol: float = 0.0) -> Verdict:
    """Every output named in `expected` is there, with |actual - expected| <= atol + rtol * |expected|; NaN is NaN."""
    if done.fault is not None:
        return broken(f"{done.kernel} ended with {done.fault}")
    for name, want in expected.items():
        if name not in done.outputs:
            return broken(f"no output {name!r}; there are {list(done.outputs)}")
        verdict = compare_arrays(name, np.asarray(done.outputs[name]), np.asarray(want), rtol=rtol, atol=atol)
        if not verdict:
            return verdict
    return HOLDS


def compare_arrays(name: str, have: np.ndarray, want: np.ndarray, *, rtol: float, atol: float) -> Verdict:
    """|have - want| <= atol + rtol * |want| everywhere, a NaN matching a NaN. `name` is for the message."""
    if have.shape != want.shape:
        return broken(f"{name}: shape {have.shape}, expected {want.shape}")
    wide = np.int64 if have.dtype.kind in "biu" and want.dtype.kind in "biu" else np.float64
    close = np.isclose(have.astype(wide), want.astype(wide), rtol=rtol, atol=atol, equal_nan=True)
    if close.all():
        return HOLDS
    where = tuple(int(i) for i in np.argwhere(~close)[0])
    return broken(
        f"{name}: {int((~close).sum())} of {have.size} elements are off, the first at {list(where)}: "
        f"{have[where]}, expected {want[where]} (rtol {rtol:g}, atol {atol:g})"
    )


def _four(sizes: int | Sequence[int]) -> tuple[int, ...]:
    return (sizes,) * 4 if isinstance(sizes, int) else tuple(sizes)
