"""Inputs of the experts: tokens quantised by rows, weights on the grids of the checkpoint.

Standard deviations are those of trained layers (pypto-lib 9f31b7eb, models/deepseek/v4/expert_*.py and moe.py).
"""

from functools import lru_cache

import numpy as np
from config import DECODE_BATCH, DECODE_SEQ, EP_WORLD_SIZE, FLASH, RECV_MAX
from draws import normal, stream, uniform
from equations import BF16
from fp4_weights import fp4_weights
from fp8_weights import fp8_weights
from quantization import Halves, quantize_rows

from pto_sim.golden import TensorSpec

LOCAL_EXPERTS = FLASH.n_routed_experts // EP_WORLD_SIZE
SHARED_STD = {"w1": 1.71e-2, "w2": 1.68e-2, "w3": 1.70e-2}
ROUTED_STD = {"w1": 2.47e-2, "w2": 2.44e-2, "w3": 2.46e-2}
SHARED_SPREAD = {"w1": 0.50, "w2": 0.33, "w3": 0.50}


def pair_specs(name: str, shape: tuple[int, ...], made: Halves) -> list[TensorSpec]:
    """Weights and their factors, which `made` gives."""
    return [
        TensorSpec(name, list(shape), np.int8, made.values),
        TensorSpec(f"{name}_scale", list(shape[:-1]), np.float32, made.factors),
    ]


def extents(weight: str) -> tuple[int, int]:
    """Outputs and inputs of w1, w2 or w3."""
    hidden, inner = FLASH.hidden_size, FLASH.moe_intermediate_size
    return (hidden, inner) if weight == "w2" else (inner, hidden)


def shared_specs(std: dict[str, float]) -> list[TensorSpec]:
    """shared_w1, w3, w2 with their factors. std: of each."""

    def specs(weight: str) -> list[TensorSpec]:
        name = f"shared_{weight}"
        shape, spread = extents(weight), SHARED_SPREAD[weight]
        return pair_specs(name, shape, Halves(lambda seed: fp8_weights(seed, name, shape, std[weight], spread)))

    return [*specs("w1"), *specs("w3"), *specs("w2")]


def routed_specs(std: dict[str, float]) -> list[TensorSpec]:
    """routed_w1, w3, w2 with their factors. std: of each."""

    def specs(weight: str) -> list[TensorSpec]:
        name, shape = f"routed_{weight}", (LOCAL_EXPERTS, *extents(weight))
        return pair_specs(name, shape, Halves(lambda seed: fp4_weights(seed, name, shape, std[weight])))

    return [*specs("w1"), *specs("w3"), *specs("w2")]


def expert_shared_specs() -> list[TensorSpec]:
    """Arguments of expert_shared_test, in order."""
    tokens, hidden = DECODE_BATCH * DECODE_SEQ, FLASH.hidden_size

    @lru_cache(maxsize=1)
    def x(seed: int) -> tuple[np.ndarray, np.ndarray]:
        return quantize_rows(normal(seed, "x_local", (tokens, hidden)).astype(BF16))

    return [
        TensorSpec("x_local_i8", [tokens, hidden], np.int8, lambda seed: x(seed)[0]),
        TensorSpec("x_local_scale_dq", [tokens, 1], np.float32, lambda seed: x(seed)[1][:, None]),
        *shared_specs(SHARED_STD),
        TensorSpec("sh", [tokens, hidden], BF16, is_output=True),
    ]


def expert_routed_specs() -> list[TensorSpec]:
    """Arguments of expert_routed_test, in order: every route goes to a random expert; rows behind an expert's last one
    are zero, with factor and weight 0."""
    routes, hidden = DECODE_BATCH * DECODE_SEQ * FLASH.num_experts_per_tok, FLASH.hidden_size
    rows = (LOCAL_EXPERTS, RECV_MAX)

    @lru_cache(maxsize=1)
    def counts(seed: int) -> np.ndarray:
        experts = stream(seed, "recv_expert_count").integers(0, LOCAL_EXPERTS, routes)
        return np.bincount(experts, minlength=LOCAL_EXPERTS).astype(np.int32)

    def received(seed: int) -> np.ndarray:
        return np.arange(RECV_MAX) < counts(seed)[:, None]

    @lru_cache(maxsize=1)
    def x(seed: int) -> tuple[np.ndarray, np.ndarray]:
        values, factors = quantize_rows(normal(seed, "recv_x", (rows[0] * rows[1], hidden), dtype=BF16))
        valid = received(seed)
        return values.reshape(*rows, hidden) * valid[..., None], factors.reshape(rows) * valid

    return [
        TensorSpec("recv_x", [*rows, hidden], np.int8, lambda seed: x(seed)[0]),
        TensorSpec("recv_scale_dq", list(rows), np.float32, lambda seed: x(seed)[1]),
        TensorSpec(
            "recv_weights", list(rows), np.float32,
            lambda seed: uniform(seed, "recv_weights", rows, 0.0, 1.0) * received(seed),
        ),
        TensorSpec("recv_expert_count", [LOCAL_EXPERTS, 1], np.int32, lambda seed: counts(seed)[:, None]),
        *routed_specs(ROUTED_STD),
        TensorSpec("recv_y", [*rows, hidden], BF16, is_output=True),
    ]  # fmt: skip
