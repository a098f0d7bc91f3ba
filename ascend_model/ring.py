"""One ring of the runtime: a window of task slots and the heap that their outputs are cut from.

A task takes one slot and one contiguous heap block. Slots and blocks are reclaimed strictly in the order
of allocation, so one task that lives on keeps everything behind it. Byte counters are monotonic
(offset + wraps x size), as scope_stats samples them.
Source: simpler: src/a2a3/runtime/tensormap_and_ringbuffer/runtime/pto_ring_buffer.h, docs/MULTI_RING.md.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum, unique
from typing import TYPE_CHECKING

from ascend_model.stall import StallState

if TYPE_CHECKING:
    from ascend_model.ring_advice import RingAdvice

RING_COUNT = 4
"""Scopes of depth d allocate in ring min(d, 3)."""

OUTPUT_ALIGN_BYTES = 1024
"""Every output of a task starts on such a boundary of its block."""

BLOCK_ALIGN_BYTES = 64
"""A block's size is rounded up to this."""

MAX_BLOCK_BYTES = 2**31 - 1
"""The runtime adds up a block in 32 signed bits."""

DEFAULT_TASK_WINDOW = 16384
DEFAULT_HEAP_BYTES = 256 * 2**20
DEFAULT_DEP_POOL = 16384
TENSORMAP_ENTRIES = 65536

SCOPE_DEADLOCK = 1
HEAP_RING_DEADLOCK = 2
FLOW_CONTROL_DEADLOCK = 3
DEP_POOL_OVERFLOW = 4
INVALID_ARGS = 5
REQUIRE_SYNC_START_INVALID = 7
TENSOR_WAIT_TIMEOUT = 8
TENSORMAP_OVERFLOW = 11
SCHEDULER_TIMEOUT = 100

FAULT_NAMES = {
    SCOPE_DEADLOCK: "SCOPE_DEADLOCK",
    HEAP_RING_DEADLOCK: "HEAP_RING_DEADLOCK",
    FLOW_CONTROL_DEADLOCK: "FLOW_CONTROL_DEADLOCK",
    DEP_POOL_OVERFLOW: "DEP_POOL_OVERFLOW",
    INVALID_ARGS: "INVALID_ARGS",
    REQUIRE_SYNC_START_INVALID: "REQUIRE_SYNC_START_INVALID",
    TENSOR_WAIT_TIMEOUT: "TENSOR_WAIT_TIMEOUT",
    TENSORMAP_OVERFLOW: "TENSORMAP_OVERFLOW",
    SCHEDULER_TIMEOUT: "SCHEDULER_TIMEOUT",
}
"""Runtime error codes that the model can raise. simpler: src/common/runtime_status/error_names.h."""


def _round_up(value: int, unit: int) -> int:
    return -(-value // unit) * unit


def block_nbytes(output_nbytes: Iterable[int]) -> int:
    """Bytes of the heap block of a task with these outputs: each rounded up to 1024 bytes, packed.

    Raises ValueError for a negative size, and for a block of 2 GiB or more: the runtime's 32-bit sum overflows
    there and reserves nothing, without an error.
    """
    sizes = tuple(output_nbytes)
    if any(size < 0 for size in sizes):
        raise ValueError(f"output sizes must not be negative, got {sizes}")
    total = _round_up(sum(_round_up(size, OUTPUT_ALIGN_BYTES) for size in sizes), BLOCK_ALIGN_BYTES)
    if total > MAX_BLOCK_BYTES:
        raise ValueError(
            f"one allocation batch asks for {total} bytes; the runtime sums a batch in 32 signed bits and would "
            f"reserve nothing at 2 GiB or more. Split the tensors over several scopes or statement lists"
        )
    return total


def smallest_power_of_two(value: int) -> int:
    """The smallest power of two that is not below `value` (at least 1)."""
    return 1 << max(0, value - 1).bit_length()


@dataclass(frozen=True, kw_only=True)
class RingSizes:
    """Capacities of the four rings. Defaults are the runtime's.

    task_window: slots, a power of two from 4. heap_bytes: at least 1024. dep_pool: entries, at least 4.
    tensormap: entries of the one global map. Raises ValueError for sizes that the runtime refuses.
    Source: pypto: docs/en/dev/05-runtime-ring-sizing.md.
    """

    heap_bytes: tuple[int, ...] = (DEFAULT_HEAP_BYTES,) * RING_COUNT
    task_window: tuple[int, ...] = (DEFAULT_TASK_WINDOW,) * RING_COUNT
    dep_pool: tuple[int, ...] = (DEFAULT_DEP_POOL,) * RING_COUNT
    tensormap: int = TENSORMAP_ENTRIES

    def __post_init__(self) -> None:
        for field_name in ("heap_bytes", "task_window", "dep_pool"):
            values = getattr(self, field_name)
            if len(values) != RING_COUNT:
                raise ValueError(f"{field_name} needs {RING_COUNT} values, one for each ring; got {values}")
        if any(size < 1024 for size in self.heap_bytes):
            raise ValueError(f"a ring heap is at least 1024 bytes; got {self.heap_bytes}")
        if any(window < 4 or window & (window - 1) for window in self.task_window):
            raise ValueError(f"a task window is a power of two from 4; got {self.task_window}")
        if any(entries < 4 for entries in self.dep_pool):
            raise ValueError(f"a dep pool has at least 4 entries; got {self.dep_pool}")


@unique
class Blocked(str, Enum):
    """What a submission waits for."""

    WINDOW = "task window"
    HEAP = "ring heap"
    DEP_POOL = "dep pool"
    TENSORMAP = "TensorMap"


@dataclass(frozen=True)
class Allocation:
    """A task's slot and block: `local_id` counts within the ring; the block is heap[begin:end), in bytes."""

    local_id: int
    begin: int
    end: int


@dataclass(frozen=True)
class OpenScope:
    """A scope that was open when a ring was full, and what its own tasks hold of that ring."""

    site: str
    depth: int
    tasks: int
    held_bytes: int


@dataclass(frozen=True, kw_only=True)
class RingState:
    """A ring at the moment of a fault: what the runtime dumps. Sizes in bytes, tasks as ids within the ring.

    available_bytes: the largest contiguous block that could be placed. head_*: the oldest live task, which
    everything behind it waits for: its name, state, released / all consumers, and whether its scope has closed.
    dep_pool_*: entries of the ring's dependency lists. open_scopes: those that allocate in this ring, outermost first.
    """

    ring: int
    scope_depth: int
    window_slots: int
    next_task: int
    last_task_alive: int
    top_bytes: int
    tail_bytes: int
    size_bytes: int
    used_bytes: int
    available_bytes: int
    requested_bytes: int
    head_name: str = ""
    head_state: str = ""
    head_consumers: tuple[int, int] = (0, 0)
    head_scope_released: bool = False
    dep_pool_used: int = 0
    dep_pool_capacity: int = 0
    dep_pool_high_water: int = 0
    open_scopes: tuple[OpenScope, ...] = ()

    def lines(self) -> tuple[str, ...]:
        """The dump as text lines."""
        active = self.next_task - self.last_task_alive
        released, consumers = self.head_consumers
        head = f"head task {self.last_task_alive}: none alive"
        if self.head_name:
            head = (
                f"head task {self.last_task_alive} ({self.head_name}): state={self.head_state}, "
                f"consumers={released}/{consumers}, scope_released={int(self.head_scope_released)}"
            )
        return (
            f"task ring {self.ring}: current={self.next_task}, last_alive={self.last_task_alive}, "
            f"active={active}/{self.window_slots}, scope depth {self.scope_depth}",
            f"heap ring {self.ring}: top={self.top_bytes}, tail={self.tail_bytes}, size={self.size_bytes}, "
            f"used={self.used_bytes}, available={self.available_bytes}, requested={self.requested_bytes}",
            f"dep pool {self.ring}: used={self.dep_pool_used}/{self.dep_pool_capacity}, "
            f"high water={self.dep_pool_high_water}",
            head,
            *(
                f"open scope of {scope.site} (depth {scope.depth}): {scope.tasks} tasks, {scope.held_bytes} bytes"
                for scope in self.open_scopes
            ),
        )


class RingFault(RuntimeError):
    """A runtime error code. `name` as in `FAULT_NAMES`; `state` is the full ring's or that of a run that stalled.

    samples: the scope records made before the fault, which the runtime keeps. advice: what would avoid it.
    """

    def __init__(
        self,
        code: int,
        message: str,
        state: RingState | StallState | None = None,
        samples: tuple[dict[str, object], ...] = (),
        advice: RingAdvice | None = None,
    ) -> None:
        self.code = code
        self.name = FAULT_NAMES[code]
        self.message = message
        self.state = state
        self.samples = samples
        self.advice = advice
        # All of them are `args`, so that the exception can be copied (SimPy does) and pickled.
        super().__init__(code, message, state, samples, advice)

    def lines(self) -> tuple[str, ...]:
        """The dump and the advice as text lines; the first line of the advice is part of the message."""
        dump = () if self.state is None else self.state.lines()
        return dump if self.advice is None else (*dump, *self.advice.lines()[1:])

    def __str__(self) -> str:
        return "\n  ".join((f"runtime error {self.code} {self.name}: {self.message}", *self.lines()))


class HeapRing:
    """Placement in a ring of `size_bytes` bytes. Offsets are in [0, size]; nothing straddles the end."""

    def __init__(self, size_bytes: int) -> None:
        self.size_bytes = size_bytes
        self.top = 0
        self.tail = 0
        self._top_wraps = 0
        self._tail_wraps = 0

    @property
    def head_bytes(self) -> int:
        """Bytes ever allocated, with the pieces skipped at the end of the ring: the allocation frontier."""
        return self._top_wraps * self.size_bytes + self.top

    @property
    def tail_bytes(self) -> int:
        """Bytes ever reclaimed: the frontier of reclamation."""
        return self._tail_wraps * self.size_bytes + self.tail

    @property
    def used_bytes(self) -> int:
        """Bytes between the two frontiers (with a skipped piece at the end, if it lies between them)."""
        return self.head_bytes - self.tail_bytes

    @property
    def available_bytes(self) -> int:
        """The runtime's report of the free contiguous bytes; a block at offset 0 must be smaller than that."""
        if self.top == self.tail:
            return self.size_bytes
        if self.top > self.tail:
            return max(self.size_bytes - self.top, self.tail)
        return self.tail - self.top

    def place(self, nbytes: int) -> tuple[int, bool] | None:
        """Places a block; returns (offset, the empty ring was rebased to 0), or None if it does not fit now."""
        if nbytes == 0:
            return self.top, False
        if self.top < self.tail:
            if self.tail - self.top <= nbytes:
                return None
        elif self.size_bytes - self.top < nbytes:
            return self._place_at_zero(nbytes)
        begin = self.top
        self.top += nbytes
        return begin, False

    def _place_at_zero(self, nbytes: int) -> tuple[int, bool] | None:
        """The end of the ring is too small: skip it. Behind a live tail the block must stay short of the tail."""
        rebase = False
        if self.tail <= nbytes:
            if self.top != self.tail or nbytes > self.size_bytes:
                return None
            rebase = True
            self.tail = 0
            self._tail_wraps += 1
        self.top = nbytes
        self._top_wraps += 1
        return 0, rebase

    def release_to(self, end: int) -> None:
        """Reclaims everything up to the end offset of the newest retired task."""
        if end < self.tail:
            self._tail_wraps += 1
        self.tail = end


class TaskRing:
    """Slots and blocks of one ring. Schedulers retire the head; the orchestrator sees it at its next look.

    `last_alive` is the truth, `heap.tail` what the orchestrator last derived from it (`refresh`).
    """

    def __init__(self, index: int, *, window: int, heap_bytes: int) -> None:
        self.index = index
        self.window = window
        self.heap = HeapRing(heap_bytes)
        self.last_alive = 0
        self._allocations: list[Allocation] = []
        self._seen = 0
        self._rebase_anchor = -1

    @property
    def next_id(self) -> int:
        """The id that the next task gets; the head counter of the task window."""
        return len(self._allocations)

    def allocation(self, local_id: int) -> Allocation:
        """The slot and block of a task of this ring, retired or not."""
        return self._allocations[local_id]

    def refresh(self) -> None:
        """The orchestrator re-reads last_alive and moves its heap tail to the end of the newest retired task.

        After a rebase of the empty ring the blocks of older tasks say nothing about the tail until the task
        that was placed at 0 has itself retired.
        """
        if self.last_alive <= self._seen:
            return
        self._seen = self.last_alive
        if self._rebase_anchor >= 0 and self.last_alive <= self._rebase_anchor:
            return
        self._rebase_anchor = -1
        self.heap.release_to(self._allocations[self.last_alive - 1].end)

    def try_allocate(self, nbytes: int) -> Allocation | Blocked:
        """A slot and a block of `nbytes` (already rounded), or what is missing; nothing changes in that case."""
        self.refresh()
        if self.next_id - self.last_alive + 1 >= self.window:
            return Blocked.WINDOW
        placed = self.heap.place(nbytes)
        if placed is None:
            return Blocked.HEAP
        begin, rebased = placed
        if rebased:
            self._rebase_anchor = self.next_id
        self._allocations.append(Allocation(self.next_id, begin, begin + nbytes))
        return self._allocations[-1]

    def retire_head(self) -> int:
        """The oldest live task gives back slot and block; returns its id. Raises ValueError if none is live."""
        if self.last_alive >= self.next_id:
            raise ValueError(f"ring {self.index} has no live task to retire")
        self.last_alive += 1
        return self.last_alive - 1
