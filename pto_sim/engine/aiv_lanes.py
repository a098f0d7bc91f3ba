"""`pl.split_aiv`: both vector cores of a cluster run the body, one after the other here.

Between the two runs no lane can see what the other stored, because the language has no ordering between them.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from pto_sim.engine.tile import Tile
from pto_sim.engine.windows import Window
from pto_sim.program.errors import KernelError

if TYPE_CHECKING:
    from pto_sim.engine.run import Run

AIV_PER_CLUSTER = 2
MODES = ("none", "up_down", "left_right")


class SplitAiv:
    """`for lane in pl.split_aiv(2, mode=...)`: gives 0, then 1."""

    def __init__(self, run: Run, count: Any, mode: str) -> None:
        if count != AIV_PER_CLUSTER or mode not in MODES:
            raise KernelError(
                "PTO206",
                "pl.split_aiv takes 2 lanes and a mode",
                site=run.site(),
                values=f"got {count!r}, mode {mode!r}",
                hint="pl.split_aiv(2, mode=pl.SplitMode.UP_DOWN)",
            )
        self.run, self.mode = run, mode
        self._gathered: dict[int, Tile] = {}

    def __iter__(self) -> Iterator[int]:
        core = self.run.task_core("pl.split_aiv")
        if core.split is not None:
            raise KernelError(
                "PTO206", "pl.split_aiv cannot be nested", site=self.run.site(), hint="close the outer region first"
            )
        core.split = self
        first = core.recorder.next_value
        core.regions.append((first, sys.maxsize))
        try:
            for lane in range(AIV_PER_CLUSTER):
                core.subblock = lane
                yield lane
        finally:
            core.split, core.subblock = None, 0
            core.regions[-1] = (first, core.recorder.next_value)

    def _axis(self, tile: Tile, what: str) -> int:
        axis = 0 if self.mode == "up_down" else tile.ndim - 1
        if self.mode == "none":
            raise KernelError(
                "PTO206",
                f"{what} needs a region that is split by rows or columns",
                site=self.run.site(),
                values="mode NONE",
                hint="pl.split_aiv(2, mode=pl.SplitMode.UP_DOWN)",
            )
        return axis

    def shard(self, tile: Tile) -> Tile:
        """This lane's half of a tile."""
        axis = self._axis(tile, "pl.aiv_shard")
        if tile.shape[axis] % AIV_PER_CLUSTER:
            raise KernelError(
                "PTO202",
                "a tile is shared by two lanes in equal halves",
                site=self.run.site(),
                values=f"{tile!r}, axis {axis}",
                hint="make the extent even",
            )
        half = tile.shape[axis] // AIV_PER_CLUSTER
        sizes = tuple(half if a == axis else extent for a, extent in enumerate(tile.shape))
        start = self.run.task_core("pl.aiv_shard").subblock * half
        part = self.run.memory.tile_window(
            tile, Window(tuple(start if a == axis else 0 for a in range(tile.ndim)), sizes, ())
        )
        part.accumulator = False  # it has crossed to the vector core
        return part

    def gather(self, part: Tile) -> Tile:
        """Both lanes' halves as one tile: complete once the second lane has run."""
        axis, site = self._axis(part, "pl.aic_gather"), self.run.here()
        core = self.run.task_core("pl.aic_gather")
        shape = tuple(extent * AIV_PER_CLUSTER if a == axis else extent for a, extent in enumerate(part.shape))
        if core.subblock == 0:
            self._gathered[site] = self.run.memory.create_tile(shape, part.dtype)
            self._gathered[site].explicit = part.explicit
            core.gathered.add(self._gathered[site].number)
        whole = self._gathered[site]
        start = core.subblock * part.shape[axis]
        window = Window(tuple(start if a == axis else 0 for a in range(part.ndim)), part.shape, ())
        self.run.memory.update_tile(whole, window, part)
        return whole
