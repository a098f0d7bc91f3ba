"""Heap readings: figures of the DSV4 sparse-attention scratch tables, rules of reclamation, faults."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ascend_model.heap import frame_depth, read_heap
from ascend_model.ring import RingFault, RingSizes
from ascend_model.timeline import HeapReading
from ascend_model.workload import Workload
from tests.ascend_model.workloads import MIB, Script

GIB = (2**30,) * 4
T = 128


def sparse_attention(keys: int, *, blk_at_frame: bool = False) -> Workload:
    """Scratch of decode sparse attention with `keys` padded keys a token; pipes by the 8 / 4 slot rule."""
    script = Script()
    pairs = T * 64 * keys // 128  # one row for each token, head and block of 128 keys
    blocks = (pairs * 4, pairs * 4, pairs * 512 * 4)
    frame = script.alloc(
        T * keys * 512 * 2, T * keys * 4, T * 64 * 64 * 4, 8 * T * 4096 * 2, *(blocks if blk_at_frame else ())
    )
    script.begin("s1")
    gather = script.task(name="gather_kv", needs=(frame,))
    script.end()
    script.begin("s2")
    own = script.alloc(*(() if blk_at_frame else blocks), T * 4 * 16 * 1024)
    attention = script.task("MIX", name="qk_pv", needs=(frame, own, gather))
    merge = script.task(name="merge_norm", needs=(frame, own, attention))
    script.end()
    script.begin("s3")
    last = script.alloc(
        T * 64 * 4, T * 64 * 4, T * 8192 * 4, 64 * T * 4, T * 8192, T * 4, 64 * 8 * 16384, 32 * 8 * 16384
    )
    script.task("MIX", name="proj", needs=(frame, last, merge))
    script.end()
    return script.build()


def scope(reading: HeapReading, site: str) -> float:
    return next(row.alloc_bytes for row in reading.scopes if row.site == f"kernel.py:{site}") / MIB


S3_MIB = 2 / 32 + 4 + 1 / 32 + 1 + 1 / 1024 + 8 + 4


def test_csa_scratch_table() -> None:
    reading = read_heap(sparse_attention(640), GIB)
    assert reading.frame_residency_bytes / MIB == 80 + 0.3125 + 2 + 8  # 90.31
    assert scope(reading, "s1") == 0
    assert scope(reading, "s2") == 2 * 0.15625 + 80 + 8  # 88.31
    assert scope(reading, "s3") == S3_MIB  # 17.09
    assert reading.rings[1] == (2**30, (88.3125 + S3_MIB) * MIB)  # siblings add up when nothing retires
    assert (reading.rings[0][0], reading.max_scope_depth) == (2**30, 1)


def test_csa_with_the_block_tensors_at_the_frame() -> None:
    reading = read_heap(sparse_attention(640, blk_at_frame=True), GIB)
    assert reading.frame_residency_bytes / MIB == 90.3125 + 80.3125  # 170.63
    assert scope(reading, "s2") == 8


def test_swa_frame() -> None:
    reading = read_heap(sparse_attention(256), GIB)
    assert reading.frame_residency_bytes / MIB == 32 + 0.125 + 2 + 8  # 42.13
    assert scope(reading, "s2") == 2 * 0.0625 + 32 + 8


def test_prompt_reclaims_a_sibling_before_the_next() -> None:
    reading = read_heap(sparse_attention(640), GIB, "prompt")
    assert reading.rings[1][1] / MIB == 88.3125
    assert reading.frame_residency_bytes / MIB == 90.3125


def test_an_auto_scope_around_everything_is_the_frame() -> None:
    script = Script()
    script.begin("body")
    script.alloc(4096)
    script.begin("loop")
    script.alloc(1024)
    script.end()
    script.end()
    workload = script.build()
    reading = read_heap(workload, GIB)
    assert (frame_depth(workload), reading.frame_residency_bytes, reading.max_scope_depth) == (1, 4096, 2)
    assert read_heap(workload, GIB, frame=0).frame_residency_bytes == 0


def test_a_lone_task_is_in_the_root() -> None:
    script = Script()
    script.alloc(1024)
    assert read_heap(script.build()).frame_residency_bytes == 1024


def test_two_sibling_scopes_leave_the_frame_in_the_root() -> None:
    script = Script()
    for _ in range(2):
        script.begin()
        script.alloc(1024)
        script.end()
    assert frame_depth(script.build()) == 0


def test_scopes_deeper_than_three_share_ring_three() -> None:
    script = Script()
    for depth in range(5):
        script.begin(str(depth))
        script.alloc(1024 * (depth + 1))
    for _ in range(5):
        script.end()
    reading = read_heap(script.build(), GIB)
    assert [row.ring for row in reading.scopes] == [0, 1, 2, 3, 3, 3]
    assert [row.alloc_bytes for row in reading.scopes] == [0, 1024, 2048, (3 + 4 + 5) * 1024, 9 * 1024, 5 * 1024]


def test_samples_have_the_v6_fields_and_monotonic_counters() -> None:
    script = Script()
    for _ in range(3):
        script.begin("7")
        first = script.alloc(3072)
        script.task(needs=(first,), registered_outputs=2)
        script.end()
    reading = read_heap(script.build(), (2**20, 8192, 2**20, 2**20))
    assert [sample["phase"] for sample in reading.samples] == ["begin"] + ["begin", "end"] * 3 + ["end"]
    assert reading.samples[1] == {
        "site": "kernel.py:7",
        "phase": "begin",
        "depth": 1,
        "ring": 1,
        "task_window_start": 0,
        "task_window_end": 0,
        "heap_start": 0,
        "heap_end": 0,
        "dep_pool_start": 1,
        "dep_pool_end": 1,
        "tensormap": 0,
    }
    # The third block does not fit behind the second (2 KiB left) and starts over at 0: heads 3, 6, 8 + 3 KiB.
    assert [sample["heap_end"] for sample in reading.samples if sample["phase"] == "end"][:3] == [3072, 6144, 11264]
    # When the third was placed, no more was retired than needed: the first scope's two tasks and the second's
    # allocation, as a block at 0 must stay short of the tail (3072 is not enough for 3072).
    assert reading.samples[6]["heap_start"] == 6144
    # Entries of retired tasks stay until 64 tasks of the ring have retired.
    assert reading.samples[6]["tensormap"] == 6


def test_max_lag_keeps_dep_pool_entries_and_prompt_none() -> None:
    script = Script()
    first = script.task()
    script.task(needs=(first,))
    assert read_heap(script.build(), GIB, "max_lag").samples[-1]["dep_pool_end"] == 2
    assert read_heap(script.build(), GIB, "prompt").samples[-1]["dep_pool_end"] == 1


def test_a_block_larger_than_the_heap_is_error_2() -> None:
    script = Script()
    script.begin()
    script.alloc(3000, name="big")
    script.end()
    with pytest.raises(RingFault) as caught:
        read_heap(script.build(), (2**20, 2048, 2**20, 2**20))
    assert (caught.value.code, caught.value.name) == (2, "HEAP_RING_DEADLOCK")
    assert caught.value.state is not None and caught.value.state.requested_bytes == 3072
    assert "more than the whole heap" in str(caught.value)
    assert "kernel.py:100" in str(caught.value)


def test_an_open_scope_that_fills_the_heap_is_error_2_at_once() -> None:
    script = Script()
    script.begin("s")
    for _ in range(5):
        script.alloc(1024)
    script.end()
    workload = script.build()
    with pytest.raises(RingFault) as caught:
        read_heap(workload, (2**20, 4096, 2**20, 2**20))
    state = caught.value.state
    assert state is not None
    assert (state.ring, state.used_bytes, state.available_bytes, state.last_task_alive) == (1, 4096, 0, 0)
    assert (state.head_state, state.head_scope_released) == ("COMPLETED", False)
    assert [sample["depth"] for sample in caught.value.samples] == [0, 1]


def test_the_same_tasks_in_sibling_scopes_fit() -> None:
    script = Script()
    for _ in range(5):
        script.begin()
        script.alloc(1024)
        script.end()
    assert read_heap(script.build(), (2**20, 4096, 2**20, 2**20)).rings[1][1] <= 5 * 1024


def test_a_scope_with_all_the_slots_is_error_1() -> None:
    script = Script()
    for _ in range(4):
        script.task()
    with pytest.raises(RingFault) as caught:
        read_heap(script.build(), RingSizes(task_window=(4, 4, 4, 4)))
    assert (caught.value.code, caught.value.name) == (1, "SCOPE_DEADLOCK")


def test_nested_scopes_that_share_a_full_window_are_error_3() -> None:
    script = Script()
    for _ in range(4):  # depths 1 to 4; depth 3 and 4 share ring 3
        script.begin()
        for _ in range(2):
            script.task()
    for _ in range(4):
        script.end()
    with pytest.raises(RingFault) as caught:
        read_heap(script.build(), RingSizes(task_window=(4, 4, 4, 4)))
    assert (caught.value.code, caught.value.name) == (3, "FLOW_CONTROL_DEADLOCK")


def test_a_full_dep_pool_is_error_4() -> None:
    script = Script()
    sources = tuple(script.task() for _ in range(5))
    script.task(needs=sources)
    with pytest.raises(RingFault) as caught:
        read_heap(script.build(), RingSizes(dep_pool=(4, 4, 4, 4)))
    assert caught.value.code == 4


def test_an_auto_scope_inside_a_manual_one_is_error_5() -> None:
    script = Script()
    script.begin("m", "manual")
    script.begin("a", "auto")
    script.end()
    script.end()
    with pytest.raises(RingFault) as caught:
        read_heap(script.build())
    assert caught.value.code == 5 and "kernel.py:a" in str(caught.value)


def test_a_full_tensormap_is_error_11() -> None:
    script = Script()
    script.task(registered_outputs=3)
    script.task(registered_outputs=2)
    with pytest.raises(RingFault) as caught:
        read_heap(script.build(), RingSizes(tensormap=4))
    assert caught.value.code == 11


@pytest.mark.parametrize("reading", ["max_lag", "prompt"])
def test_a_retaining_consumer_of_an_inner_scope_does_not_keep_a_closed_scope(reading: str) -> None:
    """Without a clock every consumer has run, so only open scopes pin."""
    script = Script()
    outer = script.alloc(1024)
    for _ in range(8):
        script.begin()
        inner = script.alloc(4096)
        script.task(needs=(outer, inner))
        script.end()
    reading_of = read_heap(script.build(), (2**20, 8192, 2**20, 2**20), reading)
    assert reading_of.scopes[0].residency_bytes == 1024


def test_bad_workloads_are_named() -> None:
    script = Script()
    script.begin()
    with pytest.raises(ValueError, match="leaves 1 scopes open"):
        read_heap(script.build())
    script = Script()
    script.end()
    with pytest.raises(ValueError, match="closes more scopes"):
        read_heap(script.build())
    script = Script()
    script.task(needs=(1,))
    with pytest.raises(ValueError, match="depends on task 1"):
        read_heap(script.build())
    with pytest.raises(ValueError, match="reading must be"):
        read_heap(Script().build(), GIB, "lazy")


@st.composite
def scope_trees(draw: st.DrawFn) -> Workload:
    """Random nests of scopes with allocations and consumers."""
    script = Script()
    visible: list[list[int]] = [[]]
    for _ in range(draw(st.integers(1, 25))):
        step = draw(st.integers(0, 3))
        if step == 0 and len(visible) < 6:
            script.begin()
            visible.append([])
        elif step == 1 and len(visible) > 1:
            script.end()
            visible.pop()
        elif step == 2:
            visible[-1].append(script.alloc(draw(st.integers(0, 5000))))
        else:
            known = [task for level in visible for task in level]
            needs = tuple(sorted(draw(st.sets(st.sampled_from(known))))) if known else ()
            visible[-1].append(script.task(needs=needs))
    for _ in visible[1:]:
        script.end()
    return script.build()


def outcome(workload: Workload, size: int, reading: str) -> HeapReading | str:
    """The reading, or which fault."""
    try:
        return read_heap(workload, (size,) * 4, reading)
    except RingFault as fault:
        return f"{fault.code} ring {fault.state.ring if fault.state else None}"


@settings(max_examples=150, deadline=None)
@given(scope_trees(), st.sampled_from([8192, 16384, 2**20]))
def test_prompt_is_never_above_max_lag_and_both_fail_together(workload: Workload, size: int) -> None:
    lag, prompt = (outcome(workload, size, reading) for reading in ("max_lag", "prompt"))
    if isinstance(lag, str) or isinstance(prompt, str):
        assert lag == prompt
        return
    for late, soon in zip(lag.scopes, prompt.scopes, strict=True):
        assert late.alloc_bytes == soon.alloc_bytes
        assert late.high_water_bytes >= soon.high_water_bytes
        assert late.residency_bytes >= soon.residency_bytes
    # Frontiers do not depend on when things retire.
    assert [s["heap_end"] for s in lag.samples] == [s["heap_end"] for s in prompt.samples]
