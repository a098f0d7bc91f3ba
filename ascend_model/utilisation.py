"""Pipe utilisation of tasks and of the whole chip: busy cycles, and idle cycles by reason.

Names are 'AIC.M', 'AIV.V', ...: the AIVs of a cluster are counted together. Idle time inside a block keeps the
reasons of the block alone, plus `bandwidth` for what it lost to others. Idle time of a core without a block is
explained by what the work for its kind was waiting for: `runtime` (a ready task not yet on a core, or not yet
submitted), `dependency` (submitted, its fan-in not done), `no_work` (none left).
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable
from itertools import pairwise

from ascend_model.clusters import BlockRun, TaskRun
from ascend_model.core import BlockTiming
from ascend_model.isa import CORE_PIPES, Core, WaitReason
from ascend_model.timeline import PipeUse

_KINDS = {"AIC": Core.AIC, "AIV": Core.AIV0}


class _Sums:
    """Exact sums of one pipe's busy and idle cycles."""

    def __init__(self) -> None:
        self.busy: list[float] = []
        self.idle: defaultdict[str, list[float]] = defaultdict(list)

    def use(self, pipe: str) -> PipeUse:
        busy = math.fsum(self.busy)
        idle = {reason: math.fsum(parts) for reason, parts in sorted(self.idle.items())}
        idle = {reason: cycles for reason, cycles in idle.items() if cycles > 0}
        return PipeUse(pipe, busy + sum(idle.values()), busy, idle)


Totals = dict[str, _Sums]


def task_pipes(run: TaskRun, core_hz: float) -> tuple[PipeUse, ...]:
    """Pipes of the cores that a task ran on, over the time of its blocks."""
    totals: Totals = {}
    _add_blocks(totals, run.blocks, core_hz)
    return tuple(totals[pipe].use(pipe) for pipe in sorted(totals))


def chip_pipes(runs: Iterable[TaskRun], cores: dict[str, int], total_us: float, core_hz: float) -> tuple[PipeUse, ...]:
    """Every pipe of every core from 0 to `total_us`. cores: how many there are of each kind ('AIC', 'AIV')."""
    totals: Totals = {}
    all_runs = list(runs)
    _add_blocks(totals, [block for run in all_runs for block in run.blocks], core_hz)
    for kind, count in cores.items():
        idle_us = _idle_outside_blocks(all_runs, kind, count, total_us)
        for pipe in CORE_PIPES[_KINDS[kind]]:
            sums = totals.setdefault(f"{kind}.{pipe.name}", _Sums())
            for reason, duration_us in idle_us.items():
                sums.idle[reason].append(duration_us * core_hz / 1e6)
    return tuple(totals[pipe].use(pipe) for pipe in sorted(totals))


def _add_blocks(totals: Totals, blocks: list[BlockRun], core_hz: float) -> None:
    """Adds blocks; those of equal timing share their isolated figures, which are integers."""
    groups: dict[int, tuple[BlockTiming, BlockRun, list[float]]] = {}
    for block in blocks:
        timing = block.cost.timing
        extra = (block.end_us - block.start_us) * core_hz / 1e6 - timing.total_cycles
        groups.setdefault(id(timing), (timing, block, []))[2].append(max(0.0, extra))
    for timing, block, extras in groups.values():
        _add_group(totals, timing, block.run.cores, extras)


def _add_group(totals: Totals, timing: BlockTiming, cores: tuple[Core, ...], extras: list[float]) -> None:
    blocks, lost = len(extras), math.fsum(extras)
    # A lone AIV1 runs as an AIV0, so cores are matched by kind, in order.
    own = {use.pipe: use for use in timing.pipes}
    named = {name.split(".")[0] for name in own}
    missing = [core for core in cores if core.name not in named]
    for name, use in own.items():
        sums = totals.setdefault(_merged(name), _Sums())
        sums.busy.append(use.busy_cycles * blocks)
        for reason, cycles in use.idle_cycles.items():
            sums.idle[reason].append(cycles * blocks)
        sums.idle[WaitReason.BANDWIDTH.value].append(lost)
    for core in missing[: len(cores) - len(named)]:
        for pipe in CORE_PIPES[core]:
            sums = totals.setdefault(_merged(f"{core.name}.{pipe.name}"), _Sums())
            sums.idle[WaitReason.NO_WORK.value].append(timing.total_cycles * blocks + lost)


def _merged(name: str) -> str:
    core, _, pipe = name.partition(".")
    return f"{core[:3]}.{pipe}"


def _idle_outside_blocks(runs: list[TaskRun], kind: str, count: int, total_us: float) -> dict[str, float]:
    """Microseconds, summed over the cores of a kind, without a block, by reason. One sweep over all the changes."""
    mine = [run for run in runs if any(core.name[:3] == kind for core in run.cores)]
    changes: list[tuple[float, int, int, int]] = [(0.0, 0, 0, 0), (total_us, 0, 0, 0)]  # time, busy, ready, waiting
    for run in mine:
        width = sum(1 for core in run.cores if core.name[:3] == kind)
        changes.append((run.submit_us, 0, 0, 1))
        changes.append((run.ready_us, 0, 1, -1))
        changes.append((run.last_start_us, 0, -1, 0))
        for block in run.blocks:
            changes.append((block.start_us, width, 0, 0))
            changes.append((block.end_us, -width, 0, 0))
    changes.sort()
    last_start = max((run.last_start_us for run in mine), default=0.0)
    sums: defaultdict[str, list[float]] = defaultdict(list)
    busy = ready = waiting = 0
    for (now, *deltas), following in pairwise(changes):
        busy, ready, waiting = busy + deltas[0], ready + deltas[1], waiting + deltas[2]
        if now >= last_start:
            reason = WaitReason.NO_WORK
        elif ready or not waiting:
            reason = WaitReason.RUNTIME
        else:
            reason = WaitReason.DEPENDENCY
        sums[reason.value].append((following[0] - now) * (count - busy))
    return {reason: math.fsum(parts) for reason, parts in sums.items()}
