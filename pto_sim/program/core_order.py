"""What the cores of one block do with GM, and what of it the others have waited for.

Lowering makes it, checks read it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

CUBE, FIRST_LANE, SECOND_LANE = 0, 1, 2
CORE_NAMES = ("the cube core", "vector core 0", "vector core 1")

Clock = tuple[int, int, int]
"""A core's work is cut into segments where it signals or waits. For each core, how many of its segments are over for
certain; for the core itself, the number of the segment that is running."""


class CoreUse(NamedTuple):
    """One core executes an op that accesses GM.

    core: CUBE, FIRST_LANE or SECOND_LANE. half: 'up_down' or 'left_right' where the core touches only its half of the
    recorded box, along the rows or columns of a tile of shape `tile`; else 'none'. shared: a write that both vector
    cores make alike.
    """

    core: int
    clock: Clock
    half: str = "none"
    tile: tuple[int, ...] = ()
    shared: bool = False

    def ordered(self, other: CoreUse) -> bool:
        """Whether one of two uses on different cores is over for certain when the other begins."""
        return self.clock[other.core] > other.clock[other.core] or other.clock[self.core] > self.clock[self.core]


CoreOrder = Mapping[int, tuple[CoreUse, ...]]
"""The cores that execute each op of a stream that accesses GM, by the op's position."""
