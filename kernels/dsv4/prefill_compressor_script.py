"""The command line of the prefill compressors: build the inputs, run, compare."""

from collections.abc import Sequence
from functools import partial

from command_line import base_parser, run_script
from config import FP32_NEG_INF
from prefill_compressor_fixtures import COMPRESSORS, PrefillRun
from prefill_compressor_reference import golden_prefill_compressor

from pto_sim.golden import ratio_allclose

OUTPUT_TOLERANCE = {
    "kv_state": ratio_allclose(atol=1e-3, rtol=1e-3, max_error_ratio=0),
    "score_state": ratio_allclose(atol=1e-3, rtol=1e-3, max_error_ratio=0),
    "cmp_kv": ratio_allclose(atol=1e-4, rtol=1 / 128, max_error_ratio=0),
}
GOLDEN = {
    4: partial(golden_prefill_compressor, no_score=FP32_NEG_INF),
    128: partial(golden_prefill_compressor, no_score=0.0),
}


def main(kernel: object, *, ratio: int, argv: Sequence[str] | None = None) -> None:
    """Run `kernel` as the flags say. ratio: 4 or 128."""
    flags = base_parser()
    flags.add_argument("--start-pos", type=int, default=0, help="position of the first token")
    args = flags.parse_args(argv)
    run = PrefillRun(COMPRESSORS[ratio], args.start_pos)
    run_script(kernel, run.specs(), GOLDEN[ratio], OUTPUT_TOLERANCE, args)
