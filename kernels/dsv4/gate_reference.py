"""NumPy reference of the router, written from its equations."""

from collections.abc import MutableMapping
from typing import Any, NamedTuple

import numpy as np
from config import FLASH
from equations import BF16, f32, rms_norm
from quantization import quantize_rows


class Routing(NamedTuple):
    """Experts [tokens, topk] INT32 of each token and the weights of their outputs, FP32."""

    indices: np.ndarray
    weights: np.ndarray


def scores(x_norm: np.ndarray, gate_w: np.ndarray) -> np.ndarray:
    """sqrt(ln(1 + exp(logit))), [tokens, experts] FP32."""
    return np.sqrt(np.logaddexp(np.float32(0.0), f32(x_norm) @ gate_w.T))


def route(score: np.ndarray, bias: np.ndarray, layer_id: int, tid2eid: np.ndarray, input_ids: np.ndarray) -> Routing:
    """The token's experts from the table in a hash layer, else the best by score plus bias, best first.

    score: [tokens, experts]. bias: [experts]. tid2eid: [vocabulary, topk]. input_ids: [tokens].
    """
    if layer_id < FLASH.num_hash_layers:
        indices = tid2eid[input_ids]
    else:
        best_first = np.argsort(-(score + bias), axis=1, kind="stable")
        indices = best_first[:, : tid2eid.shape[1]]
    chosen = np.take_along_axis(score, indices.astype(np.int64), axis=1)
    weights = chosen / chosen.sum(axis=1, keepdims=True) * np.float32(FLASH.routed_scaling_factor)
    return Routing(indices.astype(np.int32), weights.astype(np.float32))


def golden_gate(tensors: MutableMapping[str, Any]) -> None:
    """Fill x_norm, x_norm_i8, x_norm_scale, indices and weights."""
    x_norm = rms_norm(tensors["x_mixed"], f32(tensors["norm_w"]), FLASH.rms_norm_eps).astype(BF16)
    values, factors = quantize_rows(x_norm)
    found = route(
        scores(x_norm, tensors["gate_w"]),
        tensors["gate_bias"],
        int(tensors["layer_id"]),
        tensors["tid2eid"],
        tensors["input_ids"],
    )
    tensors["x_norm"][...] = x_norm
    tensors["x_norm_i8"][...] = values
    tensors["x_norm_scale"][...] = factors[:, None]
    tensors["indices"][...] = found.indices
    tensors["weights"][...] = found.weights
