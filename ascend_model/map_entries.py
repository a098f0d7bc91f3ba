"""Entries of the TensorMap: how many are taken, and when those of retired tasks are free again.

One pool for all rings. An entry is freed later than its task retires: only submissions and a full pool look.
Source: simpler: src/a2a3/runtime/tensormap_and_ringbuffer/runtime/shared/pto_tensormap.cpp, `sync_tensormap`;
runtime/pto_orchestrator.cpp, `submit_task_common` and `ensure_tensormap_capacity`.
"""

from __future__ import annotations

from collections.abc import Sequence

from ascend_model.ring import RING_COUNT, TaskRing

CLEANUP_INTERVAL = 64
"""Tasks of a ring that retire before a submission frees their entries. simpler: PTO2_TENSORMAP_CLEANUP_INTERVAL."""


class MapEntries:
    """The pool. used: entries taken, those of retired tasks among them until they are freed."""

    def __init__(self, capacity: int) -> None:
        self.capacity = capacity
        self.used = 0
        self._entries: tuple[list[int], ...] = tuple([] for _ in range(RING_COUNT))  # local id -> entries of the task
        self._freed = [0] * RING_COUNT  # local id up to which entries are free

    def allocated(self, ring: TaskRing, local: int) -> None:
        """The orchestrator has allocated the next task of a ring: it may register entries."""
        assert local == len(self._entries[ring.index])
        self._entries[ring.index].append(0)

    def add(self, ring: TaskRing, local: int, entries: int) -> None:
        """A task registers what it writes."""
        self._entries[ring.index][local] = entries
        self.used += entries

    def look(self, ring: TaskRing, local: int) -> None:
        """A submission as task `local` frees entries of its own ring: once enough tasks have retired there, or when it
        takes the slot of the window up to which they were freed last."""
        freed = self._freed[ring.index]
        if ring.last_alive - freed >= CLEANUP_INTERVAL or (local - freed) % ring.window == 0:
            self.free_retired(ring)

    def has_room(self, entries: int, rings: Sequence[TaskRing]) -> bool:
        """Whether so many entries can be taken. Under pressure what has retired in any ring is freed first."""
        if self.used + entries > self.capacity:
            for ring in rings:
                self.free_retired(ring)
        return self.used + entries <= self.capacity

    def free_retired(self, ring: TaskRing) -> None:
        """Free the entries of every task of a ring that has retired."""
        entries, freed = self._entries[ring.index], self._freed[ring.index]
        self.used -= sum(entries[freed : ring.last_alive])
        self._freed[ring.index] = ring.last_alive
