"""Inputs of the prefill indexer and of its compressor: one run of a request.

Distributions of upstream's tests (pypto-lib 9f31b7eb, models/deepseek/v4/prefill_indexer*.py): activations and state as
in `prefill_compressor_fixtures`, weights and queries as in `indexer_fixtures`. The pages of the keys are not in order.
"""

from functools import lru_cache

import numpy as np
from compressor_fixtures import INDEXER, CompressorStep
from config import BLOCK_SIZE, FLASH
from draws import centred, uniform
from equations import BF16
from indexer_fixtures import hadamard_spec, query_weight_specs, weights_proj_spec
from prefill_compressor_fixtures import CMP_PAGES, TOKENS, PrefillRun
from quantization import quantize_rows
from rope_tables import rope_rows, rope_tables

from pto_sim.golden import ScalarSpec, TensorSpec

SCORE_CAP = CMP_PAGES * BLOCK_SIZE
COMPLETED = TOKENS // INDEXER.ratio  # rows that a run can complete, and that the kernel scores


def compressor_run(start_pos: int = 0, num_tokens: int = TOKENS) -> PrefillRun:
    """A run of the indexer's compressor."""
    return PrefillRun(INDEXER, start_pos, num_tokens, swapped_pages=True)


def indexer_run(start_pos: int = 0, num_tokens: int = TOKENS) -> PrefillRun:
    """A run of the indexer. Raises ValueError if a token sees more rows than the kernel scores."""
    seen = (start_pos + num_tokens) // INDEXER.ratio
    if seen > COMPLETED:
        raise ValueError(f"start_pos={start_pos} with {num_tokens} tokens needs {seen} compressed rows; the indexer of "
                         f"a run scores the first {COMPLETED}")  # fmt: skip
    return compressor_run(start_pos, num_tokens)


def activations(name: str) -> TensorSpec:
    shape = (TOKENS, FLASH.hidden_size)
    return TensorSpec(name, list(shape), BF16, lambda seed: centred(seed, name, shape, 0.1, BF16))


def key_specs(run: PrefillRun) -> list[TensorSpec]:
    """The indexer's cache and its page table."""
    table = run.cache_table
    return [run.cache_spec("idx_kv_cache", 0.05), TensorSpec("idx_block_table", [len(table)], np.int32, table)]


def position_specs(run: PrefillRun) -> list[TensorSpec | ScalarSpec]:
    """Positions of the tokens, and the rows to write."""
    return [
        TensorSpec("position_ids", [TOKENS], np.int32, run.positions),
        ScalarSpec("num_tokens", np.int32, run.num_tokens),
        *slot_specs(run),
    ]


def slot_specs(run: PrefillRun) -> list[TensorSpec]:
    """The rows of the cache and of the state to write."""
    return [
        TensorSpec("idx_slot_mapping", [TOKENS], np.int64, run.cache_slots),
        TensorSpec("inner_state_slot_mapping", [TOKENS], np.int64, run.state_slots),
    ]


def rotation_specs() -> list[TensorSpec]:
    """Rotations of every position."""
    cos, sin = rope_tables(FLASH, INDEXER.ratio)
    return [
        TensorSpec("freqs_cos", list(cos.shape), BF16, cos),
        TensorSpec("freqs_sin", list(sin.shape), BF16, sin),
    ]


def inner_specs(run: PrefillRun) -> list[TensorSpec]:
    """State, page table and weights of the indexer's compressor."""
    states = run.state_specs("inner_", "inner_compress_state_block_table")
    return [*states, *CompressorStep(INDEXER).weight_specs("inner_")]


def prefill_indexer_compressor_specs(run: PrefillRun) -> list[TensorSpec | ScalarSpec]:
    """Arguments of prefill_indexer_compressor_test, in order."""
    return [
        activations("x"),
        TensorSpec("kv", [COMPLETED, INDEXER.width], BF16, is_output=True),
        *run.state_specs(table_name="inner_compress_state_block_table"),
        *CompressorStep(INDEXER).weight_specs(),
        *rotation_specs(),
        hadamard_spec("hadamard"),
        *key_specs(run),
        *position_specs(run),
    ]


def prefill_indexer_specs(run: PrefillRun) -> list[TensorSpec | ScalarSpec]:
    """Arguments of prefill_indexer_test, in order."""
    rank, pairs = FLASH.q_lora_rank, FLASH.qk_rope_head_dim // 2
    cos, sin = (rows[:, :pairs].astype(np.float32) for rows in rope_rows(FLASH, INDEXER.ratio, run.positions))

    @lru_cache(maxsize=1)
    def query(seed: int) -> tuple[np.ndarray, np.ndarray]:
        return quantize_rows(uniform(seed, "qr", (TOKENS, rank), 0.0, 1.0))

    return [
        activations("x"),
        TensorSpec("qr", [TOKENS, rank], np.int8, lambda seed: query(seed)[0]),
        TensorSpec("qr_scale", [TOKENS, 1], np.float32, lambda seed: query(seed)[1][:, None]),
        *query_weight_specs(),
        weights_proj_spec(),
        TensorSpec("cos", list(cos.shape), np.float32, cos),
        TensorSpec("sin", list(sin.shape), np.float32, sin),
        *rotation_specs(),
        hadamard_spec("hadamard"),
        *inner_specs(run),
        *key_specs(run),
        TensorSpec("score", [TOKENS, SCORE_CAP], np.float32, is_output=True),
        TensorSpec("topk_idxs", [TOKENS, SCORE_CAP], np.int32, is_output=True),
        *position_specs(run),
    ]
