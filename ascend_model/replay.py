"""The events of a workload over the rings, without a clock: as late or as early as reclamation may be.

Late: nothing completes or retires unless the orchestrator would block, and then no more than lets it go on.
Early: a task has run when it is submitted, and retires as soon as it may.
"""

from __future__ import annotations

from collections.abc import Callable

from ascend_model.orchestration import Orchestration
from ascend_model.ring import Blocked, RingSizes, TaskRing
from ascend_model.timeline import HeapReading
from ascend_model.workload import Await, ScopeBegin, ScopeEnd, Submit, Workload


def replay(workload: Workload, sizes: RingSizes, reading: str, frame: int) -> HeapReading:
    """The reading 'max_lag' or 'prompt'. Raises RingFault where the runtime would stop."""
    return _Replay(workload, sizes, prompt=reading == "prompt").run(reading, frame)


class _Replay:
    def __init__(self, workload: Workload, sizes: RingSizes, *, prompt: bool) -> None:
        self._events = workload.events
        self._edges = tuple(task.edges for task in workload.tasks)
        self._prompt = prompt
        self._state = Orchestration(workload, sizes, prompt_samples=prompt)
        self._pinned_by: list[list[int]] = [[] for _ in workload.tasks]

    def run(self, reading: str, frame: int) -> HeapReading:
        state = self._state
        for event in self._events:
            if isinstance(event, ScopeBegin):
                state.begin_scope(event)
            elif isinstance(event, ScopeEnd):
                state.end_scope()
            elif isinstance(event, Submit):
                self._submit(event)
            else:
                self._await(event)
            if self._prompt:
                for ring in state.rings:
                    state.advance(ring)
        return state.finish(reading, frame)

    def _submit(self, event: Submit) -> None:
        for step in (self._state.allocate, self._state.wire):
            self._until_unblocked(event.task, step)
        for producer in self._state.pins(event.task):
            self._pinned_by[producer].append(event.task)
        if self._prompt:
            self._run(event.task)

    def _await(self, event: Await) -> None:
        """The orchestrator blocks until these have run."""
        for task in event.tasks:
            for needed in (task, *(self._pinned_by[task] if event.consumers else ())):
                self._run(needed)

    def _until_unblocked(self, task: int, step: Callable[[int], Blocked | None]) -> None:
        """Repeats a blocked step, retiring one more task each time. Faults if none may retire."""
        state = self._state
        while (blocked := step(task)) is not None:
            rings = state.rings if blocked is Blocked.TENSORMAP else (state.ring,)
            if not any(self._retire(ring) for ring in rings):
                raise state.fault(task, blocked)

    def _retire(self, ring: TaskRing) -> bool:
        """Retires the oldest task of a ring, once it and those that retain it have run; says whether it could."""
        head = self._state.head_of(ring)
        if head is None or self._state.scope_open(head):
            return False
        for task in (head, *self._pinned_by[head]):
            self._run(task)
        return self._state.retire_head(ring)

    def _run(self, task: int) -> None:
        """A task runs, and before it the producers that it waits for. Every one of them has been submitted."""
        stack = [task]
        while stack:
            top = stack[-1]
            completed = self._state.completed
            missing = [edge.producer for edge in self._edges[top] if edge.wait and not completed[edge.producer]]
            stack.extend(missing)
            if not missing:
                stack.pop()
                if not completed[top]:
                    self._state.complete(top)
                    self._state.release(top)
