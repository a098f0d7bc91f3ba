"""NumPy reference of prefill sparse attention, written from its equations. `sparse_attn_reference` has the softmax."""

from collections.abc import Mapping, MutableMapping

import numpy as np
from config import BLOCK_SIZE, FLASH, PREFILL_SEQ
from equations import BF16, f32
from sparse_attn_reference import attend, inverse_rope, output_projection

WINDOW = FLASH.sliding_window
# A list is looked at up to the page that the window and the most compressed rows end in.
MOST_ROWS = min(WINDOW, PREFILL_SEQ) + max(1, min(FLASH.index_topk, WINDOW + WINDOW // 2))
LISTED = -(-MOST_ROWS // BLOCK_SIZE) * BLOCK_SIZE


def places(tensors: Mapping[str, np.ndarray], token: int) -> np.ndarray:
    """The places of `token`'s list that name a row."""
    index = tensors["cmp_sparse_indices"][token, :LISTED]
    within = np.arange(len(index)) < tensors["cmp_sparse_lens"][token]
    return np.flatnonzero((index >= 0) & within)


def selected_rows(tensors: Mapping[str, np.ndarray], index: np.ndarray) -> np.ndarray:
    """The rows that `index` names, [rows, head_dim] BF16.

    [0, window) is a row of the ring, [window, window + T) one of this run's tokens, and everything from window + T on
    a compressed row. Ring and compressed rows are in pages.
    """
    tokens = len(tensors["kv_overlay"])
    rows = np.empty((len(index), tensors["kv_overlay"].shape[-1]), BF16)
    ring, run = index < WINDOW, (index >= WINDOW) & (index < WINDOW + tokens)
    rows[run] = tensors["kv_overlay"][index[run] - WINDOW]
    paged = ((ring, "ori", 0), (~ring & ~run, "cmp", WINDOW + tokens))
    for chosen, name, first in paged:
        slots = index[chosen] - first
        table = tensors[f"{name}_block_table"]
        rows[chosen] = tensors[f"{name}_kv"][table[slots // BLOCK_SIZE], slots % BLOCK_SIZE, 0]
    return rows


def golden_prefill_sparse_attn(tensors: MutableMapping[str, np.ndarray]) -> None:
    """Fill attn_out; zero for a token that is padding or has no row."""
    heads = np.zeros(tensors["q"].shape, np.float32)
    for token in range(int(tensors["num_tokens"])):
        chosen = places(tensors, token)
        if len(chosen):
            rows = f32(selected_rows(tensors, tensors["cmp_sparse_indices"][token, chosen]))
            heads[token] = attend(f32(tensors["q"][token]), rows, chosen, tensors["attn_sink"], BF16)
    turned = inverse_rope(heads, tensors["freqs_cos"], tensors["freqs_sin"]).astype(BF16)
    tensors["attn_out"][...] = output_projection(turned, *(tensors[name] for name in ("wo_a", "wo_b", "wo_b_scale")))
