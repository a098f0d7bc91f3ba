"""`pl.array`: a small array of scalars on the scalar unit, or of task ids in orchestration."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from pto_sim.engine.lanes import BlocksDisagreeError, LaneScalar, LaneSet
from pto_sim.engine.task_id import TaskId
from pto_sim.program.dtypes import DataType
from pto_sim.program.errors import KernelError

if TYPE_CHECKING:
    from pto_sim.engine.run import Run
    from pto_sim.engine.scopes import Place


class Array:
    """`count` scalars of one type. Numbers start at 0, task ids at None.

    Inside a task that runs as a batch every block has an array of its own.
    """

    def __init__(self, run: Run, count: int, dtype: DataType) -> None:
        self.run, self.dtype = run, dtype
        self._values: list[Any] = [None if dtype.kind == "handle" else 0] * count
        self._bound = run.scopes.place() if dtype.kind == "handle" else None
        self._lanes: LaneSet | None = run.core.lanes if run.core is not None else None

    def __len__(self) -> int:
        return len(self._values)

    def __iter__(self) -> Any:
        return iter(self._values)

    def _place(self, index: Any) -> int:
        place = int(index.__index__())
        if not 0 <= place < len(self._values):
            raise KernelError(
                "PTO203",
                "an array index is out of range",
                site=self.run.site(),
                values=f"index {place} of {len(self._values)}",
                hint="guard the index, or make the array larger",
            )
        return place

    def __getitem__(self, index: Any) -> Any:
        value = self._values[self._place(index)]
        if isinstance(value, TaskId):
            self.check_alive()
            return TaskId(value.index, self.run.scopes.place())
        return value

    def carried_to(self, place: Place) -> Array:
        """What a loop or a branch carries on of it: an array with the same slots, which belongs to `place`."""
        if self._bound is None or (self._bound.scope is not None and self._bound.scope.closed):
            return self
        result = Array(self.run, len(self._values), self.dtype)
        result._values, result._bound = [slot_of(value) for value in self._values], place
        return result

    def check_alive(self) -> None:
        """Raises KernelError (PTO266) if the array's scope, iteration or arm has closed."""
        if closed := self.run.scopes.closed_since(self._bound):
            raise KernelError(
                "PTO266",
                "an array of task ids is used after the scope that made it has closed",
                site=self.run.site(),
                values=closed.replace("it was launched", "it was made"),
                hint="create the array outside, before the scope or the loop",
            )

    def __setitem__(self, index: Any, value: Any) -> None:
        place, core = self._place(index), self.run.core
        if core is None or core.lanes is self._lanes or self.dtype.kind == "handle":
            self._values[place] = slot_of(value)
            return
        positions = core.lanes.positions_in(self._lanes) if self._lanes is not None else None
        if positions is None:
            raise BlocksDisagreeError(
                "PTO208",
                "an array that was made on only some blocks is used on others",
                site=self.run.site(),
                values=f"array of {len(self._values)} elements, now {len(core.lanes)} blocks",
                hint="create the array before the `if`",
            )
        self._values[place] = self._merged(self._values[place], value, positions)

    def _merged(self, old: Any, new: Any, positions: np.ndarray) -> LaneScalar:
        assert self._lanes is not None and self.run.core is not None
        before = old.base + old.add if isinstance(old, LaneScalar) else np.asarray(old)
        fresh = new.resolve() if isinstance(new, LaneScalar) else np.asarray(new)
        values = np.array(np.broadcast_to(before, len(self._lanes)), np.result_type(before, fresh))
        values[positions] = fresh
        return LaneScalar(self.run.core, values, self._lanes)


def slot_of(value: Any) -> Any:
    """What a slot of an array or of a carried array holds: a task id lives as long as the array."""
    return TaskId(value.index) if isinstance(value, TaskId) else value


def carried_to(value: Any, place: Place) -> Any:
    """A value that a loop or branch carries on: a task id, or an array of them, is bound anew at `place`.

    One whose scope has closed stays what it is.
    """
    if isinstance(value, Array):
        return value.carried_to(place)
    if not isinstance(value, TaskId) or value.place is None or (value.place.scope and value.place.scope.closed):
        return value
    return TaskId(value.index, place)
