"""The command lines of the prefill indexer and of its compressor: build the inputs, run, compare."""

from argparse import ArgumentParser
from collections.abc import Sequence

from command_line import base_parser, run_script
from compressor_fixtures import INDEXER
from config import FLASH
from prefill_indexer_fixtures import (
    COMPLETED,
    SCORE_CAP,
    TOKENS,
    compressor_run,
    indexer_run,
    prefill_indexer_compressor_specs,
    prefill_indexer_specs,
)
from prefill_indexer_reference import golden_prefill_indexer, golden_prefill_indexer_compressor
from row_list_compare import rows_by_score

from pto_sim.golden import ratio_allclose

# Sixteen elements may lie on the other side of a BF16 rounding.
KEYS = ratio_allclose(atol=1e-4, rtol=1 / 128, max_error_ratio=16 / (SCORE_CAP * INDEXER.width))
STATE = ratio_allclose(atol=1e-3, rtol=1e-3, max_error_ratio=0)
COMPRESSOR_TOLERANCE = {
    "kv": ratio_allclose(atol=1e-4, rtol=1 / 128, max_error_ratio=16 / (COMPLETED * INDEXER.width)),
    "kv_state": STATE,
    "score_state": STATE,
    "idx_kv_cache": KEYS,
}
INDEXER_TOLERANCE = {
    "inner_kv_state": STATE,
    "inner_score_state": STATE,
    "idx_kv_cache": KEYS,
    "score": ratio_allclose(atol=1e-4, rtol=1 / 128),
    "topk_idxs": rows_by_score(FLASH.sliding_window + TOKENS),
}


def flags() -> ArgumentParser:
    made = base_parser()
    made.add_argument("--start-pos", type=int, default=0, help="position of the first token")
    return made


def compressor_main(kernel: object, argv: Sequence[str] | None = None) -> None:
    """Run the compressor as the flags say."""
    args = flags().parse_args(argv)
    specs = prefill_indexer_compressor_specs(compressor_run(args.start_pos))
    run_script(kernel, specs, golden_prefill_indexer_compressor, COMPRESSOR_TOLERANCE, args)


def indexer_main(kernel: object, argv: Sequence[str] | None = None) -> None:
    """Run the indexer as the flags say."""
    args = flags().parse_args(argv)
    specs = prefill_indexer_specs(indexer_run(args.start_pos))
    run_script(kernel, specs, golden_prefill_indexer, INDEXER_TOLERANCE, args)
