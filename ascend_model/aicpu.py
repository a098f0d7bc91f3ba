"""The AICPU of the runtime: one orchestrator and its schedulers over the clusters, as SimPy processes.

The orchestrator submits tasks in program order and stops when a ring is full; the schedulers share the ready
queues and own the clusters in turn. See `orchestrator` and `scheduler` for what each does.
"""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass
from typing import Any

import simpy

from ascend_model.chipspec import ChipSpec
from ascend_model.clusters import BlockRun, Device, TaskRun, build_clusters, task_runs
from ascend_model.core import BlockTimingCache
from ascend_model.orchestration import Orchestration
from ascend_model.orchestrator import Orchestrator
from ascend_model.ring import SCHEDULER_TIMEOUT, RingFault, RingSizes
from ascend_model.runtime_costs import runtime_costs
from ascend_model.runtime_state import Progress, RuntimeState
from ascend_model.scheduler import Scheduler
from ascend_model.signals import run_until
from ascend_model.stall import SCHEDULER_TIMEOUT_US, StallState
from ascend_model.steps import Step
from ascend_model.timeline import HeapReading, PathStep
from ascend_model.workload import Workload


@dataclass(frozen=True)
class RunRecord:
    """A finished run, before it is made into a `Timeline`. Times in microseconds."""

    total_us: float
    clusters: int
    aiv_per_cluster: int
    runs: tuple[TaskRun, ...]
    last_step: Step | None
    phases: tuple[PathStep, ...]
    heap: HeapReading


def run_on_device(
    workload: Workload,
    spec: ChipSpec,
    sizes: RingSizes,
    *,
    clusters: int,
    frame_depth: int,
    cache: BlockTimingCache,
    progress: Progress | None = None,
) -> RunRecord:
    """Runs `workload` on the first `clusters` clusters of the chip.

    Raises RingFault where the runtime stops with an error code, StandstillError if nothing can go on, ValueError
    for a workload that does not fit together.
    """
    costs = runtime_costs(spec)
    aiv_per_cluster = int(spec["cores.aiv_per_cluster"])
    runs = task_runs(workload, spec, cache)
    _check_cores(runs, aiv_per_cluster)
    env = simpy.Environment()
    state = RuntimeState(env, costs, runs, Orchestration(workload, sizes), progress)
    schedulers: list[Scheduler] = []

    def saw(block: BlockRun) -> None:
        schedulers[block.owner].saw(block)

    grid = build_clusters(clusters, aiv_per_cluster, costs.scheduler_threads)
    device = Device(env, spec, costs, grid, saw)
    schedulers.extend(Scheduler(state, device, index) for index in range(costs.scheduler_threads))
    orchestrator = Orchestrator(state, grid, frame_depth)
    env.process(orchestrator.orchestrate())
    for scheduler in schedulers:
        env.process(scheduler.schedule())
    env.process(watch(state, schedulers))
    run_until(env, state.done, state.waits)
    assert orchestrator.reading is not None
    return RunRecord(
        env.now,
        clusters,
        aiv_per_cluster,
        tuple(runs),
        state.last_step,
        tuple(step.as_path_step() for step in state.phases),
        orchestrator.reading,
    )


def watch(state: RuntimeState, schedulers: list[Scheduler]) -> Generator[simpy.Event, Any, None]:
    """Process: the schedulers' watchdog. Raises RingFault (error 100) once a thread has been stuck for 10 s.

    A thread is stuck if one of its cores runs a block, or if no core at all runs one and tasks are left.
    """
    env, orchestration = state.env, state.orchestration
    while True:
        first = min(schedulers, key=lambda scheduler: scheduler.last_progress_us)
        if (left := first.last_progress_us + SCHEDULER_TIMEOUT_US - env.now) > 0:
            yield env.timeout(left)
            continue
        found = state.stall()
        left_over = found.completed < found.submitted and not any(map(Scheduler.owns_running, schedulers))
        if first.owns_running() or left_over:
            raise RingFault(SCHEDULER_TIMEOUT, _stuck(found), found, tuple(orchestration.samples))
        first.last_progress_us = env.now


def _stuck(found: StallState) -> str:
    what = f"task {found.stuck_task} still runs on {found.stuck_core}" if found.stuck_task else "nothing runs"
    return (
        f"a scheduler has made no progress for {SCHEDULER_TIMEOUT_US / 1e6:g} s at {found.at_us:.0f} us: {what}, "
        f"{found.completed} of {found.submitted} submitted tasks are complete"
    )


def _check_cores(runs: list[TaskRun], aiv_per_cluster: int) -> None:
    for run in runs:
        if run.cores and run.cores[-1] > aiv_per_cluster:
            raise ValueError(
                f"task {run.index} ({run.task.name}) needs {run.cores[-1].name}; a cluster of this chip has "
                f"{aiv_per_cluster} AIV"
            )
