"""`pypto.passes.l0_tile_chooser`: the compiler's choice of L0 tiles, which pto-sim makes too, as it decides bits.

Only with the calibration of a2a3 that `numerics.l0_tiling` holds; a configuration of another chip is refused by name.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass

from pto_sim.numerics import l0_tiling
from pto_sim.program.errors import UnsupportedError

_OPERANDS = {4: "FP32", 2: "BF16", 1: "INT8"}


class Stationarity(enum.Enum):
    """Which operand stays in L0 over the loops of the grid."""

    OutputStationary = 0
    AStationary = 1
    BStationary = 2


_STATIONARY = {
    "output": Stationarity.OutputStationary,
    "a": Stationarity.AStationary,
    "b": Stationarity.BStationary,
}


@dataclass
class L0TileConfig:
    """A product and what the chooser may do. Extents in elements."""

    M: int = 0
    N: int = 0
    K: int = 0
    l0a_bytes: int = l0_tiling.L0A_BYTES
    l0b_bytes: int = l0_tiling.L0B_BYTES
    l0c_bytes: int = l0_tiling.L0C_BYTES
    bytes_a: int = 2
    bytes_b: int = 2
    bytes_c: int = 4
    allow_a_stationary: bool = True
    allow_b_stationary: bool = True
    allow_double_buffer_c: bool = False
    allow_k_boundary: bool = True


@dataclass(frozen=True)
class L0TileResult:
    """The chosen tile. os_holds_a: of an output-stationary grid the rows are the outer loop, so that A is kept."""

    m: int
    n: int
    k: int
    stationarity: Stationarity
    os_holds_a: bool
    double_buffer_c: bool


def choose_l0_tile(config: L0TileConfig) -> L0TileResult:
    """The tile that the compiler takes. Raises UnsupportedError for another chip's sizes or other gates."""
    chip = (config.l0a_bytes, config.l0b_bytes, config.l0c_bytes)
    known = chip == (l0_tiling.L0A_BYTES, l0_tiling.L0B_BYTES, l0_tiling.L0C_BYTES)
    operands = _OPERANDS.get(config.bytes_a) if config.bytes_a == config.bytes_b and config.bytes_c == 4 else None
    if not known or operands is None or not config.allow_k_boundary:
        raise UnsupportedError(f"choose_l0_tile({config})", hint="use the sizes of a2a3 and equal operand types")
    if config.allow_a_stationary != config.allow_b_stationary:
        raise UnsupportedError("choose_l0_tile with one stationary operand", hint="allow both, or none")
    tile = l0_tiling.choose_l0_tile(
        config.M,
        config.N,
        config.K,
        operands,
        force_output_stationary=not config.allow_a_stationary,
        double_buffer_c=config.allow_double_buffer_c,
    )
    if tile is None:
        raise UnsupportedError(f"choose_l0_tile({config})", hint="extents from 16, K a multiple of 16")
    holds_a = l0_tiling.keeps_a(config.M, config.N, config.K, operands, tile)
    return L0TileResult(tile.m, tile.n, tile.k, _STATIONARY[tile.stationary], holds_a, tile.double_buffer_c)
