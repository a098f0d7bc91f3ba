"""A tensor placed into a window of another, in orchestration.

No byte moves: the compiler gives the tasks that write the tensor the window instead, and the tensor is not allocated
(pypto: docs/en/dev/passes/11-optimize_orch_tensors.md; src/codegen/orchestration, tensor.assemble). So the recorded
program is changed as if the author had created the window first.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from pto_sim.engine.storage import Tensor, row_major
from pto_sim.engine.windows import Window
from pto_sim.program.errors import KernelError
from pto_sim.program.model import Access, Event, HostView, TaskArg

if TYPE_CHECKING:
    from pto_sim.engine.run import Run

Strides = tuple[int, ...]


def place(run: Run, target: Tensor, value: Tensor, offsets: tuple[Any, ...]) -> None:
    """`value` becomes the window of `target` at `offsets`. Raises KernelError (PTO202, PTO203, PTO204) if it cannot."""
    sizes = (1,) * (target.ndim - value.ndim) + value.shape
    window = run.memory.view(target, Window(tuple(int(o.__index__()) for o in offsets), sizes, ()))
    value.check_alive()
    if value.dtype is not target.dtype:
        raise KernelError(
            "PTO202",
            "assembling into a tensor needs the same element type",
            site=run.site(),
            values=f"{target!r}, {value!r}",
            hint="cast it in the task that makes it",
        )
    if run.recorder.tensors[value.storage.tensor].origin == "entry":
        raise KernelError(
            "PTO204",
            "an assemble in orchestration moves no bytes: an argument can only be copied by a task",
            site=run.site(),
            values=f"{value!r} into {target!r}",
            hint="put it inside `with pl.at(level=pl.Level.CORE_GROUP):`",
        )
    target.storage.own()
    window.array()[...] = value.array().reshape(sizes)
    replace_by_window(run, value, window)


def replace_by_window(run: Run, value: Tensor, window: Tensor) -> None:
    """Let `window`, which holds the bytes of `value` already, take its place in the program and under its name.

    Nothing is changed if `value` is not a whole create_tensor of this run, or if a task saw it under strides that the
    window does not have: then a copy it stays, booked on the last task that wrote it.
    """
    index = value.storage.tensor
    shape = (1,) * (window.ndim - value.ndim) + value.shape
    whole = value.offset == 0 and value.strides == row_major(value.shape)
    whole = whole and run.recorder.tensors[index].shape == value.shape
    created = _created_at(run, index) if whole else None
    users = [r for r in run.recorder.tasks if index in {a.tensor for a in r.accesses} | {a.tensor for a in r.args}]
    orchestrated = [touched.access for touched in run.recorder.orchestration if touched.access.tensor == index]
    moved = _Moved(index, shape, row_major(shape), window)
    events = run.recorder.events
    seen = [at for at, event in enumerate(events) if event.kind in ("read", "write") and moved.touches(event)]
    fits = all(moved.fits(r.accesses, r.args) for r in users) and moved.fits(orchestrated, ())
    if created is None or not fits or not all(moved.fits_event(events[at]) for at in seen):
        _book_copy(run, index, window)
        return
    for record in users:
        record.accesses[:] = [moved.access(a) if a.tensor == index else a for a in record.accesses]
        record.args[:] = [moved.argument(a) if a.tensor == index else a for a in record.args]
    run.recorder.orchestration[:] = [
        touched._replace(access=moved.access(touched.access)) if touched.access.tensor == index else touched
        for touched in run.recorder.orchestration
    ]
    for at in seen:
        events[at] = moved.event(events[at])
    del events[created]
    run.recorder.tensors[index].origin = "window"
    axes = window.ndim - value.ndim
    value.storage, value.offset, value.strides = window.storage, window.offset, window.strides[axes:]


def _created_at(run: Run, index: int) -> int | None:
    """Position of the event that allocated a tensor."""
    events = run.recorder.events
    for place in range(len(events) - 1, -1, -1):
        if events[place].kind == "alloc" and events[place].value == index:
            return place
    return None


class _Moved:
    """From coordinates in a buffer to those in the window that takes its place."""

    def __init__(self, index: int, shape: tuple[int, ...], strides: Strides, window: Tensor) -> None:
        self.index, self.shape, self.window = index, shape, window
        # An axis of extent 1 may have the stride of another; it is never stepped along.
        self.axes = {stride: axis for axis, stride in enumerate(strides) if shape[axis] > 1}

    def fits(self, accesses: Sequence[Access], args: Sequence[TaskArg]) -> bool:
        """Whether every box of the buffer among these is a box of the window too."""
        boxes = [(a.shape, a.strides, a.offsets) for a in accesses if a.tensor == self.index]
        boxes += [(a.shape, a.strides, np.array([a.offset])) for a in args if a.tensor == self.index]
        return all(self._is_box(*box) for box in boxes)

    def touches(self, event: Event) -> bool:
        """Whether the orchestrator itself touched the buffer in this event."""
        return cast("HostView", event.value)[0] == self.index

    def fits_event(self, event: Event) -> bool:
        """Whether the view that the orchestrator touched is a box of the window too."""
        _, offset, shape, strides = cast("HostView", event.value)
        return self._is_box(shape, strides, np.array([offset]))

    def event(self, event: Event) -> Event:
        """The same view, of the window."""
        _, offset, shape, strides = cast("HostView", event.value)
        first = int(self._offsets(np.array([offset]))[0])
        return event._replace(value=(self.window.storage.tensor, first, shape, self._strides(strides)))

    def _is_box(self, sizes: tuple[int, ...], strides: Strides, offsets: np.ndarray) -> bool:
        first = np.unravel_index(offsets, self.shape)
        for extent, stride in zip(sizes, strides, strict=True):
            axis = self.axes.get(stride)
            if extent != 1 and (axis is None or (first[axis] + extent > self.shape[axis]).any()):
                return False
        return True

    def _strides(self, strides: Strides) -> Strides:
        return tuple(self.window.strides[self.axes[s]] if s in self.axes else s for s in strides)

    def _offsets(self, offsets: np.ndarray) -> np.ndarray:
        axes = np.unravel_index(offsets, self.shape)
        moved = sum(axis * stride for axis, stride in zip(axes, self.window.strides, strict=True))
        return np.asarray(moved + self.window.offset, np.int64)

    def access(self, access: Access) -> Access:
        """The same boxes, in the window."""
        return replace(
            access,
            tensor=self.window.storage.tensor,
            offsets=self._offsets(access.offsets),
            strides=self._strides(access.strides),
        )

    def argument(self, argument: TaskArg) -> TaskArg:
        """The same view, of the window."""
        offset = int(self._offsets(np.array([argument.offset]))[0])
        strides = self._strides(argument.strides)
        alias = argument.alias or self.window.alias
        return replace(argument, tensor=self.window.storage.tensor, offset=offset, strides=strides, alias=alias)


def _book_copy(run: Run, index: int, window: Tensor) -> None:
    number, site = window.storage.tensor, run.here()
    for record in reversed(run.recorder.tasks):
        if any(access.write and access.tensor == index for access in record.accesses):
            where, blocks = np.array([window.offset], np.int64), np.zeros(1, np.int32)
            record.accesses.append(Access(number, True, site, blocks, where, window.shape, window.strides))
            record.args.append(TaskArg(number, False, True, window.offset, window.shape, window.strides))
            return
