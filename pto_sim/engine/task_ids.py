"""Task ids: names of launched tasks, arrays of them, and ids that a pl.parallel carries."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from pto_sim.engine.arrays import Array, slot_of
from pto_sim.engine.task_id import TaskId
from pto_sim.program.errors import KernelError

if TYPE_CHECKING:
    from pto_sim.engine.control import LoopRange
    from pto_sim.engine.run import Run


class TaskIds(list[Any]):
    """A task id, or None, for each iteration of a pl.parallel; `deps=` waits for all of them."""


class TaskIdCarry:
    """Names that a pl.parallel rebinds.

    A name that holds task ids becomes an array with a slot for every iteration, filled with what it held before; an
    iteration writes its own slot and reads all of them, as the compiler's array carry does (pypto:
    docs/en/dev/codegen/01-orchestration_codegen.md). Any other value is carried as it is.
    """

    def __init__(self, loop: LoopRange, names: tuple[Any, ...]) -> None:
        count = len(loop)
        self._slots = [_filled(value, count) for value in names]
        self._values = list(names)
        self._iteration = 0

    def enter(self) -> tuple[Any, ...]:
        """What the names hold when an iteration starts, and after the loop."""
        pairs = zip(self._slots, self._values, strict=True)
        return tuple(
            slots if value is None or isinstance(value, (TaskId, TaskIds)) else value for slots, value in pairs
        )

    def leave(self, names: tuple[Any, ...]) -> None:
        """What the names hold when an iteration ends."""
        for place, value in enumerate(names):
            if value is not self._slots[place]:
                self._slots[place][self._iteration] = slot_of(value)
            self._values[place] = value
        self._iteration += 1


def _filled(value: Any, count: int) -> TaskIds:
    many = isinstance(value, TaskIds) and len(value) == count
    return TaskIds(slot_of(part) for part in (value if many else [value] * count))


def _flat(deps: Any) -> Iterator[Any]:
    if isinstance(deps, Array):
        deps.check_alive()
    if isinstance(deps, (list, tuple, Array)):
        for part in deps:
            yield from _flat(part)
    elif deps is not None:
        yield deps


def dependency_indices(run: Run, deps: Any) -> list[int]:
    """The tasks that `deps=` names: ids, arrays of ids and None, in order, each once.

    Raises KernelError: PTO206 for anything else, PTO266 for an id whose scope has closed.
    """
    indices: dict[int, None] = {}
    for dep in _flat(deps):
        if not isinstance(dep, TaskId):
            raise KernelError(
                "PTO206",
                "deps= takes task ids",
                site=run.site(),
                values=f"got {dep!r}",
                hint="bind one with `with pl.spmd(...) as tid:`, `with pl.at(...) as tid:` or pl.submit",
            )
        if closed := run.scopes.closed_since(dep.place):
            raise KernelError(
                "PTO266",
                "a task id is used after the scope that launched its task has closed",
                site=run.site(),
                values=closed,
                hint="launch both in one scope, or keep the id outside: in a pl.array of pl.TASK_ID, or in a name that "
                "is bound before the loop",
            )
        indices[dep.index] = None
    return list(indices)
