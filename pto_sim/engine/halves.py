"""How two vector lanes share a tile: lane 0 has the first half of the split axis, the larger one if it is odd."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from pto_sim.program.errors import KernelError

if TYPE_CHECKING:
    from pto_sim.engine.core import CoreState
    from pto_sim.engine.run import Run
    from pto_sim.engine.tile import Tile

Box = tuple[int, ...]
MODE_OF_CODE = {0: "none", 1: "up_down", 2: "left_right", 3: "up_down", 4: "left_right"}
"""pto-isa's TileSplitAxis: 3 and 4 are the same axes over an odd extent."""


def split_axis(mode: str, rank: int) -> int:
    """The axis that a mode cuts: rows are all but the last axis of a tile."""
    return 0 if mode == "up_down" else rank - 1


def lane_range(extent: int, lane: int) -> tuple[int, int]:
    """First element and extent of a lane's box: both lanes have the larger half as their box."""
    half = (extent + 1) // 2
    return lane * half, half


def lane_valid(valid: Box, shape: Box, mode: str, lane: int) -> Box:
    """The valid box of a lane's half (pypto: LowerAutoVectorSplit, clamp(V - lane * half, 0, half))."""
    axis = split_axis(mode, len(shape))
    start, half = lane_range(shape[axis], lane)
    return tuple(min(max(v - start, 0), half) if a == axis else v for a, v in enumerate(valid))


def half_box(data: np.ndarray, valid: Box | None, mode: str, lane: int) -> tuple[np.ndarray, Box | None]:
    """A lane's half of `data` [L, *shape], and its valid box. An odd axis leaves lane 1 one element short."""
    shape = data.shape[1:]
    axis = split_axis(mode, len(shape))
    start, half = lane_range(shape[axis], lane)
    part = data[(slice(None), *(slice(start, start + half) if a == axis else slice(None) for a in range(len(shape))))]
    if part.shape[1 + axis] < half:
        padding = [(0, 0)] * part.ndim
        padding[1 + axis] = (0, half - part.shape[1 + axis])
        part = np.pad(part, padding)
    box = lane_valid(valid or shape, shape, mode, lane)
    return part, box if box != part.shape[1:] else None


def joined(
    run: Run,
    mode: str,
    shape: Box,
    parts: tuple[np.ndarray, np.ndarray],
    valid: tuple[Box | None, Box | None],
    whole: bool,
) -> tuple[np.ndarray, Box | None]:
    """The tile of `shape` whose halves the lanes hold. whole: each part is a full tile of which the lane owns its half.

    Raises KernelError (PTO263) if the valid boxes of the halves do not make one box.
    """
    axis = split_axis(mode, len(shape))
    half = (shape[axis] + 1) // 2
    lanes = max(len(part) for part in parts)
    out = np.empty((lanes, *shape), parts[0].dtype)
    boxes = []
    for lane, part in enumerate(parts):
        place = slice(lane * half, min(shape[axis], (lane + 1) * half))
        into = (slice(None), *(place if a == axis else slice(None) for a in range(len(shape))))
        box = valid[lane] or part.shape[1:]
        if whole:
            out[into] = part[into]
            box = lane_valid(box, shape, mode, lane)
        else:
            extent = place.stop - place.start
            out[into] = part[
                (slice(None), *(slice(0, extent) if a == axis else slice(None) for a in range(len(shape))))
            ]
        boxes.append(box)
    first, second = boxes
    same = all(a == b for i, (a, b) in enumerate(zip(first, second, strict=True)) if i != axis)
    if not same or (second[axis] and first[axis] != half):
        raise KernelError(
            "PTO263",
            "the valid parts of two halves must meet",
            site=run.site(),
            values=f"valid {list(first)} and {list(second)}, halves of {half} on axis {axis}",
            hint="pl.fillpad both halves, or narrow the joined tile instead",
        )
    total = tuple(first[axis] + second[axis] if a == axis else v for a, v in enumerate(first))
    return out, total if total != shape else None


def stored_half(
    core: CoreState, tile: Tile, data: np.ndarray, offsets: tuple[Any, ...], sizes: Box
) -> tuple[np.ndarray, tuple[Any, ...], Box] | None:
    """What a lane that computes on whole tiles stores: (data, offsets, sizes) of its half, None if that is empty.

    A tile of one element along the split axis is whole on both lanes.
    """
    shape = tile.shape
    axis = split_axis(core.half, len(shape))
    valid = tile.valid or shape
    start, box = 0, valid
    if shape[axis] > 1:
        start, _ = lane_range(shape[axis], core.subblock)
        box = lane_valid(valid, shape, core.half, core.subblock)
    if 0 in box:
        return None
    place = (slice(start, start + v) if a == axis else slice(0, v) for a, v in enumerate(box))
    lead = len(sizes) - len(shape)
    moved = tuple(o + start if a == lead + axis and start else o for a, o in enumerate(offsets))
    return data[(slice(None), *place)], moved, (1,) * lead + box
