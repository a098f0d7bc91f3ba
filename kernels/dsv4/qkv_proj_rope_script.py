"""The command line of qkv_proj_rope, and its inputs: all uniform, as upstream's standalone test draws them."""

from collections.abc import Sequence

import numpy as np
from config import FLASH
from draws import uniform
from equations import BF16
from qkv_reference import golden_qkv_proj_rope
from quantization import Halves, quantize_rows
from token_modes import run_modes

from pto_sim.golden import TensorSpec, ratio_allclose

OUTPUT_TOLERANCE = {
    "q": ratio_allclose(atol=1e-4, rtol=1 / 128),
    "kv": ratio_allclose(atol=1e-4, rtol=1 / 128),
    "qr": ratio_allclose(atol=1, rtol=0, max_error_ratio=0),
    "qr_scale": ratio_allclose(atol=2.5e-5, rtol=5e-3),
}


def qkv_proj_rope_specs(tokens: int) -> list[TensorSpec]:
    """Arguments of qkv_proj_rope_test: activations, rotations and norms in [-1, 1), weights in [-0.1, 0.1)."""
    hidden, rank, width = FLASH.hidden_size, FLASH.q_lora_rank, FLASH.head_dim
    heads, columns = FLASH.num_attention_heads, FLASH.qk_rope_head_dim
    wq_b = Halves(lambda seed: quantize_rows(uniform(seed, "wq_b", (heads * width, rank), -0.1, 0.1, BF16)))

    def drawn(name: str, shape: tuple[int, ...], limit: float = 1.0) -> TensorSpec:
        return TensorSpec(name, list(shape), BF16, lambda seed: uniform(seed, name, shape, -limit, limit, BF16))

    return [
        drawn("x", (tokens, hidden)),
        drawn("wq_a", (hidden, rank), 0.1),
        TensorSpec("wq_b", [rank, heads * width], np.int8, lambda seed: wq_b.values(seed).T),
        TensorSpec("wq_b_scale", [heads * width], np.float32, wq_b.factors),
        drawn("wkv", (hidden, width), 0.1),
        drawn("rope_cos", (tokens, columns)),
        drawn("rope_sin", (tokens, columns)),
        drawn("gamma_cq", (rank,)),
        drawn("gamma_ckv", (width,)),
        TensorSpec("q", [tokens, heads, width], BF16, is_output=True),
        TensorSpec("kv", [tokens, width], BF16, is_output=True),
        TensorSpec("qr", [tokens, rank], np.int8, is_output=True),
        TensorSpec("qr_scale", [tokens, 1], np.float32, is_output=True),
    ]


def main(kernel: object, argv: Sequence[str] | None = None) -> None:
    """Run `kernel` as the flags say."""
    run_modes(kernel, qkv_proj_rope_specs, golden_qkv_proj_rope, OUTPUT_TOLERANCE, argv)
