"""NumPy reference of the prefill indexer and of its compressor, written from their equations."""

from collections.abc import Mapping, MutableMapping

import numpy as np
from config import BLOCK_SIZE, FLASH, FP32_NEG_INF
from equations import BF16, f32, int8_product
from indexer_reference import RATIO, best, queries
from prefill_compressor_reference import compressed_rows, keep_projections, projections
from quantization import quantize_rows

Tensors = MutableMapping[str, np.ndarray]


def golden_prefill_indexer_compressor(tensors: Tensors) -> None:
    """Fill kv, kv_state, score_state and idx_kv_cache."""
    paged = {**tensors, "compress_state_block_table": tensors["inner_compress_state_block_table"]}
    run, slots = projections(tensors), tensors["idx_slot_mapping"]
    cache = tensors["idx_kv_cache"].reshape(-1, tensors["idx_kv_cache"].shape[-1])
    tensors["kv"][...] = 0
    for i, (slot, row) in enumerate(compressed_rows(paged, run, slots, FP32_NEG_INF)):
        cache[slot] = f32(row.astype(BF16)) @ f32(tensors["hadamard"])
        tensors["kv"][i] = cache[slot]
    keep_projections(tensors, run, tensors["inner_state_slot_mapping"])


def compress_keys(tensors: Tensors) -> None:
    """Append this run's keys: `golden_prefill_indexer_compressor` under the indexer's names."""
    inner = {name: tensors[f"inner_{name}"] for name in ("kv_state", "score_state", "wkv", "wgate", "ape", "norm_w")}
    own = np.zeros((len(tensors["x"]) // RATIO, FLASH.index_head_dim), BF16)
    golden_prefill_indexer_compressor({**tensors, **inner, "kv": own})


def rows_seen(tensors: Mapping[str, np.ndarray]) -> np.ndarray:
    """Compressed rows that each token sees, [tokens]; padding sees none."""
    seen = (tensors["position_ids"] + 1) // RATIO
    return np.where(np.arange(len(seen)) < tensors["num_tokens"], seen, 0)


def scores(tensors: Mapping[str, np.ndarray]) -> np.ndarray:
    """Score of every compressed row, [tokens, rows] FP32; the most negative FP32 where a token does not see it."""
    seen, table = rows_seen(tensors), tensors["idx_block_table"]
    found = np.full((len(seen), len(table) * BLOCK_SIZE), FP32_NEG_INF, np.float32)
    slots = np.arange(seen.max())
    if len(slots):
        q, q_factors = queries(tensors)
        keys = tensors["idx_kv_cache"][table[slots // BLOCK_SIZE], slots % BLOCK_SIZE, 0]
        k, k_factors = quantize_rows(f32(keys))
        weights = f32(tensors["x"]) @ f32(tensors["weights_proj"]) * np.float32(FLASH.index_weights_scale)
        dots = int8_product(q, k).astype(np.float32).reshape(*q_factors.shape, -1) * k_factors * q_factors[..., None]
        total = np.einsum("thr,th->tr", np.maximum(dots, 0), weights)
        found[:, slots] = np.where(slots < seen[:, None], total, FP32_NEG_INF)
    return found


def indexed_rows(tensors: Tensors) -> tuple[np.ndarray, np.ndarray]:
    """Append this run's keys. Scores and lists [tokens, rows]: rows by falling score plus window + run, then -1."""
    compress_keys(tensors)
    found = scores(tensors)
    return found, best(found[:, None], rows_seen(tensors), FLASH.sliding_window + len(found))[:, 0]


def golden_prefill_indexer(tensors: Tensors) -> None:
    """Fill score, topk_idxs, idx_kv_cache, inner_kv_state and inner_score_state."""
    tensors["score"][...], tensors["topk_idxs"][...] = indexed_rows(tensors)
