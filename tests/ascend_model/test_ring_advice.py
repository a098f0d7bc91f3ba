"""Advice of a full ring: the advised sizes do, half of each does not, and a scope that much smaller does."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ascend_model.dep_pool import DepListPool, SpillPool
from ascend_model.heap import read_heap
from ascend_model.ring import RingFault, RingSizes
from ascend_model.ring_advice import ScopeShrink, completes, ring_advice, with_advice
from ascend_model.workload import Workload
from tests.ascend_model.test_heap import scope_trees
from tests.ascend_model.workloads import Script

LEAST = {"task_window": 4, "heap_bytes": 1024, "dep_pool": 4}


def fault_of(workload: Workload, sizes: RingSizes, reading: str = "max_lag") -> RingFault:
    with pytest.raises(RingFault) as caught:
        read_heap(workload, sizes, reading)
    return with_advice(caught.value, workload, sizes)


def with_size(sizes: RingSizes, field: str, ring: int, size: int) -> RingSizes:
    values = [size if index == ring else own for index, own in enumerate(getattr(sizes, field))]
    return replace(sizes, **{field: tuple(values)})


def blocks(count: int) -> Script:
    """`count` blocks of 1 KiB in a scope of ring 1."""
    script = Script()
    script.begin("s")
    for _ in range(count):
        script.alloc(1024)
    script.end()
    return script


def tasks(count: int) -> Script:
    """`count` tasks in the root scope."""
    script = Script()
    for _ in range(count):
        script.task()
    return script


def nested_tasks(count: int) -> Script:
    """`count` tasks in a scope of ring 3 and one in a scope inside it, which shares the ring."""
    script = Script()
    for depth in range(1, 5):
        script.begin(str(depth))
        for _ in range({3: count, 4: 1}.get(depth, 0)):
            script.task()
    for _ in range(4):
        script.end()
    return script


def fan_in(count: int) -> Script:
    """A task with `count` producers, all in the root scope."""
    script = tasks(count)
    script.task(needs=tuple(range(count)))
    return script


CASES = [
    # what holds n at most, code, field, ring, n of the present size 8 (KiB), advised for 9 and for 20
    (blocks, 2, "heap_bytes", 1, 8, 16, 32, "bytes", 1024),
    (tasks, 1, "task_window", 0, 7, 16, 32, "tasks", 1),
    (nested_tasks, 3, "task_window", 3, 6, 16, 32, "tasks", 1),
    (fan_in, 4, "dep_pool", 0, 8, 16, 32, "entries", 1),
]


@pytest.mark.parametrize(("script", "code", "field", "ring", "most", "for_9", "for_20", "unit", "step"), CASES)
def test_sizes_and_scopes_as_counted_by_hand(
    script: Callable[[int], Script], code: int, field: str, ring: int, most: int,
    for_9: int, for_20: int, unit: str, step: int,
) -> None:  # fmt: skip
    """A window of 8 has 7 slots for the tasks of open scopes; a heap of 8 KiB takes 8 blocks of 1 KiB."""
    scale = 1024 if field == "heap_bytes" else 1
    present = with_size(RingSizes(), field, ring, 8 * scale)
    read_heap(script(most).build(), present)
    if code == 3:  # with 7 and more the outer scope alone has all the slots, and the error is 1
        assert fault_of(script(most + 1).build(), present).code == 3
    for count, advised in ((9, for_9), (20, for_20)):
        workload = script(count).build()
        fault = fault_of(workload, present)
        assert fault.code == (1 if code == 3 else code)
        assert fault.advice is not None and fault.advice.sizes is not None
        assert getattr(fault.advice.sizes, field)[ring] == advised * scale
        assert f"passes is {advised * scale} (" in fault.message
        (shrink,) = [scope for scope in fault.advice.scopes if scope.less is not None]
        assert (shrink.unit, shrink.less) == (unit, (count - most) * step)
        read_heap(script(count - (count - most)).build(), present)


def test_the_window_of_nested_scopes_names_both() -> None:
    fault = fault_of(nested_tasks(7).build(), with_size(RingSizes(), "task_window", 3, 8))
    assert fault.state is not None and fault.advice is not None
    assert [(scope.depth, scope.tasks) for scope in fault.state.open_scopes] == [(3, 7), (4, 0)]
    assert fault.advice.scopes == (
        ScopeShrink("kernel.py:3", 3, "tasks", 1),
        ScopeShrink("kernel.py:4", 4, "tasks", 1),
    )
    text = str(fault)
    assert "the present size would do if the scope of kernel.py:3 (depth 3) took 1 tasks less" in text
    assert "PTO2_RING_TASK_WINDOW=4,4,4,16 PTO2_RING_HEAP=1024,1024,1024,1024 PTO2_RING_DEP_POOL=4,4,4,4" in text


def test_a_scope_that_is_too_small_to_help_is_said_to_be() -> None:
    """Ring 3 of 8 KiB: 6 and later 4 KiB of the outer scope, 4 of the inner one, all behind the outer's first."""
    script = Script()
    for depth in range(1, 4):
        script.begin(str(depth))
    script.alloc(6 * 1024)
    script.begin("4")
    script.alloc(4 * 1024)
    script.end()
    script.alloc(4 * 1024)
    for _ in range(3):
        script.end()
    fault = fault_of(script.build(), with_size(RingSizes(), "heap_bytes", 3, 8192))
    assert fault.advice is not None
    assert fault.advice.scopes == (
        ScopeShrink("kernel.py:3", 3, "bytes", 6 * 1024),
        ScopeShrink("kernel.py:4", 4, "bytes", None),
    )
    assert "no smaller scope of kernel.py:4 (depth 4) alone would let the present size do" in str(fault)
    assert fault.advice.sizes is not None and fault.advice.sizes.heap_bytes[3] == 16384


def test_several_full_rings_are_all_sized() -> None:
    script = Script()
    script.alloc(5000)
    script.begin("a")
    script.alloc(20000)
    for _ in range(6):
        script.task()
    script.end()
    workload = script.build()
    tight = RingSizes(heap_bytes=(4096,) * 4, task_window=(4,) * 4, dep_pool=(4,) * 4)
    fault = fault_of(workload, tight)
    assert fault.advice is not None and fault.advice.sizes is not None
    # 5 KiB and 20 KiB (20000 bytes are 19.5); a window of 8 has 7 slots, as many as the scope has tasks
    assert fault.advice.sizes == replace(tight, heap_bytes=(8192, 32768, 1024, 1024), task_window=(4, 8, 4, 4))
    assert fault.advice.scopes[0].site == "(unknown):0"


def test_an_error_that_no_size_avoids_is_named() -> None:
    script = tasks(4)
    script.begin("m", "manual")
    script.begin("a", "auto")
    script.end()
    script.end()
    fault = fault_of(script.build(), RingSizes(task_window=(4,) * 4))
    assert fault.advice is not None and fault.advice.sizes is None and fault.code == 1
    assert "No size of the rings would do: the program also stops with error 5 INVALID_ARGS" in str(fault)
    assert fault.advice.as_dict()["task_window"] is None


def test_an_advised_fault_can_be_pickled() -> None:
    fault = fault_of(blocks(9).build(), RingSizes(heap_bytes=(2**20, 8192, 2**20, 2**20)))
    again = pickle.loads(pickle.dumps(fault))
    assert (again.advice, str(again)) == (fault.advice, str(fault))


@settings(max_examples=100, deadline=None)
@given(
    scope_trees(),
    st.builds(
        RingSizes,
        heap_bytes=st.tuples(*[st.sampled_from([1024, 5000, 16384])] * 4),
        task_window=st.tuples(*[st.sampled_from([4, 8, 64])] * 4),
        dep_pool=st.tuples(*[st.sampled_from([4, 7, 64])] * 4),
    ),
)
def test_advised_sizes_do_and_half_of_any_does_not(workload: Workload, sizes: RingSizes) -> None:
    try:
        read_heap(workload, sizes)
        return
    except RingFault as fault:
        advice = ring_advice(fault, workload, sizes)
    assert advice.sizes is not None
    read_heap(workload, advice.sizes)
    read_heap(workload, advice.sizes, "prompt")
    for field, least in LEAST.items():
        for ring, size in enumerate(getattr(advice.sizes, field)):
            assert size & (size - 1) == 0
            assert size == least or not completes(workload, with_size(advice.sizes, field, ring, size // 2))


def test_the_spill_pool_holds_producers_beyond_64_until_the_task_has_retired() -> None:
    pool = SpillPool(4)
    assert pool.has_room(68, 0) and not pool.has_room(69, 0)
    pool.add(64)
    pool.add(67)
    assert pool.used == 3 and pool.has_room(65, 0) and not pool.has_room(66, 1)
    assert pool.has_room(68, 2) and pool.used == 0


def test_a_task_with_more_than_64_producers_is_error_4_even_when_all_have_run() -> None:
    workload = fan_in(69).build()
    for reading in ("max_lag", "prompt"):
        fault = fault_of(workload, with_size(RingSizes(), "dep_pool", 0, 4), reading)
        assert fault.code == 4 and "ring 0: spill pool used 0/4, needed 5" in fault.message
    assert read_heap(workload, with_size(RingSizes(), "dep_pool", 0, 8), "prompt").samples[-1]["dep_pool_end"] == 1


def test_the_list_pool_reclaims_after_64_more_retirements_and_under_pressure_only() -> None:
    pool = DepListPool(100)
    for _ in range(100):
        pool.add(1)
    assert not pool.has_room(1, 63) and pool.used == 100
    assert pool.has_room(1, 64) and pool.used == 36
    assert pool.has_room(60, 100) and pool.used == 36 and pool.high_water == 100
    assert not pool.has_room(65, 127) and pool.used == 36


def test_a_full_list_pool_waits_for_64_retirements_and_frees_the_entries_of_those_tasks() -> None:
    """65 pairs in scopes of their own and 64 entries: the 65th consumer waits until 32 pairs have retired."""
    script = Script()
    for _ in range(65):
        script.begin()
        script.task(needs=(script.task(),))
        script.end()
    reading = read_heap(script.build(), with_size(RingSizes(), "dep_pool", 1, 64))
    assert reading.samples[-2]["task_window_start"] == 64
    assert (reading.samples[-2]["dep_pool_start"], reading.samples[-2]["dep_pool_end"]) == (33, 66)


def test_who_waits_for_entries_keeps_its_producers() -> None:
    """The oldest task has run and its scope has closed, but the waiting consumer holds it, and it everything else."""
    script = Script()
    script.begin()
    first = script.task()
    script.end()
    for _ in range(64):
        script.begin()
        script.task(needs=(script.task(),))
        script.end()
    script.begin()
    script.task(needs=(first,), retain=False)
    script.end()
    workload = script.build()
    assert fault_of(workload, with_size(RingSizes(), "dep_pool", 1, 64)).code == 4
    read_heap(workload, with_size(RingSizes(), "dep_pool", 1, 65))
