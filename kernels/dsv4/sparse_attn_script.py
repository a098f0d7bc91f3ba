"""The command line of the decode sparse attention kernels: build the inputs, run, compare."""

import argparse
import sys
from collections.abc import Sequence

from sparse_attn_fixtures import RATIOS, Fixture, tensor_specs
from sparse_attn_reference import golden_sparse_attn

from pto_sim.backend import current_session
from pto_sim.golden import ratio_allclose, run_jit
from pto_sim.program.errors import PtoError

OUTPUT_TOLERANCE = {"attn_out": ratio_allclose(atol=1e-4, rtol=1 / 128)}


def parser(default_compress_ratio: int) -> argparse.ArgumentParser:
    """Flags of upstream's scripts, and `--seed`."""
    flags = argparse.ArgumentParser(formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    flags.add_argument("-p", "--platform", default="a2a3", choices=["a2a3", "a2a3sim", "a5", "a5sim"])
    flags.add_argument("-d", "--device", type=int, default=0)
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
    flags.add_argument("--golden-data", help="directory with in/ and out/ instead of the reference")
    flags.add_argument(
        "--enable-chip-swimlane", nargs="?", type=int, const=4, default=0, choices=range(5), metavar="LEVEL"
    )
    flags.add_argument("--enable-l2-swimlane", action="store_true", help="older name of --enable-chip-swimlane")
    flags.add_argument("--enable-dep-gen", action="store_true", help="write the tasks' dependencies (deps.json)")
    flags.add_argument("--enable-pmu", nargs="?", type=int, const=2, default=0, choices=[0, 1, 2, 4], metavar="EVENT")
    flags.add_argument(
        "--enable-scope-stats", "--scope-stats", action="store_true", help="write the ring heap by scope"
    )
    flags.add_argument(
        "--seed", type=int, help="seed of the inputs (0 if neither this nor pto-sim run --seed is given)"
    )
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
    runtime_cfg = {
        "platform": args.platform,
        "device_id": args.device,
        "enable_chip_swimlane": args.enable_chip_swimlane or (4 if args.enable_l2_swimlane else 0),
        "enable_dep_gen": args.enable_dep_gen,
        "enable_pmu": args.enable_pmu,
        "enable_scope_stats": args.enable_scope_stats,
        "seed": args.seed,
    }
    print(f"compress_ratio={args.compress_ratio} TOPK={topk} compressed rows={fixture.compressed_rows}", flush=True)
    try:
        result = run_jit(
            kernel,
            tensor_specs(fixture),
            golden_sparse_attn,
            golden_data=args.golden_data,
            runtime_cfg=runtime_cfg,
            rtol=1e-3,
            atol=1e-3,
            compare_fn=OUTPUT_TOLERANCE,
        )
    except PtoError as error:
        if current_session() is not None:  # the command line renders it
            raise
        print(error, file=sys.stderr)
        raise SystemExit(2) from None
    if not result.passed:
        print(result.error)
        raise SystemExit(1)
