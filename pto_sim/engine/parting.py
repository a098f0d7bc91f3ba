"""Where the two numerics profiles part: an operator's result under both, on the same operands."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from pto_sim.numerics.element_types import is_float
from pto_sim.numerics.profiles import A2A3, CPU_SIM

PARTING = "profiles part"


def other_profile(profile: str) -> str:
    """The one of `a2a3` and `cpu-sim` that a run does not have."""
    return A2A3 if profile == CPU_SIM else CPU_SIM


def parting(name: str, profile: str, ours: np.ndarray, under: Callable[[str], np.ndarray]) -> str:
    """What to say of a result [L, *shape] that the other profile does not have; '' if it has the same bits.

    name: of the operator. under(profile): its result on the same operands. All NaN count as the same.
    """
    other = other_profile(profile)
    try:
        theirs = under(other)
    except (ValueError, ArithmeticError, LookupError) as error:
        return f"pl.{name}: {profile} has a value, {other} refuses ({error})"
    if ours.shape != theirs.shape or ours.dtype != theirs.dtype:
        return f"pl.{name}: {profile} gives {ours.dtype} {ours.shape[1:]}, {other} {theirs.dtype} {theirs.shape[1:]}"
    place = _first_difference(ours, theirs)
    if place is None:
        return ""
    return f"pl.{name} at {list(place[1:])}: {profile} gives {ours[place]}, {other} {theirs[place]}"


def _first_difference(a: np.ndarray, b: np.ndarray) -> tuple[int, ...] | None:
    bits = np.dtype(f"u{a.dtype.itemsize}")
    different = np.ascontiguousarray(a).view(bits) != np.ascontiguousarray(b).view(bits)
    if is_float(a.dtype):
        different &= ~(np.isnan(a) & np.isnan(b))
    if not different.any():
        return None
    return tuple(int(x) for x in np.unravel_index(int(np.argmax(different)), different.shape))
