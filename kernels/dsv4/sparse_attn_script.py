"""The command line of the decode sparse attention kernels: build the inputs, run, compare."""

import argparse
from collections.abc import Sequence

from command_line import base_parser, run_script
from sparse_attn_fixtures import RATIOS, Fixture, tensor_specs
from sparse_attn_reference import golden_sparse_attn

from pto_sim.golden import ratio_allclose

OUTPUT_TOLERANCE = {"attn_out": ratio_allclose(atol=1e-4, rtol=1 / 128)}


def parser(default_compress_ratio: int) -> argparse.ArgumentParser:
    """The common flags, and those that choose a fixture."""
    flags = base_parser()
    flags.add_argument(
        "--compress-ratio",
        type=int,
        choices=RATIOS,
        default=default_compress_ratio,
        help="how many compressed rows a token selects, and which rotation it has",
    )
    flags.add_argument("--causal-regression-fixture", action="store_true", help="a large row that must not leak")
    flags.add_argument("--short-window-fixture", action="store_true", help="17 window rows, nothing else")
    flags.add_argument("--mixed-topk-fixture", action="store_true", help="17 window rows and the compressed rows")
    flags.add_argument("--overlay-replacement-fixture", action="store_true", help="a running token among 17 rows")
    return flags


def main(kernel: object, *, topk: int, default_compress_ratio: int, argv: Sequence[str] | None = None) -> None:
    """Run `kernel` as the flags say. Exits with 1 if it does not pass, with 2 if a flag or input cannot be used."""
    args = parser(default_compress_ratio).parse_args(argv)
    fixture = Fixture(
        topk=topk,
        compress_ratio=args.compress_ratio,
        causal_regression=args.causal_regression_fixture,
        short_window=args.short_window_fixture,
        mixed_topk=args.mixed_topk_fixture,
        overlay_replacement=args.overlay_replacement_fixture,
    )
    print(f"compress_ratio={args.compress_ratio} TOPK={topk} compressed rows={fixture.compressed_rows}", flush=True)
    run_script(kernel, tensor_specs(fixture), golden_sparse_attn, OUTPUT_TOLERANCE, args)
