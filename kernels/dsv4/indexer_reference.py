"""NumPy reference of the decode indexer and of its compressor, written from their equations."""

from collections.abc import Mapping, MutableMapping

import numpy as np
from compressor_reference import completed_windows, keep_projections, pooled
from config import BLOCK_SIZE, FLASH, FP32_NEG_INF
from equations import BF16, f32, int8_product, rms_norm, rope, w8a8
from quantization import quantize_rows

Tensors = MutableMapping[str, np.ndarray]
RATIO = 4


def golden_indexer_compressor(tensors: Tensors) -> None:
    """Fill kv, compress_state and idx_kv_cache."""
    keep_projections({**tensors, "state_slot_mapping": tensors["inner_state_slot_mapping"]}, RATIO)
    width = FLASH.index_head_dim
    cache = tensors["idx_kv_cache"].reshape(-1, width)
    for window in completed_windows(tensors["position_ids"], RATIO):
        row = rms_norm(pooled(tensors, window, RATIO, width), f32(tensors["norm_w"]), FLASH.rms_norm_eps)
        row = rope(row, tensors["cos"][window.batch], tensors["sin"][window.batch])
        row = f32(row.astype(BF16)) @ f32(tensors["hadamard"])
        tensors["kv"][window.batch, 0] = row
        slot = tensors["idx_slot_mapping"][window.batch, window.last_token]
        if slot >= 0:
            cache[slot] = row


def compress_keys(tensors: Tensors) -> None:
    """Append this step's keys: `golden_indexer_compressor` under the indexer's names."""
    inner = {
        name: tensors[f"inner_{name}"]
        for name in ("kv", "compress_state", "compress_state_block_table", "wkv", "wgate", "ape", "norm_w")
    }
    golden_indexer_compressor({**tensors, **inner})


def queries(tensors: Mapping[str, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """The heads' queries, quantised: INT8 [tokens * heads, width], and their factors [tokens, heads]."""
    heads, width = FLASH.index_n_heads, FLASH.index_head_dim
    flat = w8a8(tensors["qr"], tensors["qr_scale"], tensors["wq_b"].T, tensors["wq_b_scale"])
    batches = len(tensors["cos"])
    by_head = flat.reshape(batches, -1, heads, width)
    angles = (tensors[name][:, None, None] for name in ("cos", "sin"))
    turned = rope(by_head, *angles).astype(BF16).reshape(-1, width)
    values, factors = quantize_rows(f32(turned) @ f32(tensors["hadamard"]))
    return values, factors.reshape(-1, heads)


def scores(tensors: Mapping[str, np.ndarray]) -> np.ndarray:
    """Score of every compressed row, [batch, step, rows] FP32; the most negative FP32 where there is none."""
    batches, step, rows = tensors["score"].shape
    heads = FLASH.index_n_heads
    q, q_factors = queries(tensors)
    weights = f32(tensors["x"]).reshape(batches * step, -1) @ f32(tensors["weights_proj"])
    weights = weights * np.float32(FLASH.index_weights_scale)
    found = np.full((batches, step, rows), FP32_NEG_INF, np.float32)
    keys = tensors["idx_kv_cache"][..., 0, :]
    for batch, length in enumerate((tensors["kv_seq_lens"] // RATIO).tolist()):
        if not length:
            continue
        slots = np.arange(length)
        pages = tensors["idx_block_table"][batch, slots // BLOCK_SIZE]
        k, k_factors = quantize_rows(f32(keys[pages, slots % BLOCK_SIZE]))
        for s in range(step):
            t = batch * step + s
            dots = int8_product(q[t * heads : (t + 1) * heads], k).astype(np.float32)
            dots = dots * k_factors[None] * q_factors[t][:, None]
            found[batch, s, :length] = (np.maximum(dots, 0) * weights[t][:, None]).sum(axis=0)
    return found


def best(found: np.ndarray, lengths: np.ndarray, offset: int) -> np.ndarray:
    """Rows by falling score plus `offset`, the lower row first if scores are equal; -1 after the last one.

    found: [batch, step, rows]. lengths: rows that each batch has.
    """
    order = np.argsort(-found, axis=-1, kind="stable").astype(np.int32) + np.int32(offset)
    kept = np.minimum(lengths, FLASH.index_topk)[:, None, None]
    return np.where(np.arange(found.shape[-1]) < kept, order, np.int32(-1))


def golden_indexer(tensors: Tensors) -> None:
    """Fill score, topk_idxs, idx_kv_cache, inner_kv and inner_compress_state."""
    compress_keys(tensors)
    tensors["score"][...] = scores(tensors)
    tensors["topk_idxs"][...] = best(tensors["score"], tensors["kv_seq_lens"] // RATIO, int(tensors["offset"]))
