"""Flags that every kernel script has, and how a script runs its kernel with them."""

import argparse
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from pto_sim.backend import current_session
from pto_sim.golden import ScalarSpec, TensorSpec, run_jit
from pto_sim.program.errors import PtoError


def base_parser(description: str | None = None) -> argparse.ArgumentParser:
    """Flags of upstream's scripts that mean the same in all of them, and `--seed`."""
    flags = argparse.ArgumentParser(description=description, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    flags.add_argument("-p", "--platform", default="a2a3", choices=["a2a3", "a2a3sim", "a5", "a5sim"])
    flags.add_argument("-d", "--device", type=int, default=0)
    flags.add_argument("--golden-data", help="directory with in/ and out/ instead of the reference")
    flags.add_argument("--compile-only", action="store_true", help="check the kernel, do not run it")
    flags.add_argument("--runtime-dir", help="build directory of an earlier run")
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


def start_pos(limit: int) -> Callable[[str], int]:
    """The type of a flag that takes a position from 0 to `limit`."""

    def position(text: str) -> int:
        if not text.isdecimal() or int(text) > limit:
            raise argparse.ArgumentTypeError(f"{text!r} is no position from 0 to {limit}, which the fixture can hold")
        return int(text)

    return position


def add_start_pos(flags: argparse.ArgumentParser, limit: int) -> None:
    """`--start-pos` of a decode kernel; limit: the last position at which a step can start."""
    words = f"position of every batch's first token, at most {limit}, instead of a mixture"
    flags.add_argument("--start-pos", type=start_pos(limit), help=words)


def runtime_config(args: argparse.Namespace) -> dict[str, Any]:
    """The runtime_cfg of `run_jit` that the flags of `base_parser` ask for."""
    return {
        "platform": args.platform,
        "device_id": args.device,
        "enable_chip_swimlane": args.enable_chip_swimlane or (4 if args.enable_l2_swimlane else 0),
        "enable_dep_gen": args.enable_dep_gen,
        "enable_pmu": args.enable_pmu,
        "enable_scope_stats": args.enable_scope_stats,
        "seed": args.seed,
    }


def run_script(
    kernel: object,
    specs: Sequence[TensorSpec | ScalarSpec],
    golden: Callable[[dict[str, Any]], None] | None,
    tolerance: Mapping[str, Any],
    args: argparse.Namespace,
) -> None:
    """Run `kernel` as the flags say and compare. Exits with 1 if it does not pass, with 2 for a flag or an input
    that cannot be used. tolerance: a comparer for each output."""
    try:
        result = run_jit(
            kernel,
            specs,
            golden,
            golden_data=args.golden_data,
            runtime_cfg=runtime_config(args),
            rtol=1e-3,
            atol=1e-3,
            compare_fn=tolerance,
            compile_only=args.compile_only,
            runtime_dir=args.runtime_dir,
        )
    except PtoError as error:
        if current_session() is not None:  # the command line renders it
            raise
        print(error, file=sys.stderr)
        raise SystemExit(2) from None
    if not result.passed:
        print(result.error)
        raise SystemExit(1)
