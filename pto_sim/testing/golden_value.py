"""An expected array that explains a mismatch in pytest's assertion message."""

from __future__ import annotations

from typing import Any

import numpy as np

from pto_sim.testing.run_invariants import compare_arrays
from pto_sim.testing.verdict import Verdict


class Golden:
    """What `golden(...)` returns: equal to every array that is close enough to the expected one."""

    __array_ufunc__ = None  # `array == golden` asks this class, not NumPy

    def __init__(self, expected: Any, rtol: float, atol: float) -> None:
        self.expected, self.rtol, self.atol = np.asarray(expected), rtol, atol

    def compare(self, actual: Any) -> Verdict:
        """Why `actual` differs, or that it does not."""
        return compare_arrays("array", np.asarray(actual), self.expected, rtol=self.rtol, atol=self.atol)

    def __eq__(self, actual: object) -> bool:
        return bool(self.compare(actual))

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"golden({self.expected.dtype} {list(self.expected.shape)}, rtol={self.rtol:g}, atol={self.atol:g})"


def golden(expected: Any, *, rtol: float = 1e-5, atol: float = 1e-5) -> Golden:
    """For `assert run.outputs["y"] == golden(expected)`: |actual - expected| <= atol + rtol * |expected| everywhere.

    A NaN matches a NaN. With the pytest plugin the message says how many elements are off, and where the first is.
    """
    return Golden(expected, rtol, atol)
