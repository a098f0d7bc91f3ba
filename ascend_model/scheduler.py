"""A scheduler thread: completes tasks that have run on its clusters and claims ready blocks for them.

It reacts after a mean delay (`runtime.finish_us`), so its idle polling is not played out. A task whose producers
all allow it is staged early: its blocks wait on cores behind a gate that the last producer's completion opens.
Source: simpler: src/a2a3/runtime/tensormap_and_ringbuffer/docs/RUNTIME_LOGIC.md, runtime/scheduler.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Generator
from typing import Any

import simpy

from ascend_model.clusters import BlockRun, Device, DeviceCore, Early, TaskRun
from ascend_model.ready_queue import ReadyQueues, free_places
from ascend_model.runtime_state import RuntimeState
from ascend_model.steps import RUNTIME, Step, latest

Progressed = Generator[simpy.Event, Any, bool]

MAX_DEFERRED_RELEASES = 256
"""A thread lets go of producers when it has nothing else to do, or when it has put off so many completed tasks.

simpler: runtime/scheduler/scheduler_completion.cpp, scheduler_dispatch.cpp, PTO2_DEFERRED_RELEASE_CAP.
"""

DUMMIES_PER_ITERATION = 8


class Scheduler:
    """Thread `index`; it owns the clusters i with i % threads == index."""

    def __init__(self, state: RuntimeState, device: Device, index: int) -> None:
        self._state = state
        self._env = state.env
        self._costs = state.costs
        self._device = device
        self._index = index
        self._name = f"scheduler {index}"
        self._own = tuple(cluster for cluster in device.clusters if cluster.owner == index)
        self._others = tuple(cluster for cluster in device.clusters if cluster.owner != index)
        self._wake = state.wakes[index]
        self._seen: deque[BlockRun] = deque()
        self._deferred: list[int] = []
        self.last_progress_us = 0.0

    def saw(self, block: BlockRun) -> None:
        """A block on one of this thread's clusters can be seen to have finished."""
        self._seen.append(block)
        self._wake.fire()

    def schedule(self) -> Generator[simpy.Event, Any, None]:
        """Process: see, complete, dispatch; when nothing happened, release; then wait to be woken."""
        state, queues, early = self._state, self._state.queues, self._state.early_queues
        while True:
            progressed = bool(self._seen) and (yield from self._see_finished())
            if queues.dummies:
                progressed |= yield from self._retire_dummies()
            if state.draining is None and not queues.empty:
                progressed |= yield from self._dispatch()
            # Blocks of tasks that are not ready yet go on cores once no ready block waits for one.
            if state.draining is None and queues.empty and not early.empty:
                progressed |= yield from self._in_order(early, gated=True)
            if progressed:
                self.last_progress_us = self._env.now
            else:
                self._let_go()
                yield from self._sleep("a finished block or a ready task")

    def owns_running(self) -> bool:
        """A block runs, or is about to, on a core of this thread."""
        return any(core.queue for cluster in self._own for core in cluster.cores)

    def _sleep(self, what: str) -> Generator[simpy.Event, Any, None]:
        self._state.waits[self._name] = (what, "a core, the orchestrator or another scheduler")
        yield self._wake.wait()
        del self._state.waits[self._name]

    def _work(
        self, kind: str, run: TaskRun, duration_us: float, cause: Step | None, *, of: TaskRun, count: int = 1
    ) -> Generator[simpy.Event, Any, Step]:
        """A step of this thread for `run`, called after the task `of` that it is about; count: blocks."""
        start = self._env.now
        yield self._env.timeout(duration_us)
        what = f"{self._name}: {kind} {of.task.name}{f' x{count}' if kind.endswith('dispatch') else ''}"
        step = Step(
            what, run.index, RUNTIME, start, self._env.now, cause,
            thread=self._name, kind=kind, count=count, ready=self._state.queues.depths,
        )  # fmt: skip
        return self._state.record(step)

    # -- completion ---------------------------------------------------------------------------------------

    def _see_finished(self) -> Progressed:
        """Frees the slots of finished blocks; the last block of a task completes it."""
        progressed = False
        while self._seen:
            progressed = True
            block = self._seen.popleft()
            yield self._env.timeout(self._costs.poll_us * len(block.cores))
            for core in block.cores:
                core.slots -= 1
            block.run.unfinished -= 1
            if self._state.draining is not None:
                self._state.wake_all()
            if block.run.unfinished == 0:
                yield from self._complete(block.run, block.step)
        return progressed

    def _retire_dummies(self) -> Progressed:
        """Tasks without a kernel are complete as soon as they are ready."""
        dummies = self._state.queues.dummies
        count = min(len(dummies), DUMMIES_PER_ITERATION)
        for run in [dummies.popleft() for _ in range(count)]:
            run.start_us = run.last_start_us = run.end_us = self._env.now
            yield from self._complete(run, run.ready_step)
        return count > 0

    def _complete(self, run: TaskRun, cause: Step | None) -> Generator[simpy.Event, Any, None]:
        """Completes a task and tells its consumers one by one; each may be claimed at once by another thread."""
        state = self._state
        step = yield from self._work("complete", run, self._costs.complete_us, cause, of=run)
        state.orchestration.complete(run.index)
        state.last_completion = step
        state.finished.fire()
        released = []
        for consumer in run.consumers:
            step = yield from self._work("resolve", run, self._costs.resolve_us, step, of=consumer)
            staged = state.producer_completed(consumer, step)
            step.ready = state.queues.depths
            if staged:
                yield from self._let_start(staged, step)
                released.append(consumer)
        for consumer in released:
            state.propagate(consumer, step)
        self._put_off(run)
        state.completed(run)

    def _put_off(self, run: TaskRun) -> None:
        """Notes that a completed task has yet to let go: one that ran makes room in a full list and then joins it, one
        without a kernel joins it and then empties it if it is full."""
        if run.cores and len(self._deferred) >= MAX_DEFERRED_RELEASES:
            self._let_go()
        self._deferred.append(run.index)
        if not run.cores and len(self._deferred) >= MAX_DEFERRED_RELEASES:
            self._let_go()

    def _let_start(self, blocks: list[BlockRun], step: Step) -> Generator[simpy.Event, Any, None]:
        """Rings the doorbells of staged blocks, core by core."""
        for block in blocks:
            block.release = step
        yield self._env.timeout(self._costs.publish_us * sum(len(block.cores) for block in blocks))
        self._env.process(self._open(blocks))

    def _open(self, blocks: list[BlockRun]) -> Generator[simpy.Event, Any, None]:
        """Process: the gates open; the cores behind them have a free slot again."""
        yield from self._device.ring(blocks)
        self._state.wake_all()

    def _let_go(self) -> None:
        """Releases what completed tasks retained, and retires what that allows."""
        if not self._deferred:
            return
        state, orchestration = self._state, self._state.orchestration
        for task in self._deferred:
            orchestration.release(task)
        self._deferred.clear()
        state.finished.fire()
        if sum(orchestration.advance(ring) for ring in orchestration.rings):
            state.retire_step = state.last_step
            state.retired.fire()

    # -- dispatch -----------------------------------------------------------------------------------------

    def _dispatch(self) -> Progressed:
        """Claims blocks for the thread's own cores. While MIX blocks are left over, AIC and AIV wait."""
        queues = self._state.queues
        if queues.sync:
            yield from self._start_together(queues.next_together())
            return True
        return (yield from self._in_order(queues, gated=False))

    def _in_order(self, queues: ReadyQueues, *, gated: bool) -> Progressed:
        """MIX first; idle slots before pending ones."""
        progressed = False
        single: tuple[str, ...] = ("AIC", "AIV") if self._index % 2 == 0 else ("AIV", "AIC")
        for pending in (False, True):
            if queues.head("MIX") is not None:
                progressed |= yield from self._claim(queues, "MIX", pending=pending, gated=gated)
            if queues.head("MIX") is not None:
                single = ()
            for shape in single:
                if queues.head(shape) is not None:
                    progressed |= yield from self._claim(queues, shape, pending=pending, gated=gated)
        return progressed

    def _claim(self, queues: ReadyQueues, shape: str, *, pending: bool, gated: bool) -> Progressed:
        """As many blocks of the first task of this shape as the thread's cores take, and so on.

        A pending slot is not used while a core of another thread is idle: it would start the block earlier.
        """
        progressed = False
        while (run := queues.head(shape)) is not None:
            if pending and free_places(self._others, run, 1, pending=False):
                break
            places = free_places(self._own, run, run.block_count - run.next_block, pending=pending)
            if not places:
                break
            yield from self._launch(run, places, gated=gated)
            progressed = True
        return progressed

    def _launch(
        self, run: TaskRun, places: list[tuple[DeviceCore, ...]], extra_us: float = 0.0, *, gated: bool = False
    ) -> Generator[simpy.Event, Any, None]:
        """Claims places and rings their doorbells. A thread prepares a task once, then only publishes blocks.

        gated: the blocks get to their cores and wait there for another doorbell.
        """
        cause = run.ready_step
        for core in (core for cores in places for core in cores):
            cause = latest(cause, core.last_step)
        blocks = [self._device.place(run, cores, gated=gated) for cores in places]
        if not gated:
            self._state.queues.claimed(run)
        cost = extra_us + self._costs.publish_us * sum(map(len, places))
        if self._index not in run.claimed_by:
            run.claimed_by.add(self._index)
            cost += self._costs.dispatch_us
        kind = "early_dispatch" if gated else "dispatch"
        step = yield from self._work(kind, run, cost, cause, of=run, count=len(blocks))
        for block in blocks:
            block.dispatch = step
        self._env.process(self._device.deliver(blocks))
        if gated and run.early is Early.READY:  # it has become ready meanwhile, and nobody else rings these
            yield from self._let_start(blocks, step)
        self._state.published(run, len(blocks), step)
        self._state.wake_all()

    def _start_together(self, run: TaskRun) -> Generator[simpy.Event, Any, None]:
        """Every block of a sync_start task gets a core at once: own idle cores, or else a stop of all dispatch."""
        need = run.block_count
        places = free_places(self._own, run, need, pending=False)
        if len(places) == need:
            yield from self._launch(run, places)
            return
        self._state.draining = run
        while len(places := free_places(self._device.clusters, run, need, pending=False)) < need:
            if not (yield from self._see_finished()):
                self._let_go()
                yield from self._sleep(f"{need} idle cores for {run.task.name}")
        yield from self._launch(run, places, self._costs.sync_start_drain_us)
        self._state.draining = None
        self._state.wake_all()
