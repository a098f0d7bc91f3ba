"""The command line of the decode compressors: build the inputs, run, compare."""

from collections.abc import Sequence
from functools import partial

import numpy as np
from command_line import add_start_pos, base_parser, run_script
from compressor_fixtures import RATIO4, RATIO128, CompressorStep, compressor_specs
from compressor_reference import golden_compressor
from config import DECODE_BATCH, DECODE_SEQ

from pto_sim.golden import ratio_allclose

COMPRESSORS = {4: RATIO4, 128: RATIO128}
OUTPUT_TOLERANCE = {
    "kv": ratio_allclose(atol=1e-4, rtol=1 / 128, max_error_ratio=0),
    "compress_state": ratio_allclose(atol=1e-3, rtol=1e-3, max_error_ratio=0),
    "cmp_kv_cache": ratio_allclose(atol=1e-4, rtol=1 / 128, max_error_ratio=0),
}


def main(kernel: object, *, ratio: int, argv: Sequence[str] | None = None) -> None:
    """Run `kernel` as the flags say. ratio: 4 or 128."""
    flags = base_parser()
    add_start_pos(flags, COMPRESSORS[ratio].positions - DECODE_SEQ)
    args = flags.parse_args(argv)
    starts = None if args.start_pos is None else np.full(DECODE_BATCH, args.start_pos)
    step = CompressorStep(COMPRESSORS[ratio], starts)
    run_script(kernel, compressor_specs(step), partial(golden_compressor, ratio=ratio), OUTPUT_TOLERANCE, args)
