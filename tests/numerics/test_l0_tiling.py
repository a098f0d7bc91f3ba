"""L0 tiles: what the compiler chose for upstream kernels, and the chooser's own rules."""

from __future__ import annotations

import pytest

from pto_sim.numerics.element_types import STORAGE
from pto_sim.numerics.l0_tiling import L0A_BYTES, L0B_BYTES, L0C_BYTES, choose_l0_tile, k_split

# (M, K, N) of a matmul in a pypto-lib script (commit 634e77bd) and the (m, k, n) of its L0 product as compiled
# for a2a3 by pypto e2d0f78ae.
COMPILED = [
    ("sparse attention qk", "BF16", (32, 512, 128), (32, 128, 128)),
    ("sparse attention pv", "BF16", (32, 128, 512), (32, 32, 512)),
    ("sparse attention proj_a", "BF16", (16, 256, 128), (16, 128, 128)),
    ("sparse attention proj_b", "INT8", (16, 256, 256), (16, 128, 256)),
    ("qkv_proj_rope qproj", "INT8", (16, 128, 512), (16, 64, 512)),
    ("expert_shared gate", "INT8", (16, 512, 256), (16, 128, 256)),
    ("mtp_projection", "INT8", (64, 512, 256), (64, 128, 256)),
    ("lm_head", "BF16", (16, 256, 256), (16, 64, 256)),
    ("compressor kv_score", "BF16", (16, 512, 64), (16, 256, 64)),
    ("prefill compressor kv_score", "BF16", (128, 512, 64), (128, 128, 64)),
    ("gate", "FP32", (16, 2048, 16), (16, 512, 16)),
    ("beginner matmul", "FP32", (64, 256, 64), (64, 128, 64)),
    ("multi_proj", "BF16", (16, 128, 256), (16, 64, 256)),
    ("gemm, left whole", "FP32", (64, 64, 64), (64, 64, 64)),
    ("gemm_eltwise, left whole", "BF16", (16, 128, 64), (16, 128, 64)),
    ("hadamard, left whole", "BF16", (64, 128, 128), (64, 128, 128)),
    # Stated in docs/en/dev/passes/15-auto_tile_matmul_l0.md: a misaligned N is not chosen.
    ("320 x 320", "BF16", (320, 64, 320), (160, 64, 128)),
]


@pytest.mark.parametrize("name, dtype, shape, tile", COMPILED, ids=[case[0] for case in COMPILED])
def test_tiles_of_compiled_kernels(
    name: str, dtype: str, shape: tuple[int, int, int], tile: tuple[int, int, int]
) -> None:
    m, k, n = shape
    chosen = choose_l0_tile(m, n, k, dtype)
    assert chosen is not None
    assert (chosen.m, chosen.k, chosen.n) == tile
    assert k_split(m, n, k, dtype) == tile[1]


@pytest.mark.parametrize("dtype", ["FP32", "BF16", "INT8"])
@pytest.mark.parametrize("m, n, k", [(16, 16, 16), (48, 320, 1024), (256, 512, 4096), (400, 80, 176), (512, 512, 512)])
@pytest.mark.parametrize("double_buffer_c", [False, True])
def test_tiles_fit_the_memories(dtype: str, m: int, n: int, k: int, double_buffer_c: bool) -> None:
    tile = choose_l0_tile(m, n, k, dtype, double_buffer_c=double_buffer_c)
    assert tile is not None
    size = STORAGE[dtype].itemsize
    rows = -(-tile.m // 32) * 32 if dtype == "INT8" else tile.m
    assert tile.m * tile.k * size * (1 if tile.stationary == "a" else 2) <= L0A_BYTES
    assert tile.k * tile.n * size * (1 if tile.stationary == "b" else 2) <= L0B_BYTES
    assert rows * tile.n * 4 * (2 if tile.double_buffer_c else 1) <= L0C_BYTES
    assert all(extent % 16 == 0 for extent in tile[:3])
    if tile.stationary != "output" or tile.double_buffer_c:
        assert tile.k == k


@pytest.mark.parametrize("m, n, k", [(8, 128, 128), (128, 8, 128), (128, 128, 8), (32, 32, 40)])
def test_shapes_below_the_cube_minimum_stay_whole(m: int, n: int, k: int) -> None:
    assert choose_l0_tile(m, n, k, "BF16") is None
    assert k_split(m, n, k, "BF16") == k


def test_forced_output_stationary() -> None:
    """A product that feeds another matmul through Mat scratch streams both operands."""
    tile = choose_l0_tile(512, 512, 64, "BF16", force_output_stationary=True)
    assert tile is not None
    assert tile.stationary == "output"


@pytest.mark.parametrize("dtype", ["BF16", "FP32", "INT8"])
def test_a_product_that_is_cut_along_k_and_more_does_not_fit_whole(dtype: str) -> None:
    """So the compiler either cuts it, or refuses it where it may not: no other order of summation exists."""
    itemsize, step = STORAGE[dtype].itemsize, 32 if dtype == "INT8" else 16
    cut_both_ways = 0
    for m in (16, 32, 64, 128, 192, 320, 512):
        for n in (16, 48, 80, 112, 256, 1536, 2048):
            if -(-m // step) * step * n * 4 > L0C_BYTES:
                continue
            for k in (16, 48, 96, 192, 320, 512, 1024):
                tile = choose_l0_tile(m, n, k, dtype)
                if tile is not None and (tile.m, tile.n) != (m, n) and tile.k < k:
                    cut_both_ways += 1
                    assert m * k * itemsize > L0A_BYTES or n * k * itemsize > L0B_BYTES, (m, n, k, tile)
    assert cut_both_ways
