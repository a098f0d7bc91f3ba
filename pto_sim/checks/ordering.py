"""Which tasks of a graph are ordered: whether one must have completed before another starts."""

from __future__ import annotations

from pto_sim.program.task_graph import TaskGraph


class Ordering:
    """Reachability over the wait edges, and over what the orchestrator itself waited for before it submitted a task.

    One bit of an integer for each earlier task, made as far as it is asked for.

    Memory is n * n / 16 bytes for n tasks: 0.6 GiB for 100,000.
    """

    def __init__(self, graph: TaskGraph) -> None:
        self._tasks = graph.tasks
        self._before: list[int] = []
        self._awaits = list(reversed(graph.awaits))
        self._awaited = 0

    def ordered(self, first: int, second: int) -> bool:
        """Whether task `first`, submitted before `second`, has always completed when `second` starts."""
        while len(self._before) <= second:
            while self._awaits and self._awaits[-1].submitted <= len(self._before):
                for awaited in self._awaits.pop().tasks:
                    self._awaited |= self._before[awaited] | 1 << awaited
            known = self._awaited
            for producer in self._tasks[len(self._before)].waits:
                known |= self._before[producer] | 1 << producer
            self._before.append(known)
        return bool(self._before[second] >> first & 1)
