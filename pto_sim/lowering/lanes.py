"""Which vector cores of the cluster run a block's vector side, and what part of a tile each has."""

from __future__ import annotations

from dataclasses import dataclass

from ascend_model.isa import Core
from pto_sim.lowering.dtypes import rows_cols
from pto_sim.program.errors import UnsupportedError

SPLITS = ("none", "up_down", "left_right")


@dataclass(frozen=True)
class Lanes:
    """Vector cores of a block. mode: 'none' (the first one does all), 'up_down' or 'left_right' (half each).

    Without a split the second vector core only answers the handshakes of a mixed task
    (pypto: docs/en/dev/passes/21-expand_mixed_kernel.md), which costs the first one nothing.
    """

    mode: str
    cores: tuple[Core, ...]

    def part(self, core: Core, shape: tuple[int, ...]) -> tuple[int, int]:
        """Rows and columns of a tile that `core` processes; an axis of length 1 is whole on both."""
        rows, cols = rows_cols(shape)
        if self.mode == "up_down" and rows > 1:
            return self._half(core, rows), cols
        if self.mode == "left_right" and cols > 1:
            return rows, self._half(core, cols)
        return rows, cols

    def runs(self, core: Core, runs: int, run_bytes: int, shape: tuple[int, ...]) -> tuple[int, int]:
        """Contiguous runs of `core`'s part of a GM box that has `runs` of `run_bytes` in all.

        Cutting rows cuts runs, or the one run of a contiguous box; cutting columns cuts every row.
        """
        rows, cols = rows_cols(shape)
        own_rows, own_cols = self.part(core, shape)
        if own_cols != cols:
            total_rows = max(rows, runs)
            return total_rows, runs * run_bytes // total_rows * own_cols // cols
        if own_rows != rows:
            if runs >= rows:
                return runs * own_rows // rows, run_bytes
            return runs, run_bytes * own_rows // rows
        return runs, run_bytes

    def writers(self, shape: tuple[int, ...]) -> tuple[Core, ...]:
        """Cores that store a tile: one if both hold all of it."""
        split = [core for core in self.cores if self.part(core, shape) != rows_cols(shape)]
        return self.cores if split else self.cores[:1]

    def _half(self, core: Core, extent: int) -> int:
        return (extent + 1) // 2 if core == Core.AIV0 else extent // 2


def lanes_of(kind: str, split: str) -> Lanes:
    """Lanes of a task. A split applies to mixed tasks only; a vector task's block is one core."""
    if split not in SPLITS:
        raise UnsupportedError(f"the split mode {split!r}")
    if kind == "MIX" and split != "none":
        return Lanes(split, (Core.AIV0, Core.AIV1))
    return Lanes("none", (Core.AIV0,))
