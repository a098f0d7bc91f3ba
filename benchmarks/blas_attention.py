"""The speed baseline: the decode sparse-attention kernel's maths as a tiled, batched BLAS program in NumPy.

It is written to be fast on one thread, not to round like the kernel: products are BLAS products, exp is NumPy's.
Tokens go in batches whose FP32 operands stay in the cache. INT8 products are exact (FP32 BLAS, K split at 1024).
"""

from __future__ import annotations

from collections.abc import Mapping

import ml_dtypes
import numpy as np

from benchmarks.qk_pv_case import HEADS, KEYS, SCALE, STORE_TILE, WIDTH, Case, Partial

TOKEN_BATCH = 4
ROPE = 64
GROUPS = 8
EXACT_K = 1024
"""127 * 127 * 1024 < 2**24: an INT8 chain of this length is exact in FP32."""


def widen(x: np.ndarray) -> np.ndarray:
    """BF16 to FP32, by shifting the bits."""
    return (x.view(np.uint16).astype(np.uint32) << 16).view(np.float32)


def round_to_bf16(x: np.ndarray) -> np.ndarray:
    """FP32 rounded to BF16 (half to even) and kept as FP32; finite inputs."""
    bits = x.view(np.uint32)
    bits += ((bits >> 16) & 1) + 0x7FFF
    bits &= 0xFFFF0000
    return x


def qk_pv(case: Case, out: Partial | None = None) -> Partial:
    """Partial attention of each (token, block); see qk_pv_case."""
    out = out or Partial.empty(case.tokens, case.blocks)
    tiles = HEADS // STORE_TILE
    for start in range(0, case.tokens, TOKEN_BATCH):
        batch = slice(start, min(start + TOKEN_BATCH, case.tokens))
        q = widen(case.q[batch])
        for block in range(case.blocks):
            keys = widen(case.kv[batch, block])
            scores = np.matmul(q, keys.transpose(0, 2, 1))
            scores *= np.float32(SCALE)
            scores += case.bias[batch, block, None, :]
            m = scores.max(axis=2, keepdims=True)
            scores -= m
            np.exp(scores, out=scores)
            out.m[batch, :, block] = m.reshape(-1, tiles, STORE_TILE)
            out.l[batch, :, block] = scores.sum(axis=2).reshape(-1, tiles, STORE_TILE)
            o = np.matmul(round_to_bf16(scores), keys)
            out.o[batch, :, block] = o.reshape(-1, tiles, STORE_TILE, WIDTH)
    return out


def merge(partial: Partial, sink: np.ndarray) -> np.ndarray:
    """Blocks and sink into one normalised result: (tokens, HEADS, WIDTH) FP32."""
    tokens = partial.m.shape[0]
    result = np.empty((tokens, HEADS, WIDTH), np.float32)
    for token in range(tokens):
        m = partial.m[token]
        largest = m.max(axis=1, keepdims=True)
        weight = np.exp(m - largest)
        total = (weight * partial.l[token]).sum(axis=1)
        o = (weight[..., None] * partial.o[token]).sum(axis=1)
        total += np.exp(sink.reshape(total.shape) - largest[:, 0])
        result[token] = (o / total[..., None]).reshape(HEADS, WIDTH)
    return result


def gather(inputs: Mapping[str, np.ndarray], batch: slice = slice(None)) -> tuple[np.ndarray, np.ndarray]:
    """Rows that each token of a batch attends to, (tokens, blocks, KEYS, WIDTH) BF16, and their bias, FP32.

    A raw index is -1 (nothing), below the window (ring row), then one overlay row for each token of the request,
    then compressed slots through the page table.
    """
    every_raw = inputs["cmp_sparse_indices"]
    per_request = every_raw.shape[0] // inputs["ori_block_table"].shape[0]
    request = (np.arange(every_raw.shape[0]) // per_request)[batch, None]
    raw = every_raw[batch]
    tokens, topk = raw.shape
    blocks = max(2, -(-topk // KEYS))
    window = page = inputs["ori_kv"].shape[1]
    slot = np.maximum(raw - window - per_request, 0)
    cmp_row = inputs["cmp_block_table"][request, slot // page] * page + slot % page
    overlay_row = request * per_request + np.clip(raw - window, 0, per_request - 1)
    ring_row = inputs["ori_block_table"][request, 0] * page + np.clip(raw, 0, window - 1)
    ring, compressed = (inputs[name].reshape(-1, WIDTH).view(np.uint16) for name in ("ori_kv", "cmp_kv"))
    overlay = inputs["mtp_kv_overlay"].view(np.uint16)
    rows = np.zeros((tokens, blocks * KEYS, WIDTH), np.uint16)
    for source, row, chosen in (
        (ring, ring_row, (raw >= 0) & (raw < window)),
        (overlay, overlay_row, (raw >= window) & (raw < window + per_request)),
        (compressed, cmp_row, raw >= window + per_request),
    ):
        where = np.nonzero(chosen)
        rows[where] = source[row[where]]
    bias = np.full((tokens, blocks * KEYS), -1e20, np.float32)
    bias[:, :topk][raw >= 0] = 0
    return rows.view(ml_dtypes.bfloat16).reshape(tokens, blocks, KEYS, WIDTH), bias.reshape(tokens, blocks, KEYS)


def undo_rope(rope: np.ndarray, cos: np.ndarray, sin: np.ndarray) -> np.ndarray:
    """Inverse rotation of interleaved pairs; rope (tokens, HEADS, ROPE) FP32, cos and sin (tokens, ROPE) BF16."""
    c, s = (widen(table[:, : ROPE // 2])[:, None, :] for table in (cos, sin))
    even, odd = rope[..., 0::2], rope[..., 1::2]
    result = np.empty_like(rope)
    result[..., 0::2] = even * c + odd * s
    result[..., 1::2] = odd * c - even * s
    return result


def project(attention: np.ndarray, inputs: Mapping[str, np.ndarray]) -> np.ndarray:
    """Grouped low-rank projection, row-wise INT8, output projection; attention (tokens, HEADS, WIDTH) FP32 of BF16."""
    tokens = attention.shape[0]
    grouped = attention.reshape(tokens, GROUPS, -1).transpose(1, 0, 2)
    low = np.concatenate([part @ widen(weight).T for part, weight in zip(grouped, inputs["wo_a"], strict=True)], axis=1)
    scale = np.float32(127) / np.maximum(np.abs(low).max(axis=1, keepdims=True), np.float32(1e-4))
    quantised = np.rint(low * scale)
    weight = inputs["wo_b"]
    exact = np.zeros((tokens, weight.shape[0]), np.float32)
    total = np.zeros(exact.shape, np.int32)
    for k in range(0, weight.shape[1], EXACT_K):
        np.matmul(quantised[:, k : k + EXACT_K], weight[:, k : k + EXACT_K].astype(np.float32).T, out=exact)
        total += exact.astype(np.int32)
    return (total * (1 / scale) * inputs["wo_b_scale"]).astype(ml_dtypes.bfloat16)


def sparse_attention(inputs: Mapping[str, np.ndarray]) -> np.ndarray:
    """attn_out, (tokens, hidden) BF16, from the arguments of the decode sparse-attention kernels, by name."""
    q = inputs["q"]
    attention = np.empty(q.shape, np.float32)
    for start in range(0, len(q), TOKEN_BATCH):  # a batch's rows and partial results stay in the cache
        batch = slice(start, start + TOKEN_BATCH)
        attention[batch] = merge(qk_pv(Case(q[batch], *gather(inputs, batch))), inputs["attn_sink"])
    attention[..., -ROPE:] = undo_rope(attention[..., -ROPE:], inputs["freqs_cos"], inputs["freqs_sin"])
    return project(round_to_bf16(attention), inputs)
