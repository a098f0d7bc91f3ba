"""The command line of prefill sparse attention: build the inputs, run, compare."""

from collections.abc import Sequence

from command_line import base_parser, run_script
from prefill_sparse_attn_fixtures import RATIOS, Fixture, tensor_specs
from prefill_sparse_attn_reference import golden_prefill_sparse_attn

from pto_sim.golden import ratio_allclose

OUTPUT_TOLERANCE = {"attn_out": ratio_allclose(atol=1e-4, rtol=1 / 128)}


def main(kernel: object, *, default_compress_ratio: int, argv: Sequence[str] | None = None) -> None:
    """Run `kernel` as the flags say."""
    flags = base_parser()
    flags.add_argument(
        "--compress-ratio",
        type=int,
        choices=RATIOS,
        default=default_compress_ratio,
        help="how many compressed rows a token selects, and which rotation it has",
    )
    args = flags.parse_args(argv)
    specs = tensor_specs(Fixture(args.compress_ratio))
    run_script(kernel, specs, golden_prefill_sparse_attn, OUTPUT_TOLERANCE, args)
