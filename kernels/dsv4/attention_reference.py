"""NumPy reference of the decode attention layers, from the references of their parts."""

from collections.abc import Mapping, MutableMapping

import numpy as np
from compressor_reference import golden_compressor
from config import FLASH
from equations import BF16, f32, rms_norm
from hc_reference import hc_post, hc_pre
from indexer_reference import golden_indexer
from qkv_reference import Projected, qkv
from sparse_attn_reference import golden_sparse_attn

Tensors = MutableMapping[str, np.ndarray]


def window_rows(positions: np.ndarray, window: int, step: int) -> np.ndarray:
    """The window part of every token's list of rows, [tokens, window] INT32.

    The rows of the last `window` positions, oldest first, each as its place in the ring; -1 where there are fewer. The
    rows of the batch's own tokens up to this one are `window` + their number in the step.
    """
    tokens = len(positions)
    rows = np.full((tokens, window), -1, np.int32)
    for t, position in enumerate(positions):
        last = np.arange(max(0, position - window + 1), position + 1)
        first = t - t % step
        own = {int(positions[o]): o - first for o in range(first, t + 1)}
        rows[t, : len(last)] = [window + own[p] if p in own else p % window for p in last]
    return rows


def rotations(tensors: Mapping[str, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """cos and sin of every token."""
    positions = tensors["position_ids"]
    return tensors["freqs_cos"][positions], tensors["freqs_sin"][positions]


def before_attention(tensors: Mapping[str, np.ndarray]) -> tuple[np.ndarray, np.ndarray, np.ndarray, Projected]:
    """Normalised activations, post and comb of the gate, and the projections."""
    gate = (tensors[f"hc_attn_{name}"] for name in ("fn", "scale", "base"))
    mixed, post, comb = hc_pre(tensors["x_hc"], *gate)
    normed = rms_norm(mixed, f32(tensors["attn_norm_w"]), FLASH.rms_norm_eps).astype(BF16)
    names = ("wq_a", "wq_b", "wq_b_scale", "wkv")
    gammas = (tensors["gamma_cq"], tensors["gamma_ckv"])
    return normed, post, comb, qkv(normed, *(tensors[name] for name in names), *rotations(tensors), *gammas)


def after_attention(
    tensors: Tensors, projected: Projected, rows: np.ndarray, post: np.ndarray, comb: np.ndarray, table: np.ndarray
) -> None:
    """Attend to `rows`, commit the step's rows to the ring, and fill x_out and kv_cache. table: pages of the ring."""
    cos, sin = rotations(tensors)
    attended = np.zeros((len(cos), FLASH.hidden_size), BF16)
    golden_sparse_attn(
        {
            "q": projected.q,
            "ori_kv": tensors["kv_cache"],
            "ori_block_table": table,
            "mtp_kv_overlay": projected.kv,
            "cmp_kv": tensors["cmp_kv"],
            "cmp_block_table": tensors["cmp_block_table"],
            "cmp_sparse_indices": rows,
            "attn_sink": tensors["attn_sink"],
            "freqs_cos": cos,
            "freqs_sin": sin,
            **{name: tensors[name] for name in ("wo_a", "wo_b", "wo_b_scale")},
            "attn_out": attended,
        }
    )
    slots = tensors["ori_slot_mapping"]
    ring = tensors["kv_cache"].reshape(-1, tensors["kv_cache"].shape[-1])
    ring[slots[slots >= 0]] = projected.kv[slots >= 0]
    tensors["x_out"][...] = hc_post(attended, tensors["x_hc"], post, comb)


def compress(tensors: Tensors, normed: np.ndarray, ratio: int) -> None:
    """Update the state and the compressed cache with this step's tokens."""
    batches = len(tensors["kv_seq_lens"])
    first = tensors["position_ids"].reshape(batches, -1)[:, 0]
    pairs = FLASH.qk_rope_head_dim // 2
    windows = first - first % ratio
    step = {name: tensors[f"cmp_{name}"] for name in ("wkv", "wgate", "ape", "norm_w")}
    shared = {name: tensors[name] for name in ("compress_state", "compress_state_block_table")}
    by_batch = {name: tensors[name].reshape(batches, -1) for name in
                ("position_ids", "cmp_slot_mapping", "state_slot_mapping")}  # fmt: skip
    golden_compressor(
        {
            **step,
            **shared,
            **by_batch,
            "x": normed.reshape(batches, -1, normed.shape[-1]),
            "kv": np.zeros((batches, 1, FLASH.head_dim), np.float32),
            "cos": tensors["freqs_cos"][windows, :pairs],
            "sin": tensors["freqs_sin"][windows, :pairs],
            "cmp_kv_cache": tensors["cmp_kv"],
        },
        ratio,
    )


def golden_attention_hca(tensors: Tensors) -> None:
    """Fill x_out, kv_cache, cmp_kv and compress_state of a layer that compresses by 128: a token sees every compressed
    row whose window ends at or before it."""
    normed, post, comb, projected = before_attention(tensors)
    compress(tensors, normed, 128)
    positions, batches = tensors["position_ids"], len(tensors["kv_seq_lens"])
    step = len(positions) // batches
    limit = min(FLASH.max_position_embeddings // 128, FLASH.index_topk)
    seen = np.minimum((positions + 1) // 128, np.repeat(tensors["kv_seq_lens"] // 128, step))[:, None]
    slots = np.arange(limit)[None]
    compressed = np.where(slots < seen, FLASH.sliding_window + step + slots, -1).astype(np.int32)
    rows = np.concatenate([window_rows(positions, FLASH.sliding_window, step), compressed], axis=1)
    after_attention(tensors, projected, rows, post, comb, tensors["ori_block_table"])


def chosen_rows(tensors: Tensors, normed: np.ndarray, projected: Projected) -> np.ndarray:
    """The indexer's part of every token's list, [tokens, index_topk] INT32: -1 for a row whose window ends after the
    token. Appends to the indexer's state and cache."""
    batches = len(tensors["kv_seq_lens"])
    positions = tensors["position_ids"].reshape(batches, -1)
    step, first = positions.shape[1], FLASH.sliding_window + positions.shape[1]
    pairs = FLASH.qk_rope_head_dim // 2
    scores = (batches, step, FLASH.max_position_embeddings // 4)
    by_batch = {name: tensors[name].reshape(batches, -1) for name in ("idx_slot_mapping", "inner_state_slot_mapping")}
    inner = (
        "compress_state", "compress_state_block_table", "wkv", "wgate", "ape", "norm_w",
    )  # fmt: skip
    found = {
        **{f"inner_{name}": tensors[f"inner_{name}"] for name in inner},
        **{name: tensors[name] for name in ("weights_proj", "idx_kv_cache", "idx_block_table", "kv_seq_lens")},
        **by_batch,
        "x": normed.reshape(batches, step, -1),
        "qr": projected.qr,
        "qr_scale": projected.qr_scale,
        "wq_b": tensors["idx_wq_b"],
        "wq_b_scale": tensors["idx_wq_b_scale"],
        "cos": tensors["freqs_cos"][positions[:, 0], :pairs],
        "sin": tensors["freqs_sin"][positions[:, 0], :pairs],
        "hadamard": tensors["hadamard_idx"],
        "inner_kv": np.zeros((batches, step, FLASH.index_head_dim), np.float32),
        "position_ids": positions,
        "score": np.empty(scores, np.float32),
        "topk_idxs": np.empty(scores, np.int32),
        "offset": np.int32(first),
    }
    golden_indexer(found)
    rows = found["topk_idxs"].reshape(batches * step, -1)[:, : FLASH.index_topk]
    seen = np.minimum((positions + 1) // 4, tensors["kv_seq_lens"][:, None] // 4).reshape(-1, 1)
    return np.where((rows >= first) & (rows - first < seen), rows, np.int32(-1))


def golden_attention_csa(tensors: Tensors) -> None:
    """Fill x_out, the caches and states of a layer that compresses by 4."""
    normed, post, comb, projected = before_attention(tensors)
    compress(tensors, normed, 4)
    positions, batches = tensors["position_ids"], len(tensors["kv_seq_lens"])
    window = window_rows(positions, FLASH.sliding_window, len(positions) // batches)
    rows = np.concatenate([window, chosen_rows(tensors, normed, projected)], axis=1)
    after_attention(tensors, projected, rows, post, comb, tensors["ori_block_table"])


def golden_attention_swa(tensors: Tensors) -> None:
    """Fill x_out and kv_cache of a layer without compression."""
    _, post, comb, projected = before_attention(tensors)
    batches = len(tensors["block_table"])
    positions = tensors["position_ids"]
    rows = window_rows(positions, FLASH.sliding_window, len(positions) // batches)
    after_attention(tensors, projected, rows, post, comb, tensors["block_table"])
