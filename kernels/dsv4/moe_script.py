"""The command line of moe, and its inputs: normal streams, the gate of layer 0, weights on the checkpoint's grids."""

from collections.abc import Sequence

import numpy as np
from command_line import base_parser, run_script
from config import DECODE_BATCH, DECODE_SEQ, FLASH
from dispatch_script import distinct_experts
from draws import normal, stream
from equations import BF16
from expert_fixtures import LOCAL_EXPERTS, routed_specs, shared_specs
from hc_fixtures import HcGate
from moe_reference import golden_moe_ep1

from pto_sim.golden import ScalarSpec, TensorSpec, ratio_reldiff

OUTPUT_TOLERANCE = {"x_next": ratio_reldiff(diff_thd=3e-3, pct_thd=0.05)}
FFN_GATE = HcGate(  # feed-forward of layer 0
    0.0635,
    (0.11334, 0.035901, 0.058183),
    (2.4153, -2.0252, -2.0019, -2.1947, -1.543, -3.0228, -6.8248, 0.5894, 2.1916, -7.2132, -3.0938, -2.1119, -3.0161,
     3.3293, -3.2224, -4.0226, -2.0428, -3.3478, 3.0893, -3.4166, -1.8144, -3.8147, -3.1307, 1.7862),
)  # fmt: skip
# Smaller than in a layer: the output is a difference of large streams, and its relative error grows with the weights.
SHARED_STD = {"w1": 7.65e-3, "w2": 2.39e-2, "w3": 7.39e-3}
ROUTED_STD = {"w1": 1.08e-2, "w2": 2.54e-2, "w3": 1.10e-2}


def moe_specs(layer_id: int = 0) -> list[TensorSpec | ScalarSpec]:
    """Arguments of moe_ep1_test, in order."""
    tokens, hidden, mult = DECODE_BATCH * DECODE_SEQ, FLASH.hidden_size, FLASH.hc_mult
    topk, vocabulary = FLASH.num_experts_per_tok, FLASH.vocab_size
    streams, gate_w = (tokens, mult, hidden), (LOCAL_EXPERTS, hidden)
    return [
        TensorSpec("x_hc", list(streams), BF16, lambda seed: normal(seed, "x_hc", streams, dtype=BF16)),
        TensorSpec("hc_ffn_fn", [FLASH.mix_hc, FLASH.hc_dim], np.float32, lambda seed: FFN_GATE.fn(seed, "hc_ffn_fn")),
        TensorSpec("hc_ffn_scale", [3], np.float32, np.array(FFN_GATE.scale, np.float32)),
        TensorSpec("hc_ffn_base", [FLASH.mix_hc], np.float32, np.array(FFN_GATE.base, np.float32)),
        TensorSpec("norm_w", [hidden], BF16, 1.0),
        TensorSpec("gate_w", list(gate_w), np.float32, lambda seed: normal(seed, "gate_w", gate_w, hidden**-0.5)),
        TensorSpec("gate_bias", [LOCAL_EXPERTS], np.float32, 0.0),
        TensorSpec("tid2eid", [vocabulary, topk], np.int32, lambda seed: distinct_experts(seed, "tid2eid", vocabulary)),
        TensorSpec(
            "input_ids", [tokens], np.int64, lambda seed: stream(seed, "input_ids").integers(0, vocabulary, tokens)
        ),
        *routed_specs(ROUTED_STD),
        *shared_specs(SHARED_STD),
        TensorSpec("x_next", list(streams), BF16, is_output=True),
        ScalarSpec("layer_id", np.int32, layer_id),
    ]


def main(kernel: object, argv: Sequence[str] | None = None) -> None:
    """Run `kernel` as the flags say."""
    flags = base_parser()
    flags.add_argument("--ep", type=int, default=1, choices=[1], help="cards that share the experts")
    flags.add_argument("--layer-id", type=int, default=0, help="layers below 3 take experts from the table")
    flags.add_argument(
        "--routed-tile", type=int, choices=[48, 32], help="rows that a routed expert takes at a time [48]"
    )
    args = flags.parse_args(argv)
    run_script(kernel, moe_specs(args.layer_id), golden_moe_ep1, OUTPUT_TOLERANCE, args)
