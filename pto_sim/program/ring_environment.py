"""Ring sizes that nobody chose: the environment's PTO2_RING_*, else the runtime's defaults.

The runtime reads the environment at every dispatch; one that it cannot use it ignores as a whole, with a warning.
Source: simpler: src/a2a3/runtime/tensormap_and_ringbuffer/host/runtime_maker.cpp, docs/MULTI_RING.md.
"""

from __future__ import annotations

import os
import re
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, replace

from pto_sim.program.options import RunOptions
from pto_sim.program.ring_request import RINGS

_BLANKS = " \t\n\v\f\r"
_NUMBER = re.compile(r"\+?[0-9]+")


class RingEnvironmentWarning(UserWarning):
    """A variable of the environment that sizes rings and is ignored, as the runtime ignores it."""


@dataclass(frozen=True)
class _Variable:
    """One PTO2_RING_* variable: the field of RunOptions that it sizes, the runtime's default and what it accepts."""

    field: str
    default: int
    least: int
    most: int
    power_of_two: bool = False


VARIABLES: Mapping[str, _Variable] = {
    "PTO2_RING_TASK_WINDOW": _Variable("ring_task_window", 16384, 4, 2**31 - 1, power_of_two=True),
    "PTO2_RING_HEAP": _Variable("ring_heap_bytes", 256 * 2**20, 1024, 2**64 - 1),
    "PTO2_RING_DEP_POOL": _Variable("ring_dep_pool", 16384, 4, 2**31 - 1),
}


def with_ring_sizes(options: RunOptions) -> RunOptions:
    """`options` with every ring size that is 0 taken from the environment, else from the runtime's defaults.

    Warns (RingEnvironmentWarning) of a variable that the runtime ignores.
    """
    sizes = {}
    for name, variable in VARIABLES.items():
        chosen: tuple[int, ...] = getattr(options, variable.field)
        if all(chosen):
            continue
        fallback = _environment_sizes(name, variable)
        sizes[variable.field] = tuple(size or other for size, other in zip(chosen, fallback, strict=True))
    return replace(options, **sizes) if sizes else options  # type: ignore[arg-type]


def _environment_sizes(name: str, variable: _Variable) -> tuple[int, ...]:
    """One value of the variable for all rings, or one for each; the defaults if it is not set or ignored."""
    defaults = (variable.default,) * RINGS
    text = os.environ.get(name)
    if text is None:
        return defaults
    tokens = [token.strip(_BLANKS) for token in text.split(",")]
    problem = next((found for token in tokens if (found := _problem(token, variable))), "")
    if not problem and len(tokens) not in (1, RINGS):
        problem = f"{len(tokens)} values, and there are {RINGS} rings"
    if problem:
        warnings.warn(
            f"{name}={text!r} is ignored as a whole, as the runtime does: {problem}. Give one number, or {RINGS} with "
            f"commas between them, each {_rule(variable)}; rings that nothing else sizes keep {variable.default}",
            RingEnvironmentWarning,
            stacklevel=3,
        )
        return defaults
    sizes = tuple(int(token) for token in tokens)
    return sizes if len(sizes) == RINGS else sizes * RINGS


def _problem(token: str, variable: _Variable) -> str:
    """Why the runtime does not take one value, or ''."""
    if not token:
        return "a value is empty"
    if not _NUMBER.fullmatch(token):
        return f"{token!r} is no whole number in decimal digits"
    size = int(token) if len(token) <= 24 else 2**64  # longer than any that fits; int() refuses very long texts
    if not variable.least <= size <= variable.most:
        return f"{token[:24]} is not from {variable.least} to {variable.most}"
    if variable.power_of_two and size & (size - 1):
        return f"{size} is no power of two"
    return ""


def _rule(variable: _Variable) -> str:
    kind = "a power of two" if variable.power_of_two else "a number"
    return f"{kind} from {variable.least} to {variable.most}"
