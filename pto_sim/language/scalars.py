"""Functions of scalars."""

from __future__ import annotations

from typing import Any

from pto_sim.engine.lanes import LaneScalar
from pto_sim.engine.scalar_arithmetic import larger, smaller


def min(a: Any, b: Any) -> Any:
    """The smaller of two scalars."""
    return _choose(a, b, smaller)


def max(a: Any, b: Any) -> Any:
    """The larger of two scalars."""
    return _choose(a, b, larger)


def _choose(a: Any, b: Any, function: Any) -> Any:
    if isinstance(a, LaneScalar):
        return a._binary(b, function)
    if isinstance(b, LaneScalar):
        return b._binary(a, function, swap=True)
    return function(a, b).item()
