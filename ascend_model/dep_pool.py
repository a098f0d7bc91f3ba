"""Entries of the dependency lists of one ring: who is told when a producer completes, and producers beyond 64.

Both pools of a ring have the capacity `dep_pool` and move their tail only when a submission finds no room.
Source: simpler: src/a2a3/runtime/tensormap_and_ringbuffer/runtime/pto_ring_buffer.cpp, `PTO2DepListPool` and
`PTO2FaninPool`; runtime/pto_orchestrator.cpp.
"""

from __future__ import annotations

INLINE_PRODUCERS = 64
"""Producers of one task that its own slot holds; each further one takes an entry of the spill pool."""

_RECLAIM_TASKS = 64
"""The list pool reclaims only after so many more retirements."""


class DepListPool:
    """One entry for each producer that has not completed when its consumer is wired.

    Counters start at 1, as 0 is the end of a list.
    """

    def __init__(self, capacity: int) -> None:
        self.capacity = capacity
        self.top = 1
        self.tail = 1
        self.high_water = 0
        self._marks: list[int] = []
        self._reclaimed = 0

    @property
    def used(self) -> int:
        """Entries between the two counters."""
        return self.top - self.tail

    def has_room(self, entries: int, last_alive: int) -> bool:
        """The tail moves only under pressure, and only after 64 more retirements."""
        if self.capacity - self.used < entries and last_alive >= self._reclaimed + _RECLAIM_TASKS:
            self.tail = max(self.tail, self._marks[last_alive - 1])
            self._reclaimed = last_alive
        return self.capacity - self.used >= entries

    def add(self, entries: int) -> None:
        """The next task of the ring takes so many entries; they are free again once it has retired."""
        self.top += entries
        self.high_water = max(self.high_water, self.used)
        self._marks.append(self.top)


class SpillPool:
    """One entry for each producer of a task beyond `INLINE_PRODUCERS`, until the task has retired."""

    def __init__(self, capacity: int) -> None:
        self.capacity = capacity
        self.used = 0
        self._of_task: list[int] = []
        self._reclaimed = 0

    def has_room(self, producers: int, last_alive: int) -> bool:
        """Room for what a task with so many producers spills."""
        spilled = spilled_entries(producers)
        if spilled and self.capacity - self.used < spilled:
            end = min(last_alive, len(self._of_task))
            self.used -= sum(self._of_task[self._reclaimed : end])
            self._reclaimed = max(self._reclaimed, end)
        return self.capacity - self.used >= spilled

    def add(self, producers: int) -> None:
        """The next task of the ring has so many producers."""
        self._of_task.append(spilled_entries(producers))
        self.used += self._of_task[-1]


def spilled_entries(producers: int) -> int:
    """Entries of the spill pool that a task with so many producers takes."""
    return max(0, producers - INLINE_PRODUCERS)


def no_room(pool: DepListPool, spill: SpillPool, producers: int, waits: int) -> str:
    """Which of the two pools has no room for a task with so many producers, `waits` of which it waits for."""
    spilled = spilled_entries(producers)
    if spilled > spill.capacity - spill.used:
        return (
            f"spill pool used {spill.used}/{spill.capacity}, needed {spilled}: a task with more than "
            f"{INLINE_PRODUCERS} producers spills the others"
        )
    return f"dep pool used {pool.used}/{pool.capacity}, needed {waits}, and no entry can be freed"
