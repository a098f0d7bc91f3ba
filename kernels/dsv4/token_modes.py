"""Scripts of kernels for any number of tokens: they run at decode size, at prefill size, or at both."""

import argparse
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from command_line import base_parser, run_script
from config import DECODE_BATCH, DECODE_SEQ, PREFILL_BATCH, PREFILL_SEQ

from pto_sim.golden import TensorSpec

MODES = {"decode": DECODE_BATCH * DECODE_SEQ, "prefill": PREFILL_BATCH * PREFILL_SEQ}


def parser() -> argparse.ArgumentParser:
    """The common flags and --mode."""
    flags = base_parser()
    flags.add_argument("--mode", choices=[*MODES, "all"], default="all", help="how many tokens")
    return flags


def run_modes(
    kernel: object,
    specs: Callable[[int], list[TensorSpec]],
    golden: Callable[[dict[str, Any]], None],
    tolerance: Mapping[str, Any],
    argv: Sequence[str] | None,
) -> None:
    """Run `kernel` for each mode that the flags name. specs: of a number of tokens. Exits as `run_script`."""
    args = parser().parse_args(argv)
    for mode in MODES if args.mode == "all" else [args.mode]:
        print(f"{mode}: {MODES[mode]} tokens", flush=True)
        run_script(kernel, specs(MODES[mode]), golden, tolerance, args)
