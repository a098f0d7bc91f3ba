"""What the orchestrator and the scheduler threads share during one simulated run."""

from __future__ import annotations

from collections.abc import Callable

import simpy

from ascend_model.clusters import BlockRun, Early, TaskRun
from ascend_model.orchestration import Orchestration
from ascend_model.ready_queue import EarlyQueues, ReadyQueues
from ascend_model.runtime_costs import RuntimeCosts
from ascend_model.signals import Signal
from ascend_model.stall import StallState, Waiting
from ascend_model.steps import Step, latest

Progress = Callable[[int, int, str], None]
"""Called as progress(completed tasks, all tasks, name of the task that has just completed)."""


class RuntimeState:
    """Tasks, queues and rings of a run, the signals between its threads, and the steps they took.

    retired: a ring has got room. finished: a task has completed, or let go of its producers. wakes: one signal a
    scheduler thread. done: every task has completed and the orchestrator has ended. waits: by process, what it waits
    for and who should signal it.
    """

    def __init__(
        self,
        env: simpy.Environment,
        costs: RuntimeCosts,
        runs: list[TaskRun],
        orchestration: Orchestration,
        progress: Progress | None = None,
    ) -> None:
        self.env = env
        self.costs = costs
        self.runs = runs
        self.orchestration = orchestration
        self.queues = ReadyQueues()
        self.early_queues = EarlyQueues()
        self.retired = Signal(env)
        self.finished = Signal(env)
        self.wakes = tuple(Signal(env) for _ in range(costs.scheduler_threads))
        self.done = env.event()
        self.draining: TaskRun | None = None
        self.phases: list[Step] = []
        self.waits: dict[str, tuple[str, str]] = {}
        self.last_step: Step | None = None
        self.retire_step: Step | None = None
        self.last_completion: Step | None = None
        self._progress = progress
        self._completed = 0
        self._orchestrated = False

    def record(self, step: Step) -> Step:
        """Keeps a step of an AICPU thread for the trace."""
        self.phases.append(step)
        self.last_step = latest(self.last_step, step)
        return step

    def wake_all(self) -> None:
        """Something changed that a scheduler thread may act on."""
        for wake in self.wakes:
            wake.fire()

    def submitted(self, run: TaskRun, step: Step) -> None:
        """The orchestrator has published a task; it is ready now if its producers have all completed."""
        run.submit_us = self.env.now
        run.submitted = True
        producers = [self.runs[producer] for producer in self.orchestration.claimed(run.index)]
        live = [producer for producer in producers if not self.orchestration.completed[producer.index]]
        for producer in live:
            producer.consumers.append(run)
        run.fanin = len(live)
        if run.task.kind == "ALLOC":
            run.ready_us = run.start_us = run.last_start_us = run.end_us = self.env.now
            self.completed(run)
        elif run.fanin == 0:
            self.ready(run, step)
        elif all(producer.task.early_resolve for producer in producers):
            run.early_producers = len(producers)
            run.early_fanin = len(producers) - sum(not producer.propagated for producer in live)
            self._stage_if_due(run, step)

    def producer_completed(self, run: TaskRun, step: Step) -> list[BlockRun]:
        """One of the producers of `run` has completed; `step` told it so. Returns its blocks that may now start."""
        run.fanin -= 1
        return self.ready(run, step) if run.fanin == 0 else []

    def ready(self, run: TaskRun, step: Step) -> list[BlockRun]:
        """The fan-in of a submitted task is done. Returns its staged blocks; the others wait for a core."""
        staged = [block for block in run.blocks if block.dispatch is not None]
        run.early = Early.READY
        run.ready_us = self.env.now
        run.ready_step = step
        if run.next_block < run.block_count or not run.block_count:
            self.queues.push(run)
            self.wake_all()
        return staged

    def published(self, run: TaskRun, count: int, step: Step) -> None:
        """Cores have been told of `count` more blocks of a task."""
        run.published += count
        self.propagate(run, step)

    def propagate(self, run: TaskRun, step: Step) -> None:
        """Tells the consumers of a task that all its blocks are on cores, once that is so and it has been let go."""
        published = run.published >= run.block_count and run.early is not Early.STAGING
        if run.propagated or not published or not run.task.early_resolve:
            return
        run.propagated = True
        for consumer in run.consumers:
            consumer.early_fanin += 1
            self._stage_if_due(consumer, step)

    def _stage_if_due(self, run: TaskRun, step: Step) -> None:
        """Early dispatch of a task whose producers have all published their blocks, and of which one still runs."""
        if run.early_fanin != run.early_producers or run.early is not Early.NONE or run.fanin == 0:
            return
        if run.shape == "DUMMY" or run.task.predicated or (run.task.sync_start and run.block_count > 1):
            return
        run.early = Early.STAGING
        run.ready_step = step
        self.early_queues.push(run)
        self.wake_all()

    def completed(self, run: TaskRun) -> None:
        """A task is over, its consumers told."""
        self._completed += 1
        if self._progress is not None:
            self._progress(self._completed, len(self.runs), run.task.name)
        self._end_if_done()

    def orchestrated(self) -> None:
        """The orchestrator has met its last event."""
        self._orchestrated = True
        self._end_if_done()

    def stall(self) -> StallState:
        """The run as a watchdog finds it."""
        completed = self.orchestration.completed
        pending = [run for run in self.runs if run.submitted and not completed[run.index]]
        running = [(run, block) for run in pending for block in run.blocks if block.runs]
        begun = {run.index for run, _ in running}
        rest = [run for run in pending if run.index not in begun]
        stuck = running[0] if running else None
        return StallState(
            at_us=self.env.now,
            completed=self._completed,
            submitted=sum(run.submitted for run in self.runs),
            running=len(begun),
            ready=sum(run.fanin == 0 for run in rest),
            waiting=sum(run.fanin > 0 for run in rest),
            orchestrated=self._orchestrated,
            stuck_task=f"{stuck[0].task.name} (id {stuck[0].index})" if stuck else "",
            stuck_core=stuck[1].cores[0].name if stuck else "",
            waits=tuple(Waiting(who, *wait) for who, wait in sorted(self.waits.items())),
        )

    def _end_if_done(self) -> None:
        if self._orchestrated and self._completed == len(self.runs):
            self.done.succeed()
