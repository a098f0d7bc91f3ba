"""When TensorMap entries of retired tasks are free again, worked out by hand.

Rule: simpler: src/a2a3/runtime/tensormap_and_ringbuffer/runtime/shared/pto_tensormap.cpp, sync_tensormap.
"""

from __future__ import annotations

import pytest

from ascend_model.map_entries import MapEntries
from ascend_model.ring import Allocation, TaskRing


@pytest.fixture
def ring() -> TaskRing:
    return TaskRing(1, window=128, heap_bytes=2**20)


def submit(pool: MapEntries, ring: TaskRing, entries: int = 1) -> None:
    allocation = ring.try_allocate(0)
    assert isinstance(allocation, Allocation)
    pool.allocated(ring, allocation.local_id)
    pool.look(ring, allocation.local_id)
    pool.add(ring, allocation.local_id, entries)


@pytest.mark.parametrize(("retired", "used"), [(63, 101), (64, 37), (100, 1)])
def test_a_submission_frees_entries_after_64_retirements(ring: TaskRing, retired: int, used: int) -> None:
    pool = MapEntries(1000)
    for _ in range(100):
        submit(pool, ring)
    for _ in range(retired):
        ring.retire_head()
    assert pool.used == 100  # nobody has looked
    submit(pool, ring)
    assert pool.used == used


def test_the_next_64_count_from_the_last_time(ring: TaskRing) -> None:
    pool = MapEntries(1000)
    used = []
    for _ in range(200):
        submit(pool, ring)
        ring.retire_head()
        used.append(pool.used)
    # Task 64 is the first that sees 64 retired ones; 64 later the same again.
    assert used == [n % 64 + 1 for n in range(200)]


def test_a_task_that_takes_the_slot_of_the_last_look_frees_what_has_retired(ring: TaskRing) -> None:
    """A window of 128: task 128 has the slot of task 0, where the first look stands, though 40 have retired."""
    pool = MapEntries(1000)
    for _ in range(126):
        submit(pool, ring)
    for _ in range(40):
        ring.retire_head()
    for _ in range(2):
        submit(pool, ring)
    assert pool.used == 128
    submit(pool, ring)
    assert pool.used == 129 - 40


def test_a_full_pool_frees_what_has_retired_in_every_ring(ring: TaskRing) -> None:
    other = TaskRing(2, window=128, heap_bytes=2**20)
    pool = MapEntries(4)
    for of in (ring, other):
        submit(pool, of, 2)
    assert not pool.has_room(1, (ring, other))
    ring.retire_head()
    assert pool.has_room(2, (ring, other)) and pool.used == 2
    assert not pool.has_room(3, (ring, other))
