"""Which ring a blocked submission may reclaim from, worked out by hand."""

from __future__ import annotations

import pytest

from ascend_model.chip import simulate
from ascend_model.chipspec import load_chip
from ascend_model.dep_pool import DepListPool, SpillPool, no_room
from ascend_model.heap import frame_depth, read_heap
from ascend_model.ring import RingFault, RingSizes
from ascend_model.workload import Workload
from tests.ascend_model.laws import AIV, STREAMS
from tests.ascend_model.workloads import MIB, Script


@pytest.mark.parametrize("reading", ["max_lag", "prompt"])
def test_a_reading_says_which_it_is(reading: str) -> None:
    script = Script()
    script.alloc(1024)
    assert read_heap(script.build(), (MIB,) * 4, reading).reading == reading


def test_a_full_heap_reclaims_from_its_own_ring_alone() -> None:
    """The second block of ring 2 needs the first one's room; ring 1 has a task that could retire and keeps it."""
    script = Script()
    script.begin("closed")
    script.alloc(1024)
    script.end()
    script.begin("outer")
    for name in ("first", "second"):
        script.begin(name)
        script.alloc(3072)
        script.end()
    script.alloc(1024)
    script.end()
    reading = read_heap(script.build(), (MIB, MIB, 4096, MIB))
    outer = next(row for row in reading.scopes if row.site == "kernel.py:outer")
    assert (outer.alloc_bytes, outer.residency_bytes) == (1024, 2048)
    second = next(row for row in reading.scopes if row.site == "kernel.py:second")
    assert second.residency_bytes == 3072


def full_map() -> Workload:
    """Three entries of a closed scope of ring 1, then two of ring 0, in a map of four."""
    script = Script()
    script.begin()
    script.task("AIV", streams=(AIV,), registered_outputs=3)
    script.end()
    script.task("AIV", streams=(AIV,), registered_outputs=2)
    return script.build(STREAMS)


@pytest.mark.parametrize("reading", ["max_lag", "prompt"])
def test_a_full_tensormap_reclaims_from_every_ring(reading: str) -> None:
    """simpler: pto_orchestrator.cpp, ensure_tensormap_capacity: entries of every ring share one pool."""
    samples = read_heap(full_map(), RingSizes(tensormap=4), reading).samples
    assert samples[-1]["tensormap"] == 2
    with pytest.raises(RingFault, match="TensorMap used 0/1, needed 2"):
        script = Script()
        script.task(registered_outputs=2)
        read_heap(script.build(), RingSizes(tensormap=1), reading)


def test_an_orchestrator_at_a_full_tensormap_waits_for_the_task_that_holds_it() -> None:
    chip = load_chip("a2a3")
    timeline = simulate(full_map(), chip, heap_bytes=RingSizes(tensormap=4))
    waits = [step for step in timeline.runtime_phases if step.reason == "capacity"]
    assert [step.what for step in waits] == ["orchestrator: t1 waits for TensorMap"]
    assert waits[0].end_us >= timeline.tasks[0].end_us and timeline.tasks[1].submit_us >= waits[0].end_us
    assert "capacity" not in {step.reason for step in simulate(full_map(), chip).runtime_phases}


@pytest.mark.parametrize(("write", "entries"), [(False, 2), (True, 1)])
def test_a_write_of_the_orchestrator_completes_the_readers_too(write: bool, entries: int) -> None:
    """Each wait for a task that has not completed takes an entry of the dep pool; counters start at 1."""
    script = Script()
    writer = script.task()
    reader = script.task(needs=(writer,))
    script.touch(writer, consumers=write)
    script.task(needs=(reader,))
    assert read_heap(script.build()).samples[-1]["dep_pool_end"] == 1 + entries


def test_a_dep_pool_error_names_the_pool_that_has_no_room() -> None:
    """A task of 68 producers spills four of them, beyond the 64 of its own slot."""
    pool, spill = DepListPool(4), SpillPool(4)
    assert no_room(pool, spill, 68, 3) == "dep pool used 0/4, needed 3, and no entry can be freed"
    spill.add(64 + 2)
    assert no_room(pool, spill, 68, 3).startswith("spill pool used 2/4, needed 4: a task with more than 64 producers")
    assert no_room(pool, spill, 66, 3).startswith("dep pool used 0/4")


def test_one_task_behind_the_only_scope_is_in_the_root() -> None:
    script = Script()
    script.begin()
    script.end()
    script.alloc(1024)
    assert frame_depth(script.build()) == 0


def test_the_list_pool_reclaims_only_when_there_is_no_room() -> None:
    pool = DepListPool(4)
    assert (pool.used, pool.high_water) == (0, 0)
    pool.add(2)
    for _ in range(63):
        pool.add(0)
    assert pool.has_room(2, 64) and pool.tail == 1  # just enough, so nothing moves
    assert pool.has_room(3, 64) and pool.tail == 3
    assert (pool.used, pool.high_water) == (0, 2)


def test_the_spill_pool_reclaims_only_when_there_is_no_room_and_each_task_once() -> None:
    spill = SpillPool(4)
    spill.add(66)
    assert spill.has_room(66, 1) and spill.used == 2  # just enough
    spill.add(66)
    assert spill.used == 4
    assert not spill.has_room(65, 0)
    assert spill.has_room(65, 1) and spill.used == 2
    spill.add(66)
    assert spill.has_room(66, 2) and spill.used == 2
    assert spill.has_room(68, 3) and spill.used == 0
