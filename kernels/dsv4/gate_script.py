"""The command line of gate, and its inputs: normal activations, logits of about one."""

import argparse
from collections.abc import Sequence

import config
import numpy as np
from command_line import base_parser, run_script
from config import DECODE_BATCH, DECODE_SEQ, EP_WORLD_SIZE, FLASH
from draws import normal, stream
from equations import BF16
from gate_reference import golden_gate

from pto_sim.golden import ScalarSpec, TensorSpec, ratio_allclose, topk_pair_compare

OUTPUT_TOLERANCE = {
    "x_norm": ratio_allclose(atol=1e-3, rtol=1 / 128),
    "x_norm_i8": ratio_allclose(atol=1, rtol=0, max_error_ratio=0.001),
    "x_norm_scale": ratio_allclose(atol=1e-3, rtol=1e-3, max_error_ratio=0),
    "indices": topk_pair_compare("weights"),
    "weights": ratio_allclose(atol=1e-3, rtol=1e-3, max_error_ratio=0),
}


def gate_specs(layer_id: int) -> list[TensorSpec | ScalarSpec]:
    """Arguments of gate_test. The table may name an expert twice, as upstream's does."""
    tokens, hidden, topk = DECODE_BATCH * DECODE_SEQ, FLASH.hidden_size, FLASH.num_experts_per_tok
    experts = FLASH.n_routed_experts // (1 if config.EP_ROUTING_GLOBAL else EP_WORLD_SIZE)
    vocabulary = FLASH.vocab_size

    def gate_w(seed: int) -> np.ndarray:
        return normal(seed, "gate_w", (experts, hidden), hidden**-0.5)

    def tid2eid(seed: int) -> np.ndarray:
        return stream(seed, "tid2eid").integers(0, experts, (vocabulary, topk))

    def input_ids(seed: int) -> np.ndarray:
        return stream(seed, "input_ids").integers(0, vocabulary, tokens)

    return [
        TensorSpec("x_mixed", [tokens, hidden], BF16, lambda seed: normal(seed, "x_mixed", (tokens, hidden))),
        TensorSpec("norm_w", [hidden], BF16, 1.0),
        TensorSpec("gate_w", [experts, hidden], np.float32, gate_w),
        TensorSpec("gate_bias", [experts], np.float32, lambda seed: normal(seed, "gate_bias", (experts,), 0.1)),
        ScalarSpec("layer_id", np.int32, layer_id),
        TensorSpec("tid2eid", [vocabulary, topk], np.int32, tid2eid),
        TensorSpec("input_ids", [tokens], np.int64, input_ids),
        TensorSpec("x_norm", [tokens, hidden], BF16, is_output=True),
        TensorSpec("x_norm_i8", [tokens, hidden], np.int8, is_output=True),
        TensorSpec("x_norm_scale", [tokens, 1], np.float32, is_output=True),
        TensorSpec("indices", [tokens, topk], np.int32, is_output=True),
        TensorSpec("weights", [tokens, topk], np.float32, is_output=True),
    ]


def parser() -> argparse.ArgumentParser:
    """The common flags and --layer-id."""
    flags = base_parser()
    flags.add_argument(
        "--layer-id", type=int, default=0, help=f"layers below {FLASH.num_hash_layers} take experts from the table"
    )
    return flags


def main(kernel: object, argv: Sequence[str] | None = None) -> None:
    """Run `kernel` as the flags say."""
    args = parser().parse_args(argv)
    run_script(kernel, gate_specs(args.layer_id), golden_gate, OUTPUT_TOLERANCE, args)
