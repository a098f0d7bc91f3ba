"""The command lines of the decode indexer and of its compressor: build the inputs, run, compare."""

from argparse import ArgumentParser
from collections.abc import Sequence
from typing import Any

from command_line import add_start_pos, base_parser, run_script
from config import DECODE_SEQ, FLASH
from indexer_fixtures import INDEXER, indexer_compressor_specs, indexer_specs, step_of
from indexer_reference import golden_indexer, golden_indexer_compressor
from row_list_compare import rows_by_score

from pto_sim.golden import ratio_allclose


def cache_tolerance(batch: int) -> Any:
    """Four elements may lie on the other side of a BF16 rounding."""
    elements = step_of(0, (0,), batch).cache_table.size * 128 * INDEXER.width
    return ratio_allclose(atol=1e-4, rtol=1 / 128, max_error_ratio=4 / elements)


def tolerances(batch: int) -> tuple[dict[str, Any], dict[str, Any]]:
    """Comparers of the compressor's and of the indexer's outputs."""
    row = ratio_allclose(atol=1e-4, rtol=1 / 128, max_error_ratio=0)
    state = ratio_allclose(atol=1e-3, rtol=1e-3, max_error_ratio=0)
    cache = cache_tolerance(batch)
    return (
        {"kv": row, "compress_state": state, "idx_kv_cache": cache},
        {
            "inner_kv": row,
            "inner_compress_state": state,
            "idx_kv_cache": cache,
            "score": ratio_allclose(atol=1e-4, rtol=1 / 128),
            "topk_idxs": rows_by_score(FLASH.sliding_window),
        },
    )


def flags() -> ArgumentParser:
    made = base_parser()
    add_start_pos(made, INDEXER.positions - DECODE_SEQ)
    return made


def compressor_main(kernel: object, argv: Sequence[str] | None = None) -> None:
    """Run the compressor as the flags say."""
    args = flags().parse_args(argv)
    specs = indexer_compressor_specs(args.start_pos)
    run_script(kernel, specs, golden_indexer_compressor, tolerances(specs[0].shape[0])[0], args)


def indexer_main(kernel: object, argv: Sequence[str] | None = None) -> None:
    """Run the indexer as the flags say."""
    args = flags().parse_args(argv)
    specs = indexer_specs(args.start_pos)
    run_script(kernel, specs, golden_indexer, tolerances(specs[0].shape[0])[1], args)
