"""Ready tasks by shape, and which slots of a thread's own cores a block of a task may take."""

from __future__ import annotations

from collections import deque

from ascend_model.clusters import SHAPES, SLOTS_PER_CORE, Cluster, DeviceCore, Early, TaskRun

Depths = tuple[int, int, int]


class ReadyQueues:
    """One queue for each shape, shared by the threads, first come first served; sync_start tasks apart."""

    def __init__(self) -> None:
        self._queues: dict[str, deque[TaskRun]] = {shape: deque() for shape in SHAPES}
        self.sync: deque[TaskRun] = deque()
        self.dummies: deque[TaskRun] = deque()
        self._waiting = dict.fromkeys(SHAPES, 0)

    def push(self, run: TaskRun) -> None:
        """A task whose fan-in is done."""
        if run.shape == "DUMMY":
            self.dummies.append(run)
            return
        self._waiting[run.shape] += 1
        if _starts_together(run):
            self.sync.append(run)
        else:
            self._queues[run.shape].append(run)

    def next_together(self) -> TaskRun:
        """Takes out the sync_start task that is served next."""
        run = self.sync.popleft()
        self._waiting[run.shape] -= 1
        return run

    def claimed(self, run: TaskRun) -> None:
        """Blocks of a task have been given to cores; without any left it waits no more."""
        if self._over(run) and not _starts_together(run):
            self._waiting[run.shape] -= 1

    @property
    def depths(self) -> Depths:
        """Tasks with blocks that wait for a core: AIC, AIV, MIX, those of sync_start tasks among them."""
        return self._waiting["AIC"], self._waiting["AIV"], self._waiting["MIX"]

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


def _starts_together(run: TaskRun) -> bool:
    return run.task.sync_start and run.block_count > 1


def free_places(
    clusters: tuple[Cluster, ...], run: TaskRun, most: int, *, pending: bool
) -> list[tuple[DeviceCore, ...]]:
    """The first `most` places for blocks of `run` on these clusters, in cluster order.

    Idle places need every core without a block; pending ones at least one core with a block, and a free
    slot on each.
    """
    places: list[tuple[DeviceCore, ...]] = []
    for cluster in clusters:
        for cores in cluster.aivs if run.shape == "AIV" else (tuple(cluster.cores[core] for core in run.cores),):
            taken = max([core.taken for core in cores])
            if (0 < taken < SLOTS_PER_CORE) if pending else taken == 0:
                places.append(cores)
                if len(places) == most:
                    return places
    return places
