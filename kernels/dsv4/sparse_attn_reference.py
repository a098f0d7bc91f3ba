"""NumPy reference of decode sparse attention, written from its equations.

One softmax over all rows of a token and the sink, no running maxima: what `decode_sparse_attn` and its two variants
have to give, up to rounding. The weights are BF16, as the cube takes them, relative to the largest of their page of the
list: that rounding decides which way an INT8 value goes later on, so it belongs to the equations.
"""

from collections.abc import Mapping, MutableMapping

import numpy as np
from config import BLOCK_SIZE
from equations import BF16, f32, rope, w8a8
from quantization import quantize_rows


def golden_sparse_attn(tensors: MutableMapping[str, np.ndarray]) -> None:
    """Fill tensors['attn_out'] from the kernel's inputs, by parameter name."""
    heads = sparse_attention(tensors, weight_dtype=BF16)
    heads = inverse_rope(heads, tensors["freqs_cos"], tensors["freqs_sin"]).astype(BF16)
    tensors["attn_out"][...] = output_projection(heads, tensors["wo_a"], tensors["wo_b"], tensors["wo_b_scale"])


def selected_rows(tensors: Mapping[str, np.ndarray], token: int) -> np.ndarray:
    """The rows that `token` attends to, [rows, head_dim] BF16, in the order of its index list.

    -1 is no row, [0, window) a row of the batch's ring page, [window, window + S) one of the batch's running tokens,
    and everything from window + S on a compressed slot, paged by the batch's table.
    """
    ring, pages = tensors["ori_kv"], tensors["cmp_kv"]
    batch_count, window = len(tensors["ori_block_table"]), ring.shape[1]
    step = len(tensors["q"]) // batch_count
    batch = token // step
    index = tensors["cmp_sparse_indices"][token]
    index = index[index >= 0].astype(np.int64)
    in_ring, in_step = index < window, (index >= window) & (index < window + step)
    compressed = ~in_ring & ~in_step

    rows = np.empty((len(index), ring.shape[-1]), ring.dtype)
    rows[in_ring] = ring[tensors["ori_block_table"][batch, 0], index[in_ring], 0]
    rows[in_step] = tensors["mtp_kv_overlay"][batch * step + index[in_step] - window]
    slots = index[compressed] - window - step
    page_rows = pages.shape[1]
    rows[compressed] = pages[tensors["cmp_block_table"][batch, slots // page_rows], slots % page_rows, 0]
    return rows


def sparse_attention(tensors: Mapping[str, np.ndarray], weight_dtype: type = np.float32) -> np.ndarray:
    """Attention output before the rotation, [tokens, heads, head_dim] FP32; zero for a token without rows.

    weight_dtype: see `attend`.
    """
    q = tensors["q"]
    result = np.zeros(q.shape, np.float32)
    for token in range(len(q)):
        rows = selected_rows(tensors, token).astype(np.float32)
        if len(rows):
            places = np.flatnonzero(tensors["cmp_sparse_indices"][token] >= 0)
            result[token] = attend(f32(q[token]), rows, places, tensors["attn_sink"], weight_dtype)
    return result


def attend(
    q: np.ndarray, rows: np.ndarray, places: np.ndarray, attn_sink: np.ndarray, weight_dtype: type = np.float32
) -> np.ndarray:
    """Attention of one token, [heads, head_dim] FP32. q: [heads, head_dim] FP32. rows: [rows, head_dim] FP32.

    Keys and values are the same rows. The sink joins the softmax of its head with the value zero. places: of each row
    in the index list, ascending. weight_dtype: in which the exponentials multiply the values, each relative to the
    largest of the BLOCK_SIZE places of the list that it belongs to; their sum stays FP32.
    """
    sink = f32(attn_sink)[:, None]
    logits = q @ rows.T * np.float32(q.shape[-1] ** -0.5)
    page = places // BLOCK_SIZE
    first = np.flatnonzero(np.diff(page, prepend=-1))
    page_top = np.repeat(np.maximum.reduceat(logits, first, axis=1), np.diff(first, append=len(page)), axis=1)
    weights = np.exp(logits - page_top)
    top = np.maximum(logits.max(axis=1, keepdims=True), sink)
    share = np.exp(page_top - top)
    total = (weights * share).sum(axis=1, keepdims=True) + np.exp(sink - top)
    return (f32(weights.astype(weight_dtype)) * share) @ rows / total


def inverse_rope(heads: np.ndarray, freqs_cos: np.ndarray, freqs_sin: np.ndarray) -> np.ndarray:
    """`heads` with the last columns turned back by each token's angles, FP32.

    heads: [tokens, heads, head_dim] FP32. freqs_cos, freqs_sin: [tokens, rope_dim]; their first half is used.
    """
    pairs = freqs_cos.shape[1] // 2
    return rope(heads, freqs_cos[:, None, :pairs], freqs_sin[:, None, :pairs], inverse=True)


def output_projection(heads: np.ndarray, wo_a: np.ndarray, wo_b: np.ndarray, wo_b_scale: np.ndarray) -> np.ndarray:
    """Both projections, [tokens, hidden] BF16: by groups of heads, then INT8 over the concatenated groups.

    heads: [tokens, heads, head_dim] BF16. wo_a: [groups, rank, heads / groups * head_dim] BF16.
    wo_b: [hidden, groups * rank] INT8 with the factors wo_b_scale [hidden] FP32.
    """
    tokens, groups = len(heads), len(wo_a)
    grouped = heads.reshape(tokens, groups, -1)
    ranks = [f32(grouped[:, g]) @ f32(wo_a[g]).T for g in range(groups)]
    values, factors = quantize_rows(np.concatenate(ranks, axis=1))
    return w8a8(values, factors, wo_b, wo_b_scale).astype(BF16)
