"""NumPy reference of the mixture of experts on one card, from the references of its parts."""

from collections.abc import MutableMapping
from typing import Any

import numpy as np
from config import FLASH, RECV_MAX
from dispatch_reference import golden_combine, golden_dispatch
from equations import BF16
from expert_reference import golden_expert_routed, golden_expert_shared
from gate_reference import golden_gate
from hc_reference import hc_post, hc_pre


def golden_moe_ep1(tensors: MutableMapping[str, Any]) -> None:
    """Fill x_next."""
    tokens, hidden = tensors["x_hc"].shape[0], FLASH.hidden_size
    experts, topk = len(tensors["gate_w"]), tensors["tid2eid"].shape[1]
    mixed, post, comb = hc_pre(tensors["x_hc"], *(tensors[f"hc_ffn_{name}"] for name in ("fn", "scale", "base")))

    named = ("norm_w", "gate_w", "gate_bias", "layer_id", "tid2eid", "input_ids")
    routed = {
        "x_mixed": mixed,
        **{name: tensors[name] for name in named},
        "x_norm": np.empty((tokens, hidden), BF16),
        "x_norm_i8": np.empty((tokens, hidden), np.int8),
        "x_norm_scale": np.empty((tokens, 1), np.float32),
        "indices": np.empty((tokens, topk), np.int32),
        "weights": np.empty((tokens, topk), np.float32),
    }
    golden_gate(routed)

    weights = {name: value for name, value in tensors.items() if name.startswith(("shared_w", "routed_w"))}
    rows = (experts, RECV_MAX)
    expert = {
        **weights,
        **routed,
        "x_local_i8": routed["x_norm_i8"],
        "x_local_scale_dq": routed["x_norm_scale"],
        "sh": np.empty((tokens, hidden), BF16),
        "recv_x": np.zeros((*rows, hidden), np.int8),
        **{name: np.zeros(rows, np.float32) for name in ("recv_scale_dq", "recv_weights")},
        "recv_token": np.zeros(rows, np.int32),
        "recv_expert_count": np.zeros((experts, 1), np.int32),
        "recv_y": np.zeros((*rows, hidden), BF16),
        "ffn_out": np.empty((tokens, hidden), BF16),
    }
    golden_expert_shared(expert)
    golden_dispatch(expert)
    golden_expert_routed(expert)
    golden_combine(expert)
    tensors["x_next"][...] = hc_post(expert["ffn_out"], tensors["x_hc"], post, comb)
