"""The orchestrator thread: meets the workload's events in order, and waits when a ring is full."""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import Any

import simpy

from ascend_model.clusters import Cluster, TaskRun
from ascend_model.isa import Core, WaitReason
from ascend_model.ring import REQUIRE_SYNC_START_INVALID, TENSOR_WAIT_TIMEOUT, Blocked, RingFault
from ascend_model.runtime_state import RuntimeState
from ascend_model.stall import ALLOCATION_TIMEOUT_US, TENSOR_WAIT_TIMEOUT_US
from ascend_model.steps import RUNTIME, Step, latest
from ascend_model.timeline import HeapReading
from ascend_model.workload import Await, ScopeBegin, ScopeEnd, Submit

Process = Generator[simpy.Event, Any, None]

NAME = "orchestrator"


class Orchestrator:
    """Drives the rings and scopes with a clock. `reading` is the heap as it saw it, once it has ended."""

    def __init__(self, state: RuntimeState, clusters: tuple[Cluster, ...], frame_depth: int) -> None:
        self._state = state
        self._env = state.env
        self._clusters = clusters
        self._frame_depth = frame_depth
        self._step: Step | None = None
        self.reading: HeapReading | None = None

    def orchestrate(self) -> Process:
        """Process: every event in order. Waits for room in a ring; raises RingFault where the runtime stops."""
        orchestration, costs = self._state.orchestration, self._state.costs
        for event in orchestration.workload.events:
            if isinstance(event, ScopeBegin):
                orchestration.begin_scope(event)
            elif isinstance(event, ScopeEnd):
                orchestration.end_scope()
                for ring in orchestration.rings:
                    orchestration.advance(ring)
                yield from self._work("end scope", "", None, costs.scope_end_us)
            elif isinstance(event, Submit):
                yield from self._submit(self._state.runs[event.task])
            else:
                yield from self._await(event)
        self.reading = orchestration.finish("simulated", self._frame_depth)
        self._state.orchestrated()

    def _submit(self, run: TaskRun) -> Process:
        orchestration, costs = self._state.orchestration, self._state.costs
        yield from self._work("code before", run.task.name, run.index, costs.user_code_us)
        self._check_sync_start(run)
        yield from self._until_unblocked(run, orchestration.allocate)
        cost = costs.alloc_us if run.task.kind == "ALLOC" else costs.submit_us
        step = yield from self._work("submit", run.task.name, run.index, cost)
        yield from self._until_unblocked(run, orchestration.wire)
        self._state.submitted(run, self._step or step)

    def _await(self, event: Await) -> Process:
        """Waits until the data that this thread reads or overwrites itself is there."""
        orchestration = self._state.orchestration
        start = self._env.now
        for task in event.tasks:
            run = self._state.runs[task]
            yield from self._until(lambda of: bool(orchestration.completed[of]), event, run, "its end")
            if event.consumers:
                yield from self._until(orchestration.let_go, event, run, "its consumers")
        if self._env.now > start:
            site = orchestration.workload.sites[event.site]
            step = Step(
                f"{NAME}: waits for data at {site}", None, WaitReason.DEPENDENCY.value, start, self._env.now, self._step
            )
            self._state.record(step)
            self._step = latest(self._step, self._state.last_completion)

    def _until(self, holds: Callable[[int], bool], event: Await, run: TaskRun, what: str) -> Process:
        """Waits for one condition on a task. Error 8 after 15 s."""
        if holds(run.index):
            return
        start = self._env.now
        deadline = self._env.timeout(TENSOR_WAIT_TIMEOUT_US)
        while not holds(run.index):
            self._state.waits[NAME] = (f"{what}, of task {run.task.name}, to touch its data", "a scheduler")
            yield self._state.finished.wait() | deadline
            if deadline.processed and not holds(run.index):
                raise self._data_timeout(event, run, what, start)
        self._state.waits.pop(NAME, None)

    def _data_timeout(self, event: Await, run: TaskRun, what: str, start_us: float) -> RingFault:
        orchestration = self._state.orchestration
        sites = orchestration.workload.sites
        verb = "overwrites" if event.consumers else "reads"
        return RingFault(
            TENSOR_WAIT_TIMEOUT,
            f"{sites[event.site]}: the orchestration {verb} data of task {run.task.name!r} at {sites[run.task.site]} "
            f"and has waited for {what} from {start_us:.0f} us on, {TENSOR_WAIT_TIMEOUT_US / 1e6:g} s",
            self._state.stall(),
            tuple(orchestration.samples),
        )

    def _work(self, kind: str, of: str, task: int | None, duration_us: float) -> Generator[simpy.Event, Any, Step]:
        """A step of this thread; of: the task that it is about, '' for none."""
        start = self._env.now
        yield self._env.timeout(duration_us)
        what = f"{NAME}: {kind} {of}".rstrip()
        self._step = self._state.record(
            Step(what, task, RUNTIME, start, self._env.now, self._step, thread=NAME, kind=kind)
        )
        return self._step

    def _until_unblocked(self, run: TaskRun, attempt: Callable[[int], Blocked | None]) -> Process:
        """Waits until a step of a submission succeeds. A head that only this thread can free is a fault."""
        start, orchestration = self._env.now, self._state.orchestration
        missing = None
        while (blocked := attempt(run.index)) is not None:
            if orchestration.deadlocked(blocked):
                raise orchestration.fault(run.index, blocked)
            missing = blocked
            self._state.waits[NAME] = (f"{blocked.value} for {run.task.name}", "a scheduler that retires tasks")
            # Timed anew after each retirement, which is what wakes this thread up.
            deadline = self._env.timeout(ALLOCATION_TIMEOUT_US)
            yield self._state.retired.wait() | deadline
            if deadline.processed:
                raise orchestration.fault(run.index, blocked)
        self._state.waits.pop(NAME, None)
        if missing is not None and self._env.now > start:
            step = Step(
                f"{NAME}: {run.task.name} waits for {missing.value}",
                run.index,
                WaitReason.CAPACITY.value,
                start,
                self._env.now,
                self._step,
            )
            self._state.record(step)
            # On the critical path the wait is explained by what ended it.
            self._step = latest(self._step, self._state.retire_step)

    def _check_sync_start(self, run: TaskRun) -> None:
        """Error 7: more blocks than cores, in a task whose blocks must all run at once."""
        if not run.task.sync_start or run.block_count <= 1 or not run.cores:
            return
        limit = len(self._clusters)
        if run.shape == "AIV":
            limit = sum(len(cluster.cores[Core.AIV0 :]) for cluster in self._clusters)
        if run.block_count > limit:
            orchestration = self._state.orchestration
            site = orchestration.workload.sites[run.task.site]
            raise RingFault(
                REQUIRE_SYNC_START_INVALID,
                f"{site}: task {run.task.name!r} has sync_start and block_num={run.block_count}, above the limit of "
                f"{limit} that can run at once. Use fewer blocks, or drop sync_start",
                samples=tuple(orchestration.samples),
            )
