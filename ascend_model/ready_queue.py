"""Ready tasks by shape, and which slots of a thread's own cores a block of a task may take."""

from __future__ import annotations

from collections import deque

from ascend_model.clusters import SHAPES, SLOTS_PER_CORE, Cluster, DeviceCore, Early, TaskRun
from ascend_model.isa import Core


class ReadyQueues:
    """One queue for each shape, shared by the threads, first come first served; sync_start tasks apart."""

    def __init__(self) -> None:
        self._queues: dict[str, deque[TaskRun]] = {shape: deque() for shape in SHAPES}
        self.sync: deque[TaskRun] = deque()
        self.dummies: deque[TaskRun] = deque()

    def push(self, run: TaskRun) -> None:
        """A task whose fan-in is done."""
        if run.shape == "DUMMY":
            self.dummies.append(run)
        elif run.task.sync_start and run.block_count > 1:
            self.sync.append(run)
        else:
            self._queues[run.shape].append(run)

    def head(self, shape: str) -> TaskRun | None:
        """The task whose blocks are claimed next; None if no block of this shape waits."""
        queue = self._queues[shape]
        while queue and self._over(queue[0]):
            queue.popleft()
        return queue[0] if queue else None

    def _over(self, run: TaskRun) -> bool:
        return run.next_block >= run.block_count

    @property
    def empty(self) -> bool:
        """No block waits for a core."""
        return not self.sync and not any(map(self.head, SHAPES))


class EarlyQueues(ReadyQueues):
    """Tasks whose blocks may be staged. One that has become ready is dropped: its rest waits with those."""

    def _over(self, run: TaskRun) -> bool:
        return run.early is not Early.STAGING or super()._over(run)


def free_places(clusters: tuple[Cluster, ...], run: TaskRun, *, pending: bool) -> list[tuple[DeviceCore, ...]]:
    """Places for blocks of `run` on these clusters, in cluster order.

    Idle places need every core without a block; pending ones at least one core with a block, and a free
    slot on each.
    """
    places = []
    for cluster in clusters:
        for cores in _candidates(cluster, run):
            most = max(core.taken for core in cores)
            if (0 < most < SLOTS_PER_CORE) if pending else most == 0:
                places.append(cores)
    return places


def _candidates(cluster: Cluster, run: TaskRun) -> list[tuple[DeviceCore, ...]]:
    if run.shape == "AIV":
        return [(core,) for core in cluster.cores[Core.AIV0 :]]
    return [tuple(cluster.cores[core] for core in run.cores)]
