"""The command line of mtp_projection, its inputs, and its NumPy reference."""

from collections.abc import MutableMapping, Sequence

import numpy as np
from command_line import base_parser, run_script
from config import DECODE_BATCH, DECODE_SEQ, FLASH
from draws import normal, uniform
from equations import BF16, rms_norm, w8a8
from quantization import Halves, quantize_rows

from pto_sim.golden import TensorSpec, ratio_allclose

OUTPUT_TOLERANCE = {"hidden_states_out": ratio_allclose(atol=1e-2, rtol=1e-2, max_error_ratio=0.02)}


def mtp_projection_specs() -> list[TensorSpec]:
    """Arguments of mtp_projection, in order.

    States are standard normal, weights normal over the square root of their inner extent. Norms and smoothing factors
    are uniform in [0.5, 1.5): with ones, as in upstream's test, nothing would show that a kernel leaves one out.
    """
    hidden = FLASH.hidden_size
    states = (DECODE_BATCH, DECODE_SEQ, hidden)

    def drawn(name: str) -> TensorSpec:
        return TensorSpec(name, list(states), BF16, lambda seed: normal(seed, name, states))

    def factors(name: str) -> TensorSpec:
        return TensorSpec(name, [hidden], np.float32, lambda seed: uniform(seed, name, (hidden,), 0.5, 1.5))

    def weights(name: str) -> list[TensorSpec]:
        made = Halves(lambda seed: quantize_rows(normal(seed, name, (hidden, hidden), hidden**-0.5)))
        return [
            TensorSpec(name, [hidden, hidden], np.int8, made.values),
            TensorSpec(f"{name}_scale", [hidden], np.float32, made.factors),
        ]

    return [
        drawn("hidden_states"),
        drawn("prev_hidden_states"),
        factors("enorm_w"),
        factors("hnorm_w"),
        *weights("e_proj_w"),
        factors("e_proj_smooth"),
        *weights("h_proj_w"),
        factors("h_proj_smooth"),
        TensorSpec("hidden_states_out", list(states), BF16, is_output=True),
    ]


def golden_mtp_projection(tensors: MutableMapping[str, np.ndarray]) -> None:
    """Fill hidden_states_out."""
    hidden = tensors["hidden_states"].shape[-1]

    def projected(states: str, norm: str, projection: str) -> np.ndarray:
        normed = rms_norm(tensors[states].reshape(-1, hidden), tensors[norm], FLASH.rms_norm_eps)
        rows, factors = quantize_rows((normed * tensors[f"{projection}_smooth"]).astype(BF16))
        return w8a8(rows, factors, tensors[f"{projection}_w"], tensors[f"{projection}_w_scale"])

    total = projected("hidden_states", "enorm_w", "e_proj") + projected("prev_hidden_states", "hnorm_w", "h_proj")
    out = tensors["hidden_states_out"]
    out[...] = total.reshape(out.shape)


def main(kernel: object, argv: Sequence[str] | None = None) -> None:
    """Run `kernel` as the flags say."""
    args = base_parser().parse_args(argv)
    run_script(kernel, mtp_projection_specs(), golden_mtp_projection, OUTPUT_TOLERANCE, args)
