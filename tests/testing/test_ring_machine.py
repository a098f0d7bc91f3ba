"""The state machine accepts the ring of the runtime model, and finds what is wrong with four others."""

from __future__ import annotations

import pytest
from hypothesis import Phase, settings
from hypothesis.stateful import run_state_machine_as_test

from ascend_model.ring import Allocation, TaskRing
from pto_sim.testing import ring_machine

HEAP = 16 * 1024
WINDOW = 8
SEARCH = settings(max_examples=100, stateful_step_count=30, deadline=None, phases=[Phase.generate])


class RuntimeRing:
    """`ascend_model.ring.TaskRing` as the machine wants it."""

    def __init__(self) -> None:
        self.ring = TaskRing(0, window=WINDOW, heap_bytes=HEAP)

    def allocate(self, nbytes: int) -> tuple[int, int] | None:
        placed = self.ring.try_allocate(nbytes)
        return (placed.begin, placed.end) if isinstance(placed, Allocation) else None

    def retire(self) -> None:
        self.ring.retire_head()
        self.ring.refresh()

    def used_bytes(self) -> int:
        return self.ring.heap.used_bytes


TestRuntimeRing = ring_machine(RuntimeRing, heap_bytes=HEAP, max_live=WINDOW - 1).TestCase
TestRuntimeRing.settings = settings(max_examples=100, stateful_step_count=40, deadline=None)


class ForgetsTheTail(RuntimeRing):
    def allocate(self, nbytes: int) -> tuple[int, int] | None:
        if self.ring.heap.size_bytes - self.ring.heap.top < nbytes <= HEAP:
            return 0, nbytes  # starts over without looking what lives there
        return super().allocate(nbytes)


class RetiresTheNewest(RuntimeRing):
    def retire(self) -> None:
        super().retire()
        self.ring.heap.top = max(0, self.ring.heap.top - 1024)


class RefusesWhatFits(RuntimeRing):
    def allocate(self, nbytes: int) -> tuple[int, int] | None:
        return None if nbytes == HEAP else super().allocate(nbytes)


class Leaks(RuntimeRing):
    def used_bytes(self) -> int:
        return super().used_bytes() + 1024 * self.ring.last_alive


@pytest.mark.parametrize("broken", [ForgetsTheTail, RetiresTheNewest, RefusesWhatFits, Leaks])
def test_a_broken_ring_is_found(broken: type[RuntimeRing]) -> None:
    with pytest.raises(AssertionError):
        run_state_machine_as_test(ring_machine(broken, heap_bytes=HEAP, max_live=WINDOW - 1), settings=SEARCH)
