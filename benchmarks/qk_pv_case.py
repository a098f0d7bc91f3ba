"""The stage that every program here computes: attention of one token's heads over its own gathered keys.

Token t has HEADS queries and BLOCKS blocks of KEYS keys; keys are values too (a latent cache). For each block:
    s = q . k^T * SCALE + bias;  m = rowmax(s);  e = exp(s - m);  l = rowsum(e);  o = bf16(e) . k
q, kv: BF16; bias, m, l, o: FP32. Heads go in tiles of HEAD_TILE, results are laid out by STORE_TILE heads as the
DeepSeek-V4 decode kernel stores them: [token, head // STORE_TILE, block, head % STORE_TILE].
"""

from __future__ import annotations

from dataclasses import dataclass

import ml_dtypes
import numpy as np

HEADS = 64
HEAD_TILE = 32
STORE_TILE = 16
KEYS = 128
WIDTH = 512
SCALE = WIDTH**-0.5


@dataclass(frozen=True)
class Case:
    """q: (tokens, HEADS, WIDTH) BF16; kv: (tokens, blocks, KEYS, WIDTH) BF16; bias: (tokens, blocks, KEYS) FP32."""

    q: np.ndarray
    kv: np.ndarray
    bias: np.ndarray

    @property
    def tokens(self) -> int:
        return self.q.shape[0]

    @property
    def blocks(self) -> int:
        return self.kv.shape[1]

    @property
    def flops(self) -> int:
        """Multiplications and additions of both products."""
        return 4 * self.tokens * HEADS * self.blocks * KEYS * WIDTH


@dataclass(frozen=True)
class Partial:
    """Results of each block. m, l: (tokens, HEADS // STORE_TILE, blocks, STORE_TILE) FP32; o: the same and WIDTH."""

    m: np.ndarray
    l: np.ndarray
    o: np.ndarray

    @staticmethod
    def empty(tokens: int, blocks: int) -> Partial:
        shape = (tokens, HEADS // STORE_TILE, blocks, STORE_TILE)
        return Partial(np.empty(shape, np.float32), np.empty(shape, np.float32), np.empty((*shape, WIDTH), np.float32))


def make_case(tokens: int = 128, blocks: int = 2, seed: int = 0) -> Case:
    """Uniform values in [-0.5, 0.5); one key in eight is masked by a bias of -1e20."""
    rng = np.random.default_rng(seed)
    q = (rng.random((tokens, HEADS, WIDTH), np.float32) - 0.5).astype(ml_dtypes.bfloat16)
    kv = (rng.random((tokens, blocks, KEYS, WIDTH), np.float32) - 0.5).astype(ml_dtypes.bfloat16)
    bias = np.where(rng.random((tokens, blocks, KEYS)) < 0.125, np.float32(-1e20), np.float32(0)).astype(np.float32)
    return Case(q, kv, bias)


def largest_difference(one: Partial, other: Partial) -> float:
    """Largest difference of m, of l relative to l, and of o relative to l (the scale of an attention average).

    Programs that differ in summation order and in how they round e to BF16 stay below 2**-8.
    """
    scale = np.abs(other.l)
    return max(
        float(np.max(np.abs(one.m - other.m))),
        float(np.max(np.abs(one.l - other.l) / scale)),
        float(np.max(np.abs(one.o - other.o) / scale[..., None])),
    )
