"""Inputs of the hyper-connection kernels. Scales and bases are of trained layers: invented ones cancel the outputs.

Source of the constants: pypto-lib 9f31b7eb, models/deepseek/v4, the fixtures of the files named below.
"""

from dataclasses import dataclass

import numpy as np
from config import DECODE_BATCH, DECODE_SEQ, FLASH
from draws import normal, stream, uniform
from equations import BF16

from pto_sim.golden import TensorSpec


@dataclass(frozen=True)
class HcGate:
    """Weights of one hyper-connection gate. fn_std: standard deviation of hc_fn. scale: 3, base: 24 numbers."""

    fn_std: float
    scale: tuple[float, ...]
    base: tuple[float, ...]

    def fn(self, seed: int, name: str) -> np.ndarray:
        """[mix, streams * hidden] FP32."""
        return normal(seed, name, (FLASH.mix_hc, FLASH.hc_dim), self.fn_std)


CSA_GATE = HcGate(  # hc_pre.py, decode_attention_csa.py: attention of layer 8
    0.0519,
    (0.076099, 0.032597, 0.226994),
    (5.9166, -3.6223, -2.9324, -3.3124, -3.9100, -0.9384, -3.3256, -2.5240, 2.0706, -2.5728, 0.1424, -3.9453,
     -3.8859, 3.4634, -3.3799, -2.6077, -2.7191, -2.4846, 2.0395, -0.5010, -3.5992, -2.7520, -3.3493, 3.1587),
)  # fmt: skip


def hc_pre_specs(tokens: int) -> list[TensorSpec]:
    """Arguments of hc_pre_test: small normal streams, the gate of a CSA layer."""
    mult, hidden = FLASH.hc_mult, FLASH.hidden_size
    return [
        TensorSpec("x", [tokens, mult, hidden], BF16, lambda seed: normal(seed, "x", (tokens, mult, hidden), 0.05)),
        TensorSpec("hc_fn", [FLASH.mix_hc, FLASH.hc_dim], np.float32, lambda seed: CSA_GATE.fn(seed, "hc_fn")),
        TensorSpec("hc_scale", [3], np.float32, np.array(CSA_GATE.scale, np.float32)),
        TensorSpec("hc_base", [FLASH.mix_hc], np.float32, np.array(CSA_GATE.base, np.float32)),
        TensorSpec("x_mixed", [tokens, hidden], BF16, is_output=True),
        TensorSpec("post", [tokens, mult], np.float32, is_output=True),
        TensorSpec("comb", [tokens, mult * mult], np.float32, is_output=True),
    ]


def hc_head_specs() -> list[TensorSpec]:
    """Arguments of hc_head_test: small normal streams; scale and base are the gate's for `pre`."""
    shape = (DECODE_BATCH, DECODE_SEQ, FLASH.hc_mult, FLASH.hidden_size)
    weights = (FLASH.hc_mult, FLASH.hc_dim)
    return [
        TensorSpec("x_hc", list(shape), BF16, lambda seed: normal(seed, "x_hc", shape, 0.05)),
        TensorSpec(
            "hc_head_fn", list(weights), np.float32, lambda seed: normal(seed, "hc_head_fn", weights, CSA_GATE.fn_std)
        ),
        TensorSpec("hc_head_scale", [1], np.float32, np.array(CSA_GATE.scale[:1], np.float32)),
        TensorSpec("hc_head_base", [FLASH.hc_mult], np.float32, np.array(CSA_GATE.base[: FLASH.hc_mult], np.float32)),
        TensorSpec("y", [*shape[:2], FLASH.hidden_size], BF16, is_output=True),
    ]


def hc_post_specs(tokens: int) -> list[TensorSpec]:
    """Arguments of hc_post_test: small normal activations, weights as hc_pre gives them."""
    mult, hidden = FLASH.hc_mult, FLASH.hidden_size

    def post(seed: int) -> np.ndarray:
        return (2.0 / (1.0 + np.exp(-normal(seed, "post", (tokens, mult))))).astype(np.float32)

    def comb(seed: int) -> np.ndarray:
        rows = uniform(seed, "comb", (tokens, mult, mult), 0.1, 1.1)
        return (rows / rows.sum(axis=-1, keepdims=True)).reshape(tokens, mult * mult)

    return [
        TensorSpec("x", [tokens, hidden], BF16, lambda seed: normal(seed, "x", (tokens, hidden), 0.05)),
        TensorSpec(
            "residual", [tokens, mult, hidden], BF16,
            lambda seed: normal(seed, "residual", (tokens, mult, hidden), 0.05),
        ),
        TensorSpec("post", [tokens, mult], np.float32, post),
        TensorSpec("comb", [tokens, mult * mult], np.float32, comb),
        TensorSpec("y", [tokens, mult, hidden], BF16, is_output=True),
    ]  # fmt: skip


def rms_norm_specs(tokens: int) -> list[TensorSpec]:
    """Arguments of rms_norm_test: normal activations around -0.5, factors around 1."""
    hidden = FLASH.hidden_size
    return [
        TensorSpec("x", [tokens, hidden], BF16, lambda seed: normal(seed, "x", (tokens, hidden), mean=-0.5)),
        TensorSpec(
            "norm_w", [hidden], BF16,
            lambda seed: stream(seed, "norm_w").standard_normal(hidden, np.float32) * np.float32(0.1) + np.float32(1.0),
        ),
        TensorSpec("x_normed", [tokens, hidden], BF16, is_output=True),
    ]  # fmt: skip
