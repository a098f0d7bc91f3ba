"""NumPy reference of the experts, written from their equations."""

from collections.abc import MutableMapping

import numpy as np
from config import FLASH
from equations import swiglu, w8a8
from quantization import quantize_rows

Tensors = MutableMapping[str, np.ndarray]


def expert(x: np.ndarray, x_factor: np.ndarray, weights: dict[str, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Hidden activations of one expert, quantised: INT8 [rows, inner] and the factor of each row.

    x: INT8 [rows, hidden]. weights: w1 and w3 with w1_scale and w3_scale.
    """
    gate = w8a8(x, x_factor, weights["w1"], weights["w1_scale"])
    up = w8a8(x, x_factor, weights["w3"], weights["w3_scale"])
    return quantize_rows(swiglu(gate, up, FLASH.swiglu_limit))


def golden_expert_shared(tensors: Tensors) -> None:
    """Fill sh."""
    weights = {name: tensors[f"shared_{name}"] for name in ("w1", "w1_scale", "w3", "w3_scale")}
    hidden, factor = expert(tensors["x_local_i8"], tensors["x_local_scale_dq"], weights)
    tensors["sh"][...] = w8a8(hidden, factor, tensors["shared_w2"], tensors["shared_w2_scale"])


def golden_expert_routed(tensors: Tensors) -> None:
    """Fill recv_y: of each expert the rows that it received; others stay."""
    for e, rows in enumerate(tensors["recv_expert_count"][:, 0].tolist()):
        if not rows:
            continue
        weights = {name: tensors[f"routed_{name}"][e] for name in ("w1", "w1_scale", "w3", "w3_scale")}
        hidden, factor = expert(tensors["recv_x"][e, :rows], tensors["recv_scale_dq"][e, :rows], weights)
        weighted = factor * tensors["recv_weights"][e, :rows]
        y = w8a8(hidden, weighted, tensors["routed_w2"][e], tensors["routed_w2_scale"][e])
        tensors["recv_y"][e, :rows] = y
