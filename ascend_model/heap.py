"""Readings of the ring heaps that need no clock: how much lag in reclamation costs, at most and at least.

`max_lag`: nothing retires unless the orchestrator would block, and then no more than lets it go on: an upper
bound for every run. `prompt`: everything retires as soon as it may: a lower bound. A run on the device lies
between the two. Both fail exactly where a run would.
"""

from __future__ import annotations

from ascend_model.replay import replay
from ascend_model.ring import DEFAULT_HEAP_BYTES, RingSizes
from ascend_model.timeline import HeapReading
from ascend_model.workload import ScopeBegin, ScopeEnd, Workload

READINGS = ("max_lag", "prompt")


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
    Raises RingFault where the runtime would stop; `ring_advice` finds what would avoid it.
    """
    if reading not in READINGS:
        raise ValueError(f"reading must be one of {READINGS}, got {reading!r}")
    sizes = capacities if isinstance(capacities, RingSizes) else RingSizes(heap_bytes=tuple(capacities))
    depth = frame_depth(workload) if frame is None else frame
    return replay(workload, sizes, reading, depth)
