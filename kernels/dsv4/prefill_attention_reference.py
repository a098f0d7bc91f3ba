"""NumPy reference of the prefill attention layers, from the references of their parts."""

from collections.abc import Mapping, MutableMapping

import numpy as np
from attention_reference import before_attention, rotations
from config import FLASH
from equations import BF16
from hc_reference import hc_post
from prefill_sparse_attn_reference import golden_prefill_sparse_attn
from qkv_reference import Projected

Tensors = MutableMapping[str, np.ndarray]


def after_attention(
    tensors: Tensors,
    projected: Projected,
    lists: tuple[np.ndarray, np.ndarray],
    compressed: Mapping[str, np.ndarray],
    weights: tuple[np.ndarray, np.ndarray],
) -> None:
    """Attend, commit the run's rows to the ring, and fill x_out and kv_cache.

    lists: index rows and their lengths. compressed: cmp_kv and cmp_block_table. weights: post and comb of the gate.
    """
    cos, sin = rotations(tensors)
    attended = np.zeros((len(cos), FLASH.hidden_size), BF16)
    golden_prefill_sparse_attn(
        {
            "q": projected.q,
            "ori_kv": tensors["kv_cache"],
            "ori_block_table": tensors["block_table"],
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
    after_attention(tensors, projected, lists, nothing, (post, comb))
