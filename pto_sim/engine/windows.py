"""Subscripts and windows: from what the author wrote to offsets, sizes and kept axes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from pto_sim.engine.lanes import LaneScalar
from pto_sim.program.errors import KernelError
from pto_sim.program.events import SourceNote

if TYPE_CHECKING:
    from pto_sim.engine.run import Run

Offset = Any  # int, or a LaneScalar where it differs between blocks


class Window(NamedTuple):
    """A box: offset and size for each axis, and which axes a scalar index drops."""

    offsets: tuple[Offset, ...]
    sizes: tuple[int, ...]
    dropped: tuple[int, ...]

    def result_shape(self) -> tuple[int, ...]:
        """The shape after dropping scalar axes."""
        if not self.dropped:
            return self.sizes
        return tuple(size for axis, size in enumerate(self.sizes) if axis not in self.dropped)


def parse_subscript(run: Run, shape: tuple[int, ...], index: Any) -> Window:
    """The window of `x[index]`. Raises KernelError (PTO203, PTO206) for a step, a negative bound or too many axes."""
    parts = index if type(index) is tuple else (index,)
    if len(parts) > len(shape):
        raise KernelError(
            "PTO206",
            "a subscript has more axes than the tensor",
            site=run.site(),
            values=f"{len(parts)} indices for shape {list(shape)}",
            hint="give at most one index or slice for each axis",
        )
    offsets: list[Offset] = []
    sizes: list[int] = []
    dropped: list[int] = []
    for axis, part in enumerate(parts):
        if type(part) is slice:
            start, size = _slice_bounds(run, part, shape[axis], axis)
        else:
            start, size = _scalar_index(run, part, axis), 1
            dropped.append(axis)
        offsets.append(start)
        sizes.append(size)
    for axis in range(len(parts), len(shape)):
        offsets.append(0)
        sizes.append(shape[axis])
    return Window(tuple(offsets), tuple(sizes), tuple(dropped))


def _slice_bounds(run: Run, part: slice, extent: int, axis: int) -> tuple[Offset, int]:
    if part.step is not None:
        raise KernelError(
            "PTO206",
            "a slice of a tensor has no step",
            site=run.site(),
            values=f"axis {axis}, step {part.step}",
            hint="use pl.gather, or loop over the elements",
        )
    start = 0 if part.start is None else part.start
    stop = extent if part.stop is None else part.stop
    size = stop - start
    if type(size) is not int:
        size = size.__index__() if isinstance(size, LaneScalar) else int(size)
    if size <= 0:
        raise KernelError(
            "PTO203",
            "a slice must select at least one element",
            site=run.site(),
            values=f"axis {axis}: {part.start}:{part.stop}",
            hint="check the order of the bounds; negative bounds do not count from the end",
        )
    return start, size


def _scalar_index(run: Run, part: Any, axis: int) -> Offset:
    if isinstance(part, (int, np.integer, LaneScalar)) and not isinstance(part, bool):
        return part
    raise KernelError(
        "PTO206",
        "an index must be an integer scalar or a slice",
        site=run.site(),
        values=f"axis {axis}: {part!r} ({type(part).__name__})",
        hint="read the value with pl.read first, or use pl.gather for an index tile",
    )


def offset_array(offsets: tuple[Offset, ...]) -> np.ndarray:
    """Offsets as int64 [rank, L], or [rank, 1] where every block has the same."""
    if not any(type(offset) is LaneScalar for offset in offsets):
        return np.array([[int(offset)] for offset in offsets], np.int64)
    rows = [offset.resolve() if type(offset) is LaneScalar else offset for offset in offsets]
    lanes = max(len(row) for row in rows if isinstance(row, np.ndarray))
    result = np.empty((len(rows), lanes), np.int64)
    for axis, row in enumerate(rows):
        result[axis] = row
    return result


def trimmed(run: Run, shape: tuple[int, ...], window: Window) -> Window:
    """The window of a slice in orchestration, cut off where its tensor of `shape` ends, with a note.

    The device does the same (pypto: src/codegen/tensor_op_codegen.cpp, tensor.slice): a slice of fixed width may
    overhang as long as no task touches what is beyond. One that starts outside is left as it is.
    """
    sizes = tuple(
        extent - int(offset) if 0 <= offset < extent < offset + size else size
        for extent, offset, size in zip(shape, window.offsets, window.sizes, strict=True)
    )
    if sizes == window.sizes:
        return window
    text = f"a window of {list(window.sizes)} becomes {list(sizes)}, where the tensor {list(shape)} ends"
    run.tell(SourceNote("trimmed window", run.site(), text))
    return window._replace(sizes=sizes)


_EDGE_HINTS = {
    "a load": "guard the index, or read up to the edge: valid_shape=, or pl.slice(x, shape, offset, clamp=True)",
}


def out_of_bounds(
    run: Run, what: str, offsets: np.ndarray, sizes: tuple[int, ...], shape: tuple[int, ...], lane: int
) -> KernelError:
    """The error for a window that leaves its tensor; `lane` is the first bad column of `offsets`."""
    column = offsets[:, min(lane, offsets.shape[1] - 1)]
    axis = next(
        (a for a in range(len(shape)) if column[a] < 0 or column[a] + sizes[a] > shape[a]),
        0,
    )
    core = run.core
    block = f", block {int(core.lanes.ids[lane])}" if core is not None and offsets.shape[1] > 1 else ""
    start = int(column[axis])
    return KernelError(
        "PTO203",
        f"{what} is outside the tensor",
        site=run.site(),
        values=f"axis {axis}: [{start}, {start + sizes[axis]}) of {shape[axis]}{block}; shape {list(shape)}",
        hint=_EDGE_HINTS.get(what, "guard the index, or narrow the window (valid_shape) at the edge"),
    )
