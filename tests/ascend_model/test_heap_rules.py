"""Which ring a blocked submission may reclaim from, and which heap an error 2 advises: worked out by hand."""

from __future__ import annotations

import pytest

import ascend_model.heap
from ascend_model.chip import simulate
from ascend_model.chipspec import load_chip
from ascend_model.heap import read_heap, smallest_heap_bytes
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


def nested(outer_nbytes: int, inner_nbytes: int) -> Workload:
    """64 KiB in ring 0, then one block in ring 1 and one in ring 2."""
    script = Script()
    script.alloc(64 * 1024)
    script.begin()
    script.alloc(outer_nbytes)
    script.begin()
    script.alloc(inner_nbytes)
    script.end()
    script.end()
    return script.build()


def test_the_advised_heap_leaves_the_other_rings_as_they_are() -> None:
    with pytest.raises(RingFault, match=r"passes is 8192 \(ring 1\)"):
        read_heap(nested(5000, 1000), (MIB, 4096, MIB, MIB))


def test_a_fault_of_another_ring_does_not_count_against_this_one() -> None:
    workload, sizes = nested(3000, 5000), RingSizes(heap_bytes=(MIB, 1024, 4096, MIB))
    assert smallest_heap_bytes(workload, sizes, 1) == 4096
    assert smallest_heap_bytes(workload, sizes, 2) == 1024  # ring 1 stops the program before
    assert smallest_heap_bytes(workload, sizes, 0) == 64 * 1024


def test_a_fault_of_another_kind_in_the_same_ring_does_not_count_either() -> None:
    script = Script()
    script.begin()
    script.alloc(3000)
    for _ in range(3):
        script.task()
    script.end()
    sizes = RingSizes(heap_bytes=(MIB, 1024, MIB, MIB), task_window=(8, 4, 8, 8))
    assert smallest_heap_bytes(script.build(), sizes, 1) == 4096
    with pytest.raises(RingFault) as caught:
        read_heap(script.build(), RingSizes(task_window=(8, 4, 8, 8)))
    assert caught.value.code == 1 and "power of two" not in caught.value.message


def test_a_program_without_scopes_gets_advice_too() -> None:
    script = Script()
    script.alloc(3000)
    with pytest.raises(RingFault, match=r"passes is 4096 \(ring 0\)"):
        read_heap(script.build(), (1024, MIB, MIB, MIB))


def test_the_search_for_a_heap_ends_at_its_limit_and_includes_it(monkeypatch: pytest.MonkeyPatch) -> None:
    script = Script()
    script.alloc(5000)
    monkeypatch.setattr(ascend_model.heap, "MAX_RING_HEAP_BYTES", 8192)
    with pytest.raises(RingFault, match="passes is 8192"):
        read_heap(script.build(), (1024, MIB, MIB, MIB))
    monkeypatch.setattr(ascend_model.heap, "MAX_RING_HEAP_BYTES", 4096)
    with pytest.raises(RingFault, match="No heap up to 4096 bytes would do"):
        read_heap(script.build(), (1024, MIB, MIB, MIB))
