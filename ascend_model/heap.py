"""Readings of the ring heaps that need no clock: how much lag in reclamation costs, at most and at least.

`max_lag`: nothing retires unless the orchestrator would block, and then no more than lets it go on: an upper
bound for every run. `prompt`: everything retires as soon as it may: a lower bound. A run on the device lies
between the two. Both fail exactly where a run would.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from ascend_model.orchestration import Orchestration
from ascend_model.ring import DEFAULT_HEAP_BYTES, HEAP_RING_DEADLOCK, Blocked, RingFault, RingSizes
from ascend_model.timeline import HeapReading
from ascend_model.workload import ScopeBegin, ScopeEnd, Submit, Workload

READINGS = ("max_lag", "prompt")
MAX_RING_HEAP_BYTES = 2**40
"""Where the search for a sufficient heap gives up; far above any device's memory."""


def frame_depth(workload: Workload) -> int:
    """Depth of the entry function's frame: 1 if one scope spans all the events (auto_scope=True), else 0 (root)."""
    depth = 0
    for position, event in enumerate(workload.events):
        if isinstance(event, ScopeBegin):
            depth += 1
        elif isinstance(event, ScopeEnd):
            depth -= 1
        if depth == 0 and position + 1 < len(workload.events):
            return 0
    return 1 if workload.events and isinstance(workload.events[0], ScopeBegin) else 0


def read_heap(
    workload: Workload,
    capacities: RingSizes | tuple[int, int, int, int] = (DEFAULT_HEAP_BYTES,) * 4,
    reading: str = "max_lag",
    *,
    frame: int | None = None,
) -> HeapReading:
    """Replays the events of `workload` over rings of `capacities` (heap bytes of each ring, or all sizes).

    reading: 'max_lag' or 'prompt'. frame: depth of the entry function's frame, by default `frame_depth`.
    Raises RingFault where the runtime would stop; a heap fault names the smallest power of two that suffices.
    """
    if reading not in READINGS:
        raise ValueError(f"reading must be one of {READINGS}, got {reading!r}")
    sizes = capacities if isinstance(capacities, RingSizes) else RingSizes(heap_bytes=tuple(capacities))
    depth = frame_depth(workload) if frame is None else frame
    try:
        return _replay(workload, sizes, reading, depth)
    except RingFault as fault:
        raise with_sufficient_heap(fault, workload, sizes) from None


def _replay(workload: Workload, sizes: RingSizes, reading: str, depth: int) -> HeapReading:
    prompt = reading == "prompt"
    state = Orchestration(workload, sizes, prompt_samples=prompt)
    unfinished: list[int] = []  # max_lag: submitted tasks that count as running until someone needs their room
    for event in workload.events:
        if isinstance(event, ScopeBegin):
            state.begin_scope(event)
        elif isinstance(event, ScopeEnd):
            state.end_scope()
        else:
            _submit(state, event, unfinished)
            if prompt:
                _finish_all(state, unfinished)
        if prompt:
            for ring in state.rings:
                state.advance(ring)
    return state.finish(reading, depth)


def _submit(state: Orchestration, event: Submit, unfinished: list[int]) -> None:
    for step in (state.allocate, state.wire):
        _until_unblocked(state, event.task, step, unfinished)
    if not state.completed[event.task]:
        unfinished.append(event.task)


def _until_unblocked(
    state: Orchestration, task: int, step: Callable[[int], Blocked | None], unfinished: list[int]
) -> None:
    """Repeats a blocked step, retiring one more task each time. Faults if none may retire."""
    while (blocked := step(task)) is not None:
        _finish_all(state, unfinished)
        rings = state.rings if blocked is Blocked.TENSORMAP else (state.ring,)
        if not any(state.retire_head(ring) for ring in rings):
            raise state.fault(task, blocked)


def _finish_all(state: Orchestration, unfinished: list[int]) -> None:
    """Producers come before their consumers, so without a clock every submitted task can have run."""
    for task in unfinished:
        state.complete(task)
        state.release(task)
    unfinished.clear()


def with_sufficient_heap(fault: RingFault, workload: Workload, sizes: RingSizes) -> RingFault:
    """A heap fault with the smallest power of two added that its ring needs; any other fault unchanged."""
    if fault.code != HEAP_RING_DEADLOCK or fault.state is None:
        return fault
    enough = smallest_heap_bytes(workload, sizes, fault.state.ring)
    advice = (
        f"No heap up to {MAX_RING_HEAP_BYTES} bytes would do"
        if enough is None
        else f"The smallest power of two with which this program passes is {enough} (ring {fault.state.ring})"
    )
    return RingFault(fault.code, f"{fault.message}. {advice}", fault.state, fault.samples)


def smallest_heap_bytes(workload: Workload, sizes: RingSizes, ring: int) -> int | None:
    """The smallest power-of-two heap of one ring with which the workload no longer fails there.

    The other rings keep their sizes; a fault elsewhere does not count against this ring. None beyond 1 TiB.
    """
    size = 1024
    while size <= MAX_RING_HEAP_BYTES:
        heaps = tuple(size if index == ring else own for index, own in enumerate(sizes.heap_bytes))
        try:
            _replay(workload, replace(sizes, heap_bytes=heaps), "max_lag", 0)
            return size
        except RingFault as fault:
            if fault.state is None or fault.code != HEAP_RING_DEADLOCK or fault.state.ring != ring:
                return size
        size *= 2
    return None
