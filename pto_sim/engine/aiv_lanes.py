"""`pl.split_aiv`: both vector cores of a block run the body, one after the other here.

Between the two runs no lane can see what the other stored, because the language has no ordering between them. A tile
crosses between cube and lanes only where the author says so, with aiv_shard and aic_gather. Without these a body that
is split by rows or columns is written for whole tiles, and each lane keeps its half of them.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from pto_sim.engine.halves import half_box, joined
from pto_sim.engine.tile import Tile
from pto_sim.program.errors import KernelError
from pto_sim.program.model import OpSignature, ValueType

if TYPE_CHECKING:
    from pto_sim.engine.core import CoreState
    from pto_sim.engine.run import Run

AIV_PER_CLUSTER = 2
MODES = ("none", "up_down", "left_right")
LANE_UNITS = ("aiv0", "aiv1")


class _Gather(NamedTuple):
    """A value on its way to the cube: what lane 0 pushed, and the tile that lane 1 completes."""

    part: Tile
    data: np.ndarray
    pushed: int
    whole: Tile


class SplitAiv:
    """`for lane in pl.split_aiv(2, mode=...)`: gives 0, then 1. explicit: the body names its crossings."""

    def __init__(self, run: Run, count: Any, mode: str) -> None:
        if count != AIV_PER_CLUSTER or mode not in MODES:
            raise KernelError(
                "PTO206",
                "pl.split_aiv takes 2 lanes and a mode",
                site=run.site(),
                values=f"got {count!r}, mode {mode!r}",
                hint="pl.split_aiv(2, mode=pl.SplitMode.UP_DOWN)",
            )
        self.run, self.mode, self.explicit = run, mode, True
        self._shards: list[int] = []
        self._gathers: list[_Gather] = []
        self._seen = [0, 0]

    def __iter__(self) -> Iterator[int]:
        core = self.run.task_core("pl.split_aiv")
        if core.split is not None or core.unit:
            raise self._error(
                "pl.split_aiv opens a region of the vector cores in a function of both cores",
                f"found inside {'another region' if core.split is not None else 'a function of one core'}",
                "close the outer region first, or write it in the body of pl.at or pl.spmd",
            )
        task = self.run.task
        if task is not None and task.record.split != "none":
            raise self._error(
                "a task is split as a whole or by regions",
                f"optimizations=[pl.split({task.record.split})] and pl.split_aiv",
                "drop pl.split; pl.cross_core_slot(slot_num=N) sizes the pipe alone",
            )
        self._shards, self._gathers = [], []
        core.split, core.ruled = self, True
        core.half = self.mode if not self.explicit else "none"
        try:
            for lane, unit in enumerate(LANE_UNITS):
                core.subblock, self._seen = lane, [0, 0]
                core.mark(unit, core.half, self.mode)
                yield lane
            if self._seen != [len(self._shards), len(self._gathers)]:
                raise self._uneven()
        finally:
            core.split, core.subblock, core.half = None, 0, "none"
        core.mark("", "none")

    def _error(self, rule: str, values: str, hint: str, code: str = "PTO246") -> KernelError:
        return KernelError(code, rule, site=self.run.site(), values=values, hint=hint)

    def _uneven(self) -> KernelError:
        return self._error(
            "both lanes of a region take part in every crossing",
            f"lane 0: {len(self._shards)} pl.aiv_shard, {len(self._gathers)} pl.aic_gather; lane 1: {self._seen}",
            "call pl.aiv_shard and pl.aic_gather outside every `if` that the lane decides",
            "PTO264",
        )

    # -- crossings ----------------------------------------------------------------------------------

    def shard(self, tile: Tile) -> Tile:
        """This lane's half of a tile of the cube; all of it in a region of mode NONE."""
        core = self.run.task_core("pl.aiv_shard")
        if not tile.accumulator:
            raise self._error(
                "pl.aiv_shard takes a value that the cube made",
                repr(tile),
                "a value of the vector cores is on the lane already: load or slice the lane's half",
            )
        self._check_ragged(tile)
        place = self._seen[0]
        self._seen[0] += 1
        if core.subblock == 0:
            core.mark("aic", "none")
            self._shards.append(_transfer(core, "tpush", "c2v", self.mode, [tile], tile.type, (tile.number,)))
            core.mark(LANE_UNITS[0], core.half, self.mode)
        elif place >= len(self._shards):
            raise self._uneven()
        data, valid = tile.resolve(), tile.valid
        if self.mode != "none":
            data, valid = half_box(data, valid, self.mode, core.subblock)
        type_ = ValueType(data.shape[1:], tile.dtype.name, "tile")
        value = _transfer(core, "tpop", "c2v", self.mode, [tile], type_, (self._shards[place],))
        half = Tile(core, data, type_, tile.dtype, value, valid=valid)
        half.explicit = tile.explicit
        return half

    def _check_ragged(self, tile: Tile) -> None:
        """The FIFO carries a lane's own row count, and the whole width of the tile (pypto: LowerAutoVectorSplit)."""
        if tile.valid is None or self.mode == "none" or tile.ndim != 2:
            return
        narrow_rows, narrow_cols = (v < extent for v, extent in zip(tile.valid, tile.shape, strict=True))
        if narrow_cols and (self.mode == "left_right" or narrow_rows):
            raise self._error(
                "a tile that is cut by columns crosses whole in its width",
                f"{tile!r} valid {list(tile.valid)} under {self.mode}",
                "mode=pl.SplitMode.UP_DOWN, or widen it with pl.set_validshape and narrow the half in the region",
                "PTO264",
            )

    def gather(self, part: Tile) -> Tile:
        """Both lanes' halves as one tile: complete once the second lane has run."""
        core = self.run.task_core("pl.aic_gather")
        if part.accumulator:
            raise self._error(
                "pl.aic_gather takes a value that the vector cores made", repr(part), "use the cube's value itself"
            )
        place = self._seen[1]
        self._seen[1] += 1
        data = part.resolve().copy()
        pushed = _transfer(core, "tpush", "v2c", self.mode, [part], part.type, (part.number,))
        if core.subblock == 0:
            type_ = ValueType(self._whole(part), part.dtype.name, "tile")
            whole = core.make_tile(np.empty((1, *type_.shape), data.dtype), type_, part.dtype)
            self._gathers.append(_Gather(part, data, pushed, whole))
            return whole
        if place >= len(self._gathers):
            raise self._uneven()
        first = self._gathers[place]
        whole = first.whole
        whole.data, whole.valid = self._join(first, part, data)
        core.mark("aic", "none")
        _transfer(core, "tpop", "v2c", self.mode, [first.part, part], whole.type, (first.pushed, pushed), whole.number)
        core.mark(LANE_UNITS[1], core.half, self.mode)
        return whole

    def _whole(self, part: Tile) -> tuple[int, ...]:
        axis = {"up_down": 0, "left_right": part.ndim - 1}.get(self.mode, -1)
        return tuple(extent * AIV_PER_CLUSTER if a == axis else extent for a, extent in enumerate(part.shape))

    def _join(self, first: _Gather, part: Tile, data: np.ndarray) -> tuple[np.ndarray, tuple[int, ...] | None]:
        if part.shape != first.part.shape or part.dtype is not first.part.dtype:
            raise self._error(
                "both lanes gather the same kind of tile", f"{first.part!r} and {part!r}", "make the halves equal"
            )
        if self.mode == "none":
            if first.part.valid != part.valid or not np.array_equal(first.data.view(np.uint8), data.view(np.uint8)):
                raise KernelError(
                    "PTO263",
                    "both vector lanes push into one slot, so they push one value",
                    site=self.run.site(),
                    values="the lanes hold different tiles, and the cube would get either",
                    hint="use mode=pl.SplitMode.UP_DOWN, or make the value the same on both lanes",
                )
            return data, part.valid
        halves, boxes = (first.data, data), (first.part.valid, part.valid)
        return joined(self.run, self.mode, first.whole.shape, halves, boxes, False)


def _transfer(
    core: CoreState, op: str, direction: str, split: str, ins: list[Tile], out: ValueType, numbers: tuple[int, ...],
    value: int | None = None,
) -> int:  # fmt: skip
    """Record one end of a transfer through the compiler's own pipe; returns the value that it makes."""
    attrs = (("direction", direction), ("pipe", -1), ("split", split))
    types = tuple(tile.type for tile in ins)
    signature = core.run.recorder.signature(OpSignature(op, types, out, attrs, core.run.here()))
    made = core.recorder.value() if value is None else value
    core.record(signature, made, numbers)
    return made
