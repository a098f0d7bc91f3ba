"""Comparing the outputs of a run with its golden."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from pto_sim.golden.comparers import Comparer
from pto_sim.golden.tensors import as_numpy

_SHOWN = 20


def validate_golden(
    outputs: Mapping[str, Any],
    golden: Mapping[str, Any],
    rtol: float = 1e-5,
    atol: float = 1e-5,
    compare_fn: Mapping[str, Comparer] | None = None,
    inputs: Mapping[str, Any] | None = None,
) -> None:
    """Compare every output, print a line for each, and raise AssertionError naming all that differ.

    An output without an entry in compare_fn passes if |actual - expected| <= atol + rtol * |expected| everywhere;
    NaN equals nothing. rtol and atol are also what comparers without their own tolerance use. The lines are upstream's
    (pypto-lib: golden/validation.py).
    """
    failures: dict[str, str] = {}
    for name, actual in outputs.items():
        comparer = (compare_fn or {}).get(name)
        label = "" if comparer is None else f" ({getattr(comparer, '__name__', 'custom')})"
        if comparer is None:
            passed, detail = _all_close(as_numpy(actual), as_numpy(golden[name]), rtol, atol)
        else:
            passed, detail = comparer(
                actual,
                golden[name],
                actual_outputs=dict(outputs),
                expected_outputs=dict(golden),
                inputs=dict(inputs or {}),
                rtol=rtol,
                atol=atol,
            )
        verdict = "PASS" if passed else "FAIL"
        described = f"shape={tuple(actual.shape)} dtype={actual.dtype}"
        print(f"[RUN]   '{name}' {verdict}  {described}{label}", flush=True)
        if not passed:
            failures[name] = f"  '{name}' FAIL{label}  {described}\n{detail}"
    if failures:
        raise AssertionError("\n".join([f"Output(s) does not match golden: {list(failures)}", *failures.values()]))


def _all_close(actual: np.ndarray, expected: np.ndarray, rtol: float, atol: float) -> tuple[bool, str]:
    if actual.shape != expected.shape or actual.dtype != expected.dtype:
        sides = [f"{side.shape} {side.dtype}" for side in (actual, expected)]
        return False, f"    actual is {sides[0]}, expected is {sides[1]}"
    have, want = (side.astype(np.float64) for side in (actual, expected))
    close = np.isclose(have, want, rtol=rtol, atol=atol)
    if close.all():
        return True, ""
    places = np.flatnonzero(~close)
    lines = [
        f"    Mismatched elements: {len(places)}/{have.size}  rtol={rtol} atol={atol}",
        f"    first {min(len(places), _SHOWN)} mismatches:",
    ]
    lines += [f"    [{i}] actual={have.flat[i]:.8g}, expected={want.flat[i]:.8g}" for i in places[:_SHOWN]]
    return False, "\n".join(lines)


def checked_compare_fn(compare_fn: Mapping[str, Callable[..., Any]] | None, outputs: list[str]) -> dict[str, Comparer]:
    """`compare_fn` as a dict. Raises ValueError for a name that is no output: its comparison would never happen."""
    given = dict(compare_fn or {})
    unknown = sorted(set(given) - set(outputs))
    if unknown:
        raise ValueError(f"compare_fn names {', '.join(unknown)}; the outputs are {', '.join(outputs) or 'none'}")
    return given
