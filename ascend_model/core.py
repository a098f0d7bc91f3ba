"""One block on one cluster (1 AIC + 2 AIV): its instruction stream over the in-order pipes of each core.

Rules. The scalar unit of a core takes its instructions in program order: an S instruction runs there, any
other is issued to its pipe and the scalar unit goes on (queues have no length limit). A pipe runs its queue
in order. An instruction starts when it is issued, the pipe is free, and every dependency has completed plus
the latency of the signal between the two pipes. Its `head` overlaps the instruction before it; `tail`
delays the result but not the next instruction (see `cost`). Sources: pto-isa:
include/pto/costmodel/a2a3/cce_costmodel/cce_costmodel_sync.hpp; docs/isa/tile (in-order queues, flags).

Every rule is a maximum or a sum, so making any cost larger never makes a block shorter.
"""

from __future__ import annotations

import hashlib
from collections.abc import MutableMapping
from dataclasses import dataclass

import numpy as np

from ascend_model.chipspec import ChipSpec
from ascend_model.cost import stream_cost
from ascend_model.isa import CORE_PIPES, Core, Kind, Pipe
from ascend_model.pipe_schedule import (
    BOUND_BARRIER,
    BOUND_DEPENDENCY,
    BOUND_PIPE,
    PIPES,
    REASONS,
    account_pipes,
    schedule_pipes,
)
from ascend_model.timeline import PipeUse
from ascend_model.workload import InstructionStream

BUSY = "busy"
"""`PathSegment.reason` of an instruction that is working; every other reason is an `isa.WaitReason`."""


@dataclass(frozen=True)
class PathSegment:
    """A piece of a block's critical path: instruction `instruction` working, or the wait that held it."""

    instruction: int
    start_cycles: int
    end_cycles: int
    reason: str


@dataclass(frozen=True)
class BlockTiming:
    """How a block runs alone, with every load served by L2.

    start_cycles, end_cycles: int64 [n], when each instruction starts and when its result is there.
    pipes: every pipe of every core that the stream uses; names are 'AIC.MTE2', 'AIV0.V', ...; for each,
    busy + sum(idle) == total_cycles.
    gm_read_bytes, gm_write_bytes: bytes asked for; l2_bytes: with whole lines.
    gm_read_bytes_by_core: the reads of AIC, AIV0, AIV1.
    critical_path: oldest first, contiguous from 0 to total_cycles.
    """

    total_cycles: int
    start_cycles: np.ndarray
    end_cycles: np.ndarray
    pipes: tuple[PipeUse, ...]
    gm_read_bytes: int
    gm_write_bytes: int
    l2_bytes: int
    gm_read_bytes_by_core: tuple[int, int, int]
    critical_path: tuple[PathSegment, ...]


BlockTimingCache = MutableMapping[tuple[str, str], BlockTiming]
"""Timings by (stream hash, chip hash); the caller owns it and passes it to `time_block`."""


def stream_hash(stream: InstructionStream) -> str:
    """SHA-256 over what the timing of a stream depends on: all of it but the source sites."""
    digest = hashlib.sha256()
    for array in (stream.kind, stream.core, stream.args, stream.dep_offsets, stream.dep_indices):
        digest.update(f"{array.dtype.str}{array.shape}".encode())
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()


def time_block(stream: InstructionStream, spec: ChipSpec, cache: BlockTimingCache | None = None) -> BlockTiming:
    """Times one block alone on its cluster. With a cache, equal streams on equal chips are timed once.

    Raises ValueError when the stream is malformed (see `cost.stream_cost`) or a dependency is not earlier.
    """
    if cache is None:
        return _time(stream, spec)
    key = (stream_hash(stream), spec.content_hash)
    timing = cache.get(key)
    if timing is None:
        timing = cache[key] = _time(stream, spec)
    return timing


def _time(stream: InstructionStream, spec: ChipSpec) -> BlockTiming:
    _check_dependencies(stream)
    cost = stream_cost(stream, spec)
    latencies = [spec["sync.barrier_cycles"], spec["sync.flag_cycles"], spec["sync.cross_core_cycles"]]
    times, bound = schedule_pipes(
        stream.core,
        cost.pipe,
        stream.kind == Kind.BARRIER,
        np.stack([cost.issue_cycles, cost.head_cycles, cost.hold_cycles, cost.tail_cycles]),
        stream.dep_offsets,
        stream.dep_indices,
        np.ceil(latencies).astype(np.int64),
    )
    busy, idle = account_pipes(stream.core, cost.pipe, cost.issue_cycles, times, bound)
    by_core = [int(cost.gm_read_bytes[stream.core == core].sum()) for core in Core]
    return BlockTiming(
        total_cycles=int(times[3].max(initial=0)),
        start_cycles=times[1],
        end_cycles=times[3],
        pipes=_pipe_uses(stream, busy, idle),
        gm_read_bytes=int(cost.gm_read_bytes.sum()),
        gm_write_bytes=int(cost.gm_write_bytes.sum()),
        l2_bytes=int(cost.l2_bytes.sum()),
        gm_read_bytes_by_core=(by_core[0], by_core[1], by_core[2]),
        critical_path=_critical_path(stream, cost.pipe, times, bound),
    )


def _check_dependencies(stream: InstructionStream) -> None:
    consumer = np.repeat(np.arange(len(stream)), np.diff(stream.dep_offsets))
    bad = (stream.dep_indices < 0) | (stream.dep_indices >= consumer)
    if bad.any():
        at = int(np.argmax(bad))
        raise ValueError(f"instruction {consumer[at]} depends on {stream.dep_indices[at]}, which is not an earlier one")


def _pipe_uses(stream: InstructionStream, busy: np.ndarray, idle: np.ndarray) -> tuple[PipeUse, ...]:
    uses = []
    for core in (Core(c) for c in np.unique(stream.core)):
        for pipe in CORE_PIPES[core]:
            unit = core * PIPES + pipe
            reasons = {REASONS[r]: float(idle[unit, r]) for r in np.flatnonzero(idle[unit])}
            total = float(busy[unit] + idle[unit].sum())
            uses.append(PipeUse(f"{core.name}.{pipe.name}", total, float(busy[unit]), reasons))
    return tuple(uses)


def _critical_path(
    stream: InstructionStream, pipe: np.ndarray, times: np.ndarray, bound: np.ndarray
) -> tuple[PathSegment, ...]:
    """Walks back from the last completion: an instruction's work, then whatever fixed its start, to time 0."""
    if len(stream) == 0:
        return ()
    previous = _previous_on_core(stream.core)
    issue_start, start, _, end = times
    path: list[PathSegment] = []

    def add(instruction: int, begin: int, until: int, reason: str) -> None:
        if until > begin:
            path.append(PathSegment(instruction, int(begin), int(until), reason))

    i, now = int(np.argmax(end)), int(end.max())
    while now > 0:
        add(i, start[i], now, BUSY)
        now = int(start[i])
        how, who = bound[0, i], int(bound[1, i])
        if how == BOUND_PIPE:
            i = who
        elif how in (BOUND_DEPENDENCY, BOUND_BARRIER):
            add(i, end[who], now, REASONS[bound[2, i]])
            i, now = who, int(end[who])
        else:
            # Back along the scalar unit: issue slots, until the S instruction that ran before them.
            if pipe[i] != Pipe.S:
                add(i, issue_start[i], now, "issue")
                now = int(issue_start[i])
            i = int(previous[i])
            while now > 0 and pipe[i] != Pipe.S:
                add(i, issue_start[i], now, "issue")
                now, i = int(issue_start[i]), int(previous[i])
    return tuple(reversed(path))


def _previous_on_core(core: np.ndarray) -> np.ndarray:
    """Index of the instruction before each one on its own core, -1 for the first."""
    previous = np.full(len(core), -1, dtype=np.int64)
    for c in np.unique(core):
        at = np.flatnonzero(core == c)
        previous[at[1:]] = at[:-1]
    return previous
