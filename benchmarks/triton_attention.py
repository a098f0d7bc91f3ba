"""The qk_pv stage for Triton, run by its interpreter (TRITON_INTERPRET=1).

The interpreter multiplies the raw bits of BF16 dot operands, so both operands are cast to FP32 first.
"""

from __future__ import annotations

import torch
import triton
import triton.language as tl

from benchmarks.qk_pv_case import HEAD_TILE, HEADS, KEYS, SCALE, STORE_TILE, WIDTH, Case, Partial


@triton.jit
def qk_pv_kernel(
    q_ptr,
    kv_ptr,
    bias_ptr,
    m_ptr,
    l_ptr,
    o_ptr,
    scale,
    BLOCKS: tl.constexpr,
    HEADS: tl.constexpr,
    HEAD_TILE: tl.constexpr,
    STORE_TILE: tl.constexpr,
    KEYS: tl.constexpr,
    WIDTH: tl.constexpr,
):
    token = tl.program_id(0)
    column = tl.arange(0, WIDTH)[None, :]
    key = tl.arange(0, KEYS)
    for block in range(BLOCKS):
        first_key = (token * BLOCKS + block) * KEYS
        keys = tl.load(kv_ptr + (first_key + key)[:, None] * WIDTH + column).to(tl.float32)
        bias = tl.load(bias_ptr + first_key + key)[None, :]
        for tile in range(HEADS // HEAD_TILE):
            head = tile * HEAD_TILE + tl.arange(0, HEAD_TILE)
            q = tl.load(q_ptr + (token * HEADS + head)[:, None] * WIDTH + column).to(tl.float32)
            scores = tl.dot(q, tl.trans(keys)) * scale + bias
            m = tl.max(scores, 1)
            e = tl.exp(scores - m[:, None])
            o = tl.dot(e.to(tl.bfloat16).to(tl.float32), keys)
            store_tile = token * (HEADS // STORE_TILE) + head // STORE_TILE
            row = (store_tile * BLOCKS + block) * STORE_TILE + head % STORE_TILE
            tl.store(m_ptr + row, m)
            tl.store(l_ptr + row, tl.sum(e, 1))
            tl.store(o_ptr + row[:, None] * WIDTH + column, o)


def qk_pv(case: Case) -> Partial:
    """Partial attention of each (token, block); see qk_pv_case."""
    out = Partial.empty(case.tokens, case.blocks)
    bf16 = (torch.from_numpy(x.view("uint16")).view(torch.bfloat16) for x in (case.q, case.kv))
    fp32 = (torch.from_numpy(x) for x in (case.bias, out.m, out.l, out.o))
    qk_pv_kernel[(case.tokens,)](*bf16, *fp32, SCALE, case.blocks, HEADS, HEAD_TILE, STORE_TILE, KEYS, WIDTH)
    return out
