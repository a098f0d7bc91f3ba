"""NumPy reference of the prefill attention layers, from the references of their parts."""

from collections.abc import Mapping, MutableMapping

import numpy as np
from attention_reference import before_attention, rotations, window_rows
from config import FLASH, FP32_NEG_INF
from equations import BF16
from hc_reference import hc_post
from prefill_compressor_reference import golden_prefill_compressor
from prefill_indexer_reference import indexed_rows
from prefill_sparse_attn_reference import golden_prefill_sparse_attn
from qkv_reference import Projected

Tensors = MutableMapping[str, np.ndarray]


def after_attention(
    tensors: Tensors,
    projected: Projected,
    lists: tuple[np.ndarray, np.ndarray],
    compressed: Mapping[str, np.ndarray],
    weights: tuple[np.ndarray, np.ndarray],
    table: np.ndarray,
) -> None:
    """Attend, commit the run's rows to the ring, and fill x_out and kv_cache.

    lists: index rows and their lengths. compressed: cmp_kv and cmp_block_table. weights: post and comb of the gate.
    table: pages of the ring.
    """
    cos, sin = rotations(tensors)
    attended = np.zeros((len(cos), FLASH.hidden_size), BF16)
    golden_prefill_sparse_attn(
        {
            "q": projected.q,
            "ori_kv": tensors["kv_cache"],
            "ori_block_table": table,
            "kv_overlay": projected.kv,
            **compressed,
            "cmp_sparse_indices": lists[0],
            "cmp_sparse_lens": lists[1],
            "freqs_cos": cos,
            "freqs_sin": sin,
            **{name: tensors[name] for name in ("attn_sink", "num_tokens", "wo_a", "wo_b", "wo_b_scale")},
            "attn_out": attended,
        }
    )
    tokens = int(tensors["num_tokens"])
    slots = tensors["ori_slot_mapping"][:tokens]
    ring = tensors["kv_cache"].reshape(-1, tensors["kv_cache"].shape[-1])
    ring[slots[slots >= 0]] = projected.kv[:tokens][slots >= 0]
    tensors["x_out"][...] = hc_post(attended, tensors["x_hc"], *weights)


def golden_prefill_attention_swa(tensors: Tensors) -> None:
    """Fill x_out and kv_cache of a layer without compression."""
    _, post, comb, projected = before_attention(tensors)
    lists = tensors["cmp_sparse_indices"], tensors["cmp_sparse_lens"]
    nothing = {"cmp_kv": tensors["kv_cache"][:0], "cmp_block_table": np.zeros(0, np.int32)}
    after_attention(tensors, projected, lists, nothing, (post, comb), tensors["block_table"])


def compress(tensors: Tensors, normed: np.ndarray, no_score: float) -> dict[str, np.ndarray]:
    """Write this run's compressed rows and state. The compressed rows and their table.

    no_score: of a position that the state has no page for.
    """
    of_layer = {name: tensors[f"cmp_{name}"] for name in ("wkv", "wgate", "ape", "norm_w", "kv_state", "score_state")}
    golden_prefill_compressor({**tensors, **of_layer, "x": normed}, no_score)
    return {name: tensors[name] for name in ("cmp_kv", "cmp_block_table")}


def golden_prefill_attention_hca(tensors: Tensors) -> None:
    """Fill x_out, the ring, the compressed rows and the state of a layer that compresses by 128."""
    normed, post, comb, projected = before_attention(tensors)
    compressed = compress(tensors, normed, no_score=0.0)
    lists = tensors["cmp_sparse_indices"], tensors["cmp_sparse_lens"]
    after_attention(tensors, projected, lists, compressed, (post, comb), tensors["ori_block_table"])


def chosen_rows(tensors: Tensors, normed: np.ndarray, projected: Projected) -> np.ndarray:
    """The indexer's list of every token, [tokens, rows], -1 after its last row. Appends to its state and cache."""
    pairs = FLASH.qk_rope_head_dim // 2
    cos, sin = (rows[:, :pairs] for rows in rotations(tensors))
    of_indexer = {
        "wq_b": tensors["idx_wq_b"],
        "wq_b_scale": tensors["idx_wq_b_scale"],
        "weights_proj": tensors["idx_weights_proj"],
        "hadamard": tensors["hadamard_idx"],
        "qr": projected.qr,
        "qr_scale": projected.qr_scale,
        "cos": cos,
        "sin": sin,
        "x": normed,
    }
    return indexed_rows({**tensors, **of_indexer})[1]


def golden_prefill_attention_csa(tensors: Tensors) -> None:
    """Fill x_out, the ring, the compressed rows, the indexer's keys and both states of a layer that compresses by 4."""
    normed, post, comb, projected = before_attention(tensors)
    compressed = compress(tensors, normed, no_score=FP32_NEG_INF)
    positions, tokens = tensors["position_ids"], int(tensors["num_tokens"])
    window = window_rows(positions, FLASH.sliding_window, len(positions))
    chosen = chosen_rows(tensors, normed, projected)
    lists = np.full((len(positions), window.shape[1] + chosen.shape[1]), -1, np.int32)
    for t in range(tokens):
        row = np.concatenate([found[t][found[t] >= 0] for found in (window, chosen)])
        lists[t, : len(row)] = row
    lengths = (lists >= 0).sum(axis=1)
    after_attention(tensors, projected, (lists, lengths), compressed, (post, comb), tensors["ori_block_table"])
