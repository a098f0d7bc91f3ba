"""The qk_pv stage as a kernel of the tile language: the loops of kernels/dsv4, alone, for two blocks of keys."""

from __future__ import annotations

import numpy as np

import pto_sim.language as pl
from benchmarks import qk_pv_case
from benchmarks.qk_pv_case import Case, Partial
from pto_sim.engine import EngineRun, run_kernel
from pto_sim.program.options import RunOptions

TOKENS = 128
BLOCKS = 2
HEADS = qk_pv_case.HEADS
HEAD_TILE = qk_pv_case.HEAD_TILE
STORE_TILE = qk_pv_case.STORE_TILE
KEYS = qk_pv_case.KEYS
WIDTH = qk_pv_case.WIDTH
SCALE = qk_pv_case.SCALE
ROWS = TOKENS * HEADS * BLOCKS


@pl.jit(auto_scope=False)
def qk_pv_stage(
    q: pl.Tensor[[TOKENS * HEADS, WIDTH], pl.BF16],
    kv: pl.Tensor[[TOKENS * BLOCKS * KEYS, WIDTH], pl.BF16],
    bias: pl.Tensor[[TOKENS, BLOCKS * KEYS], pl.FP32],
    m: pl.Out[pl.Tensor[[ROWS, 1], pl.FP32]],
    l: pl.Out[pl.Tensor[[ROWS, 1], pl.FP32]],
    o: pl.Out[pl.Tensor[[ROWS, WIDTH], pl.FP32]],
):
    for token in pl.spmd(TOKENS, name_hint="qk_pv"):
        for block in pl.range(BLOCKS):
            key0 = (token * BLOCKS + block) * KEYS
            keys = kv[key0 : key0 + KEYS, 0:WIDTH]
            values = kv[key0 : key0 + KEYS, 0:WIDTH]
            key_bias = bias[token : token + 1, block * KEYS : block * KEYS + KEYS]
            for pair in pl.pipeline(HEADS // HEAD_TILE, stage=2):
                head0 = token * HEADS + pair * HEAD_TILE
                heads = q[head0 : head0 + HEAD_TILE, 0:WIDTH]
                raw = pl.matmul(heads, keys, b_trans=True, out_dtype=pl.FP32)
                scores = pl.col_expand_add(pl.mul(raw, SCALE), key_bias)
                largest = pl.row_max(scores)
                weight = pl.exp(pl.row_expand_sub(scores, largest))
                total = pl.row_sum(weight)
                product = pl.matmul(pl.cast(weight, target_type=pl.BF16, mode="rint"), values, out_dtype=pl.FP32)
                for half in pl.unroll(HEAD_TILE // STORE_TILE):
                    row0 = half * STORE_TILE
                    tile = pair * (HEAD_TILE // STORE_TILE) + half
                    out0 = ((token * (HEADS // STORE_TILE) + tile) * BLOCKS + block) * STORE_TILE
                    m[out0 : out0 + STORE_TILE, 0:1] = largest[row0 : row0 + STORE_TILE, 0:1]
                    l[out0 : out0 + STORE_TILE, 0:1] = total[row0 : row0 + STORE_TILE, 0:1]
                    o[out0 : out0 + STORE_TILE, 0:WIDTH] = product[row0 : row0 + STORE_TILE, 0:WIDTH]


def run(case: Case, options: RunOptions) -> EngineRun:
    """Executes the kernel: values and the recorded Program, no timing."""
    out = Partial.empty(case.tokens, case.blocks)
    flat = [case.q.reshape(-1, WIDTH), case.kv.reshape(-1, WIDTH), case.bias.reshape(case.tokens, -1)]
    flat += [out.m.reshape(-1, 1), out.l.reshape(-1, 1), out.o.reshape(-1, WIDTH)]
    return run_kernel(qk_pv_stage, flat, options, observers=())


def qk_pv(case: Case) -> Partial:
    """Partial attention of each (token, block); see qk_pv_case."""
    if (case.tokens, case.blocks) != (TOKENS, BLOCKS):
        raise ValueError(f"the kernel is written for {TOKENS} tokens and {BLOCKS} blocks, not {case.kv.shape[:2]}")
    outputs = run(case, RunOptions(timing=False)).outputs
    shape = (case.tokens, HEADS // STORE_TILE, case.blocks, STORE_TILE)
    m, l, o = (np.asarray(outputs[name]) for name in "mlo")
    return Partial(m.reshape(shape), l.reshape(shape), o.reshape(*shape, WIDTH))
