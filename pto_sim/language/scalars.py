"""Functions of scalars."""

from __future__ import annotations

import builtins
from typing import Any

import numpy as np

from pto_sim.engine.lanes import LaneScalar


def min(a: Any, b: Any) -> Any:
    """The smaller of two scalars."""
    return _choose(a, b, a < b if not isinstance(b, LaneScalar) else b > a, builtins.min)


def max(a: Any, b: Any) -> Any:
    """The larger of two scalars."""
    return _choose(a, b, a > b if not isinstance(b, LaneScalar) else b < a, builtins.max)


def _choose(a: Any, b: Any, first: Any, plain: Any) -> Any:
    if not isinstance(first, LaneScalar):
        return plain(a, b)
    values = [x.resolve() if isinstance(x, LaneScalar) else x for x in (a, b)]
    return LaneScalar(first.core, np.where(first.resolve(), *values), first.core.lanes)
