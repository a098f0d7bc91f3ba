"""Invariants of the ring heaps that every run must obey, and limits that an author sets for one kernel.

Each takes the `BackendRun` of a run and returns a `Verdict`. They judge every reading that the run has ('max_lag',
'prompt', and 'simulated' if time was simulated). Rules: simpler: src/a2a3/runtime/tensormap_and_ringbuffer/runtime/
pto_ring_buffer.h, docs/MULTI_RING.md.
"""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

from pto_sim.testing.verdict import HOLDS, Verdict, broken

if TYPE_CHECKING:
    from pto_sim.backend import BackendRun

OUTPUT_ALIGN_BYTES = 1024
"""What the runtime rounds each output of a task up to."""


def heap_conserved(run: BackendRun) -> Verdict:
    """No byte appears or vanishes: frontiers only move forward, the head never passes the tail by more than the heap,
    and a scope's allocation is at least what its batches ask for (more only by pieces skipped at the ring's end)."""
    for name, reading in run.heap.items():
        frontier: dict[int, tuple[int, int]] = {}
        for sample in reading.samples:
            ring, tail, head = (_count(sample, key) for key in ("ring", "heap_start", "heap_end"))
            old_tail, old_head = frontier.get(ring, (0, 0))
            where = f"{name}, ring {ring}, {sample['phase']} of scope {sample['site']}"
            if tail < old_tail or head < old_head:
                return broken(f"{where}: a frontier moved back, from {old_tail}..{old_head} to {tail}..{head} bytes")
            if not 0 <= head - tail <= reading.rings[ring][0]:
                return broken(f"{where}: {head - tail} bytes in use of {reading.rings[ring][0]}")
            frontier[ring] = tail, head
    return _placed_as_asked(run)


def _placed_as_asked(run: BackendRun) -> Verdict:
    for name, reading in run.heap.items():
        for block in reading.blocks:
            need = sum(-(-nbytes // OUTPUT_ALIGN_BYTES) * OUTPUT_ALIGN_BYTES for nbytes in block.output_nbytes)
            if block.end_bytes - block.begin_bytes != need:
                return broken(
                    f"{name}, ring {block.ring}, task {block.task}: {block.end_bytes - block.begin_bytes} bytes placed "
                    f"for outputs of {block.output_nbytes} bytes, which take {need}"
                )
    return HOLDS


def fifo_reclaimed(run: BackendRun) -> Verdict:
    """Slots and blocks are given back strictly in the order in which they were taken."""
    for name, reading in run.heap.items():
        seen: dict[int, tuple[int, int]] = {}
        for block in reading.blocks:
            next_id, oldest = seen.get(block.ring, (0, 0))
            if block.local_id != next_id:
                return broken(f"{name}, ring {block.ring}: slot {block.local_id} was given after slot {next_id - 1}")
            if not oldest <= block.oldest_live_id <= next_id:
                return broken(
                    f"{name}, ring {block.ring}: when slot {block.local_id} was given the oldest live one was "
                    f"{block.oldest_live_id}, before it {oldest}"
                )
            seen[block.ring] = next_id + 1, block.oldest_live_id
    return HOLDS


def no_live_block_reused(run: BackendRun) -> Verdict:
    """No block was placed over bytes of a block that was still live."""
    for name, reading in run.heap.items():
        live: dict[int, list[tuple[int, int, int]]] = {}
        for block in reading.blocks:
            held = [item for item in live.get(block.ring, []) if item[0] >= block.oldest_live_id]
            for local_id, begin, end in held:
                if block.begin_bytes < end and begin < block.end_bytes:
                    return broken(
                        f"{name}, ring {block.ring}: slot {block.local_id} got bytes {block.begin_bytes} to "
                        f"{block.end_bytes} while slot {local_id} held {begin} to {end}"
                    )
            live[block.ring] = [*held, (block.local_id, block.begin_bytes, block.end_bytes)]
    return HOLDS


def depth_within(run: BackendRun, levels: int = 4) -> Verdict:
    """Scopes nest at most so deep that `levels` rings are used and none is shared (the root counts as one level)."""
    for name, reading in run.heap.items():
        for scope in reading.scopes:
            if scope.depth >= levels:
                return broken(
                    f"{name}: scope {scope.site} is at depth {scope.depth}; {levels} levels end at {levels - 1}"
                )
    return HOLDS


def high_water_within(run: BackendRun, nbytes: int, *, reading: str = "max_lag", ring: int | None = None) -> Verdict:
    """The high water of every ring, or of one, is at most `nbytes` in a reading."""
    for index, (_, high) in run.heap[_known(run, reading)].rings.items():
        if ring in (None, index) and high > nbytes:
            return broken(f"{reading}: ring {index} reaches {high} bytes, {high - nbytes} above the limit of {nbytes}")
    return HOLDS


def residency_within(run: BackendRun, nbytes: int, *, reading: str = "max_lag") -> Verdict:
    """What the entry's frame still holds when it ends is at most `nbytes`."""
    held = run.heap[_known(run, reading)].frame_residency_bytes
    return HOLDS if held <= nbytes else broken(f"{reading}: the frame holds {held} bytes at its end, limit {nbytes}")


def scope_within(run: BackendRun, site: str, nbytes: int, *, reading: str = "max_lag") -> Verdict:
    """Every instance of the scope at `site` ('file.py:line', or its end) allocates at most `nbytes`.

    Raises ValueError if no scope is there.
    """
    known = run.heap[_known(run, reading)].scopes
    scopes = [scope for scope in known if scope.site == site or scope.site.endswith("/" + site)]
    if not scopes:
        raise ValueError(f"no scope at {site!r}; scopes are at {sorted({scope.site for scope in known})}")
    largest = max(scope.alloc_bytes for scope in scopes)
    return HOLDS if largest <= nbytes else broken(f"scope {site} allocates {largest} bytes, limit {nbytes}")


def readings_are_ordered(run: BackendRun) -> Verdict:
    """'prompt' is never above 'simulated', and 'simulated' never above 'max_lag', for any scope."""
    names = [name for name in ("prompt", "simulated", "max_lag") if name in run.heap]
    for less, more in pairwise(names):
        for low, high in zip(run.heap[less].scopes, run.heap[more].scopes, strict=True):
            if low.high_water_bytes > high.high_water_bytes:
                return broken(
                    f"scope {low.site}: {low.high_water_bytes} bytes high water in {less}, "
                    f"{high.high_water_bytes} in {more}"
                )
    return HOLDS


def _known(run: BackendRun, name: str) -> str:
    if name not in run.heap:
        fault = f"; it ended with {run.fault}" if run.fault else ""
        raise ValueError(f"the run has no reading {name!r}, it has {sorted(run.heap)}{fault}")
    return name


def _count(sample: dict[str, object], key: str) -> int:
    value = sample[key]
    assert isinstance(value, int)
    return value
