"""Rings against a plain model: a list of live blocks, oldest first."""

from __future__ import annotations

import pickle
import re
from dataclasses import replace

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from ascend_model.ring import (
    FAULT_NAMES,
    Allocation,
    Blocked,
    HeapRing,
    OpenScope,
    RingFault,
    RingSizes,
    RingState,
    TaskRing,
    block_nbytes,
    smallest_power_of_two,
)
from ascend_model.ring_advice import RingAdvice


@pytest.mark.parametrize(
    ("sizes", "expected"),
    [((), 0), ((1,), 1024), ((1024,), 1024), ((1025, 1), 3072), ((0, 5), 1024), ((2**31 - 1024,), 2**31 - 1024)],
)
def test_block_size_rounds_each_output_to_1024(sizes: tuple[int, ...], expected: int) -> None:
    assert block_nbytes(sizes) == expected


@pytest.mark.parametrize("sizes", [(2**31,), (2**30, 2**30), (2**31 - 1,)])
def test_a_batch_of_2_gib_is_refused(sizes: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="32 signed bits"):
        block_nbytes(sizes)


def test_negative_size_is_refused() -> None:
    with pytest.raises(ValueError, match="negative"):
        block_nbytes((-1,))


@pytest.mark.parametrize(("value", "expected"), [(0, 1), (1, 1), (2, 2), (3, 4), (1024, 1024), (1025, 2048)])
def test_smallest_power_of_two(value: int, expected: int) -> None:
    assert smallest_power_of_two(value) == expected


@pytest.mark.parametrize(
    ("sizes", "text"),
    [
        ({"heap_bytes": (1024, 1024, 1024)}, "heap_bytes needs 4 values, one for each ring; got (1024, 1024, 1024)"),
        ({"heap_bytes": (1023, 1024, 1024, 1024)}, "a ring heap is at least 1024 bytes; got (1023, 1024, 1024, 1024)"),
        ({"task_window": (6, 8, 8, 8)}, "a task window is a power of two from 4; got (6, 8, 8, 8)"),
        ({"task_window": (2, 8, 8, 8)}, "a task window is a power of two from 4; got (2, 8, 8, 8)"),
        ({"dep_pool": (3, 4, 4, 4)}, "a dep pool has at least 4 entries; got (3, 4, 4, 4)"),
    ],
)
def test_sizes_that_the_runtime_refuses(sizes: dict[str, tuple[int, ...]], text: str) -> None:
    with pytest.raises(ValueError, match=re.escape(text)):
        RingSizes(**sizes)  # type: ignore[arg-type]


def test_wrap_skips_the_end_and_counts_it() -> None:
    ring = TaskRing(0, window=16, heap_bytes=10 * 1024)
    for nbytes in (4096, 4096):
        assert isinstance(ring.try_allocate(nbytes), Allocation)
    assert ring.try_allocate(3072) is Blocked.HEAP  # 2 KiB left at the end, nothing reclaimed
    ring.retire_head()
    third = ring.try_allocate(3072)  # 4 KiB free at the start
    assert third == Allocation(2, 0, 3072)
    assert ring.heap.head_bytes == 10 * 1024 + 3072  # the skipped 2 KiB count
    assert ring.heap.tail_bytes == 4096


def test_a_block_may_not_close_the_gap_to_the_tail() -> None:
    ring = TaskRing(0, window=16, heap_bytes=8192)
    for _ in range(2):
        ring.try_allocate(4096)
    ring.retire_head()
    assert ring.try_allocate(4096) is Blocked.HEAP  # top would meet tail and look empty
    assert ring.try_allocate(3072) == Allocation(2, 0, 3072)


def test_an_empty_ring_is_rebased_for_a_block_that_fits_only_at_zero() -> None:
    ring = TaskRing(0, window=16, heap_bytes=8192)
    ring.try_allocate(5120)
    ring.retire_head()
    assert ring.try_allocate(8192) == Allocation(1, 0, 8192)
    assert (ring.heap.head_bytes, ring.heap.tail_bytes) == (16384, 8192)


def test_rebase_ignores_the_blocks_of_empty_tasks_behind_it() -> None:
    ring = TaskRing(0, window=16, heap_bytes=8192)
    ring.try_allocate(5120)
    ring.try_allocate(0)  # block end 5120, still live when the ring is rebased
    ring.retire_head()
    assert ring.try_allocate(8192) == Allocation(2, 0, 8192)
    ring.retire_head()  # the empty task: its stale end must not move the tail to 5120
    ring.refresh()
    assert ring.heap.tail_bytes == 8192
    ring.retire_head()
    ring.refresh()
    assert ring.heap.used_bytes == 0


@pytest.mark.parametrize("window", [4, 8])
def test_a_window_holds_one_task_less_than_its_slots(window: int) -> None:
    ring = TaskRing(0, window=window, heap_bytes=1024)
    for _ in range(window - 1):
        assert isinstance(ring.try_allocate(0), Allocation)
    assert ring.try_allocate(0) is Blocked.WINDOW


def test_retiring_an_empty_ring_is_an_error() -> None:
    with pytest.raises(ValueError, match="ring 2 has no live task"):
        TaskRing(2, window=4, heap_bytes=1024).retire_head()


def test_placement_by_hand() -> None:
    """Every case of the runtime's bump allocator over 8 KiB, in order: (request, answer, top, tail, largest free)."""
    heap = HeapRing(8192)
    assert (heap.top, heap.tail, heap.available_bytes) == (0, 0, 8192)
    assert heap.place(8193) is None  # more than the ring, even an empty one
    assert heap.place(3072) == (0, False)
    assert heap.place(3072) == (3072, False)
    assert (heap.top, heap.available_bytes) == (6144, 2048)
    assert heap.place(0) == (6144, False)  # an empty block lies at the top and moves nothing
    assert heap.place(2049) is None  # too large for the end, and nothing is free at the start
    heap.release_to(3072)
    assert heap.available_bytes == 3072  # the start, as it is larger than the 2048 at the end
    assert heap.place(3072) is None  # at the start it would close the gap to the tail
    assert heap.place(2048) == (6144, False)  # the end may be filled to the last byte
    assert (heap.top, heap.head_bytes) == (8192, 8192)
    assert heap.place(3071) == (0, False)  # over the end, before the tail: no rebase
    assert (heap.top, heap.tail, heap.available_bytes) == (3071, 3072, 1)
    assert (heap.head_bytes, heap.tail_bytes, heap.used_bytes) == (8192 + 3071, 3072, 8191)
    assert heap.place(1) is None  # top would meet the tail from behind and look empty
    heap.release_to(6144)
    assert heap.available_bytes == 6144 - 3071
    assert heap.place(3072) == (3071, False)  # one byte short of the gap fits
    assert heap.place(1) is None
    heap.release_to(8192)
    heap.release_to(3071)  # behind the old tail: reclamation has passed the end as well
    assert (heap.tail_bytes, heap.used_bytes) == (8192 + 3071, 3072)
    heap.release_to(6143)
    assert (heap.used_bytes, heap.available_bytes) == (0, 8192)
    assert heap.place(2050) == (0, False)  # empty, and the start has room before the tail: still no rebase
    heap.release_to(2050)
    assert heap.place(6143) == (0, True)  # empty, and no part is large enough: the ring starts over
    assert (heap.top, heap.tail, heap.used_bytes) == (6143, 0, 6143)


def test_a_wrapped_block_behind_a_live_tail_is_reclaimed_in_order() -> None:
    """FIFO: the third block lies before the first two, and is given back after them."""
    ring = TaskRing(0, window=16, heap_bytes=10 * 1024)
    blocks = [ring.try_allocate(nbytes) for nbytes in (4096, 4096)]
    ring.retire_head()
    blocks.append(ring.try_allocate(3072))
    assert blocks == [Allocation(0, 0, 4096), Allocation(1, 4096, 8192), Allocation(2, 0, 3072)]
    assert [ring.allocation(task) for task in range(3)] == blocks
    assert (ring.next_id, ring.last_alive) == (3, 1)
    assert ring.retire_head() == 1
    ring.refresh()
    assert (ring.heap.tail, ring.heap.used_bytes) == (8192, 2048 + 3072)  # the skipped end is in use as well
    assert ring.retire_head() == 2
    ring.refresh()
    assert (ring.heap.tail, ring.heap.used_bytes) == (3072, 0)


def test_the_orchestrator_sees_a_retirement_at_its_next_look() -> None:
    ring = TaskRing(0, window=16, heap_bytes=8192)
    ring.try_allocate(1024)
    ring.try_allocate(1024)
    ring.retire_head()
    assert ring.heap.tail_bytes == 0
    ring.refresh()
    assert ring.heap.tail_bytes == 1024


def test_a_rebase_of_the_first_task_of_a_ring_waits_for_that_task() -> None:
    ring = TaskRing(0, window=16, heap_bytes=8192)
    assert ring.try_allocate(0) == Allocation(0, 0, 0)
    ring.heap.release_to(4096)
    ring.heap.top = 4096  # an empty ring whose frontiers stand in the middle
    assert ring.try_allocate(6144) == Allocation(1, 0, 6144)
    ring.retire_head()  # task 0, whose block says nothing about the rebased ring
    ring.refresh()
    assert ring.heap.used_bytes == 6144
    ring.retire_head()
    ring.refresh()
    assert ring.heap.used_bytes == 0


def dump(**changes: object) -> RingState:
    state = RingState(
        ring=2,
        scope_depth=2,
        window_slots=8,
        next_task=5,
        last_task_alive=3,
        top_bytes=100,
        tail_bytes=50,
        size_bytes=200,
        used_bytes=50,
        available_bytes=100,
        requested_bytes=120,
        head_name="qk_pv",
        head_state="COMPLETED",
        head_consumers=(1, 2),
        dep_pool_used=3,
        dep_pool_capacity=16,
        dep_pool_high_water=7,
        open_scopes=(OpenScope("kernel.py:9", 2, 4, 2048),),
    )
    return replace(state, **changes)  # type: ignore[arg-type]


def test_fault_text_has_code_name_and_dump() -> None:
    samples: tuple[dict[str, object], ...] = ({"phase": "begin"},)
    advice = RingAdvice(resource="heap_bytes", ring=2, sizes=None, otherwise="none")
    fault = pickle.loads(pickle.dumps(RingFault(2, "no room", dump(), samples, advice)))
    assert (fault.code, fault.name, fault.message) == (2, "HEAP_RING_DEADLOCK", "no room")
    assert (fault.state, fault.samples, fault.advice) == (dump(), samples, advice)
    again = RingFault(*fault.args)  # as SimPy copies it
    assert (again.state, again.samples, again.advice) == (dump(), samples, advice)
    assert str(fault).splitlines() == [
        "runtime error 2 HEAP_RING_DEADLOCK: no room",
        "  task ring 2: current=5, last_alive=3, active=2/8, scope depth 2",
        "  heap ring 2: top=100, tail=50, size=200, used=50, available=100, requested=120",
        "  dep pool 2: used=3/16, high water=7",
        "  head task 3 (qk_pv): state=COMPLETED, consumers=1/2, scope_released=0",
        "  open scope of kernel.py:9 (depth 2): 4 tasks, 2048 bytes",
    ]
    assert dump(head_scope_released=True).lines()[3].endswith("scope_released=1")


def test_a_fault_without_a_live_task_or_without_a_ring_says_so() -> None:
    assert dump(head_name="").lines()[3] == "head task 3: none alive"
    assert str(RingFault(5, "auto in manual")) == "runtime error 5 INVALID_ARGS: auto in manual"


class RingAgainstAList(RuleBasedStateMachine):
    """Live blocks as a list; the ring must place, wrap and reclaim so that they never overlap."""

    SIZE = 16 * 1024

    def __init__(self) -> None:
        super().__init__()
        self.ring = TaskRing(0, window=8, heap_bytes=self.SIZE)
        self.live: list[Allocation] = []
        self.placed_bytes = 0

    @rule(kib=st.integers(0, 17))
    def allocate(self, kib: int) -> None:
        before = (self.ring.next_id, self.ring.heap.head_bytes)
        result = self.ring.try_allocate(kib * 1024)
        if result is Blocked.WINDOW:
            assert len(self.live) == 7
        elif result is Blocked.HEAP:
            # An empty ring takes every block up to its size.
            assert kib > 0 and (kib * 1024 > self.SIZE or any(block.end > block.begin for block in self.live))
        if isinstance(result, Blocked):
            assert (self.ring.next_id, self.ring.heap.head_bytes) == before
            return
        assert result.end - result.begin == kib * 1024 and 0 <= result.begin <= result.end <= self.SIZE
        for block in self.live:
            assert result.end <= block.begin or block.end <= result.begin or block.begin == block.end or kib == 0
        self.placed_bytes += kib * 1024
        assert self.ring.heap.head_bytes - before[1] >= kib * 1024
        self.live.append(result)

    @precondition(lambda self: self.live)
    @rule()
    def retire(self) -> None:
        assert self.ring.retire_head() == self.live.pop(0).local_id

    @rule()
    def look(self) -> None:
        self.ring.refresh()

    @invariant()
    def counters_are_consistent(self) -> None:
        heap: HeapRing = self.ring.heap
        assert 0 <= heap.used_bytes <= self.SIZE
        assert heap.head_bytes >= self.placed_bytes
        live_bytes = sum(block.end - block.begin for block in self.live)
        assert heap.used_bytes >= live_bytes
        if self.live and self.live[-1].end > self.live[-1].begin:
            assert heap.top == self.live[-1].end


RingAgainstAList.TestCase.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)
TestRingAgainstAList = RingAgainstAList.TestCase


def test_defaults_and_codes_are_the_runtimes() -> None:
    """simpler: pto_runtime2_types.h and src/common/runtime_status."""
    sizes = RingSizes()
    assert sizes.heap_bytes == (268435456,) * 4  # 256 MiB
    assert (sizes.task_window, sizes.dep_pool, sizes.tensormap) == ((16384,) * 4, (16384,) * 4, 65536)
    assert {
        1: "SCOPE_DEADLOCK",
        2: "HEAP_RING_DEADLOCK",
        3: "FLOW_CONTROL_DEADLOCK",
        4: "DEP_POOL_OVERFLOW",
        5: "INVALID_ARGS",
        7: "REQUIRE_SYNC_START_INVALID",
    } | {code: name for code, name in FAULT_NAMES.items() if code > 7} == FAULT_NAMES
