"""How the a2a3 compiler cuts a matmul into L0 tiles: the K split is part of a float product's value.

Facts from pypto (commit e2d0f78ae): src/ir/transforms/utils/l0_tile_chooser.cpp (cost model and ordering),
src/ir/transforms/auto_tile_matmul_l0_pass.cpp (when it applies, which gates are open),
include/pypto/backend/910B/backend_910b_handler.h (capacities) and docs/en/dev/passes/15-auto_tile_matmul_l0.md.
The chooser's bandwidths are part of the compiler, not of the simulated chip: changing a chip's speed must not
change a bit.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

import numpy as np

from pto_sim.numerics.element_types import STORAGE
from pto_sim.numerics.typing_rules import accumulator_of

L0A_BYTES = 64 * 1024
L0B_BYTES = 64 * 1024
L0C_BYTES = 128 * 1024
L1_BYTES = 512 * 1024
FRACTAL = 16
# INT32 accumulators occupy rows in steps of 32, all others in steps of 16.
INT32_ACC_ROWS = 32
BIAS_BYTES = 1024
# A fractal row of an operand in L1 (Mat).
C0_BYTES = 32

L1_TO_L0A_BYTES_PER_CYCLE = 129.7
L1_TO_L0B_BYTES_PER_CYCLE = 85.4
DRAIN_BYTES_PER_CYCLE = 118.0
DRAIN_FIXED_CYCLES = 164.0
DRAIN_ROW_CYCLES = 4.45
DRAIN_PENALTY_CYCLES = 2.6
DRAIN_C0_BYTES = 32
MAD_HEAD_CYCLES = 21
MAD_K_FRACTAL_BYTES = 32
MAD_FP32_PASSES = 2


class L0Tile(NamedTuple):
    """Extents of one L0 product. stationary: 'output', 'a' or 'b'. double_buffer_c: two accumulators alternate."""

    m: int
    n: int
    k: int
    stationary: str = "output"
    double_buffer_c: bool = False


@dataclass(frozen=True)
class _Problem:
    m: int
    n: int
    k: int
    bytes_ab: int
    bytes_c: int
    acc_rows: int
    align_nk: int = FRACTAL
    most_n: int = 0


def _ceil_div(a: np.ndarray | int, b: np.ndarray | int) -> np.ndarray:
    return -(-np.asarray(a) // np.asarray(b))


def _odd_part(x: np.ndarray) -> np.ndarray:
    return x // (x & -x)


def _held_cycles(p: _Problem, m: np.ndarray, n: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Load cycles of a full-K grid when A, or B, is loaded once and the other streamed."""
    size_a = float(p.bytes_ab) * p.m * p.k
    size_b = float(p.bytes_ab) * p.k * p.n
    blocks_m, blocks_n = _ceil_div(p.m, m).astype(float), _ceil_div(p.n, n).astype(float)
    held_a = size_a / L1_TO_L0A_BYTES_PER_CYCLE + (size_b * blocks_m) / L1_TO_L0B_BYTES_PER_CYCLE
    held_b = (size_a * blocks_n) / L1_TO_L0A_BYTES_PER_CYCLE + size_b / L1_TO_L0B_BYTES_PER_CYCLE
    return held_a, held_b


def _load_cycles(p: _Problem, m: np.ndarray, n: np.ndarray, k: np.ndarray, stationary: str) -> np.ndarray:
    held_a, held_b = _held_cycles(p, m, n)
    if stationary == "a":
        return held_a
    if stationary == "b":
        return held_b
    size_a = float(p.bytes_ab) * p.m * p.k * _ceil_div(p.n, n).astype(float)
    size_b = float(p.bytes_ab) * p.k * p.n * _ceil_div(p.m, m).astype(float)
    streamed = size_a / L1_TO_L0A_BYTES_PER_CYCLE + size_b / L1_TO_L0B_BYTES_PER_CYCLE
    return np.where(k >= p.k, np.where(held_a <= held_b, held_a, held_b), streamed)


def _mad_cycles(p: _Problem, m: np.ndarray, n: np.ndarray, k: np.ndarray) -> np.ndarray:
    """Cube cycles over the grid; a last block narrower than k counts at its own width."""
    fractal = max(1, MAD_K_FRACTAL_BYTES // p.bytes_ab)
    passes = MAD_FP32_PASSES if p.bytes_ab == 4 else max(1, p.bytes_ab // 2)
    full_blocks = p.k // k
    tail = p.k - full_blocks * k
    fractals = full_blocks * _ceil_div(k, fractal) + _ceil_div(tail, fractal)
    blocks = full_blocks + (tail > 0)
    per_output = blocks * MAD_HEAD_CYCLES + passes * _ceil_div(m, FRACTAL) * fractals * _ceil_div(n, FRACTAL)
    return _ceil_div(p.m, m) * _ceil_div(p.n, n) * per_output


def _drain_cycles(p: _Problem, m: np.ndarray, n: np.ndarray) -> np.ndarray:
    """L0C write-back of all output tiles; a column count that is not a power of two of fractals serialises."""
    columns = _ceil_div(n, max(1, DRAIN_C0_BYTES // p.bytes_c))
    throughput = float(p.bytes_c) * n / DRAIN_BYTES_PER_CYCLE
    per_row = np.maximum(DRAIN_ROW_CYCLES, throughput) + DRAIN_PENALTY_CYCLES * (_odd_part(columns) - 1).astype(float)
    tiles = (_ceil_div(p.m, m) * _ceil_div(p.n, n)).astype(float)
    return tiles * (DRAIN_FIXED_CYCLES + m.astype(float) * per_row)


def _wall_cycles(p: _Problem, m: np.ndarray, n: np.ndarray, k: np.ndarray, load: np.ndarray, dbc: bool) -> np.ndarray:
    compute = np.maximum(load, _mad_cycles(p, m, n, k).astype(float))
    drain = _drain_cycles(p, m, n)
    if not dbc:
        wall = compute + drain
    else:
        tiles = (_ceil_div(p.m, m) * _ceil_div(p.n, n)).astype(float)
        wall = np.maximum(compute, drain) + np.minimum(compute, drain) / tiles
    return np.floor(wall + 0.5).astype(np.int64)


def _legal_tiles(p: _Problem, stationary: str, dbc: bool) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Every legal (m, n, k) of one regime, in ascending order. The moving operand is double-buffered."""
    capacity_a = L0A_BYTES // (p.bytes_ab * (1 if stationary == "a" else 2))
    capacity_b = L0B_BYTES // (p.bytes_ab * (1 if stationary == "b" else 2))
    capacity_c = L0C_BYTES // (p.bytes_c * (2 if dbc else 1))
    steps = (FRACTAL, p.align_nk, p.align_nk)
    axes = [np.arange(s, extent + 1, s, dtype=np.int64) for s, extent in zip(steps, (p.m, p.n, p.k), strict=True)]
    m, n, k = (axis.reshape(-1) for axis in np.meshgrid(*axes, indexing="ij"))
    rows = _ceil_div(m, p.acc_rows) * p.acc_rows
    legal = (rows * n <= capacity_c) & (m * k <= capacity_a) & (n * k <= capacity_b)
    if stationary != "output" or dbc:
        legal &= k == p.k
    if dbc:
        held_a, held_b = _held_cycles(p, m, n)
        rows_outer = np.full(len(m), stationary == "a") | ((stationary == "output") & (held_a <= held_b))
        legal &= np.where(rows_outer, p.n // n, p.m // m) >= 2
    if p.most_n:
        legal &= _bias_fits(p, m, n, k, stationary)
    return m[legal], n[legal], k[legal]


def _bias_fits(p: _Problem, m: np.ndarray, n: np.ndarray, k: np.ndarray, stationary: str) -> np.ndarray:
    """Whether the bias windows of a tile fit the bias table: one, or two or four where a full-K grid pipelines them."""
    held_a, held_b = _held_cycles(p, m, n)
    grid = (k == p.k) & ((m != p.m) | (n != p.n))
    pipelined = grid & (stationary in ("a", "output"))
    nested = grid & (stationary == "output") & (held_a <= held_b)
    slots = np.where(nested, 4, np.where(pipelined, 2, 1))
    return n <= p.most_n // slots


def _best(p: _Problem, stationary: str, dbc: bool) -> tuple[int, L0Tile] | None:
    """The regime's tile of least modelled wall time, ties as in the chooser's Better()."""
    m, n, k = _legal_tiles(p, stationary, dbc)
    if not len(m):
        return None
    load = _load_cycles(p, m, n, k, stationary)
    wall = _wall_cycles(p, m, n, k, load, dbc)
    padded = _ceil_div(p.m, m) * m * _ceil_div(p.n, n) * n * _ceil_div(p.k, k) * k
    # lexsort's last key is the primary one; it is stable, so equal keys keep ascending (m, n, k).
    first = np.lexsort((-k, -m * n, load, _ceil_div(p.k, k), padded, wall))[0]
    return int(wall[first]), L0Tile(int(m[first]), int(n[first]), int(k[first]), stationary, dbc)


@lru_cache(maxsize=4096)
def choose_l0_tile(
    m: int,
    n: int,
    k: int,
    dtype: str,
    *,
    force_output_stationary: bool = False,
    double_buffer_c: bool = False,
    biased: bool = False,
) -> L0Tile | None:
    """The compiler's L0 tile for [m, k] x [k, n] of `dtype` operands, or None where it leaves the matmul whole.

    force_output_stationary: the product feeds another matmul through Mat scratch under the default memory
    planner. double_buffer_c: the planner allows two accumulators (not the default one). biased: with a bias from L1,
    whose windows must fit the bias table and whose extents must fill whole boxes of the operands' layout.
    None: an extent below 16, or K no multiple of 16, has no legal L0 tile (hints PH-AT-005, PH-AT-007, PH-AT-011).
    """
    align = _box(dtype) if biased else FRACTAL
    if min(m, n, k) < FRACTAL or k % align or (biased and (m % FRACTAL or n % align)):
        return None
    problem = _problem(m, n, k, dtype, biased)
    found = _best(problem, "output", False)
    if found is None:
        return None
    wall, tile = found
    if (tile.m, tile.n, tile.k) == (m, n, k):
        return tile
    for stationary in ("output",) if force_output_stationary else ("output", "a", "b"):
        for dbc in (False, True) if double_buffer_c else (False,):
            other = None if stationary == "output" and not dbc else _best(problem, stationary, dbc)
            if other is not None and other[0] < wall:
                wall, tile = other
    return tile


def keeps_a(m: int, n: int, k: int, dtype: str, tile: L0Tile) -> bool:
    """Whether an output-stationary full-K grid of `tile` loads A once and streams B, as the cheaper of the two."""
    held_a, held_b = _held_cycles(_problem(m, n, k, dtype), np.asarray(tile.m), np.asarray(tile.n))
    return bool(held_a <= held_b)


def _box(dtype: str) -> int:
    """Step of N and K of a biased product: whole boxes of the operands' layout."""
    return max(FRACTAL, C0_BYTES // STORAGE[dtype].itemsize)


def _problem(m: int, n: int, k: int, dtype: str, biased: bool = False) -> _Problem:
    acc = accumulator_of(dtype)
    acc_rows = INT32_ACC_ROWS if acc == "INT32" else FRACTAL
    bytes_c = STORAGE[acc].itemsize
    step, most_n = (_box(dtype), BIAS_BYTES // bytes_c) if biased else (FRACTAL, 0)
    return _Problem(m, n, k, STORAGE[dtype].itemsize, bytes_c, acc_rows, step, most_n)


def product_tile(op: str, m: int, n: int, k: int, dtype: str, *, manual: bool = False, chained: bool = False) -> L0Tile:
    """How a recorded product is cut; the whole product where the compiler leaves it as it is.

    op: 'matmul', 'matmul_acc' or 'matmul_bias'. manual: an operand is where the compiler does not cut: already in L0A
    or L0B, an accumulator, or a right operand that the vector core made. chained: other products alone read it, from
    a scratch in L1: a product that is cut along M or N is then cut with its output stationary.
    A sum onto the caller's accumulator is cut along K only, unless its result is too large for L0C.
    """
    whole = L0Tile(m, n, k)
    biased = op == "matmul_bias"
    tile = None if manual else choose_l0_tile(m, n, k, dtype, biased=biased)
    if tile is None:
        return whole
    rows = -(-m // INT32_ACC_ROWS) * INT32_ACC_ROWS if dtype == "INT8" else m
    cut = (tile.m, tile.n) != (m, n)
    if op == "matmul_acc" and cut and rows * n * 4 <= L0C_BYTES:
        return whole
    if chained and op != "matmul_acc" and cut and 2 * m * n <= L1_BYTES:
        return choose_l0_tile(m, n, k, dtype, force_output_stationary=True, biased=biased) or tile
    return tile


def k_split(m: int, n: int, k: int, dtype: str, op: str = "matmul", manual: bool = False, chained: bool = False) -> int:
    """Length of one K chain of [m, k] x [k, n]: the chooser's k, or the whole of K."""
    return product_tile(op, m, n, k, dtype, manual=manual, chained=chained).k
