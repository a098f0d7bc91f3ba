"""Inputs of the decode indexer and of its compressor.

Standard deviations are those of trained layers (pypto-lib 9f31b7eb, models/deepseek/v4/decode_indexer*.py); start
positions are those of the compressor, and two with exactly one and two tiles of keys.
"""

import numpy as np
from compressor_fixtures import INDEXER, CompressorStep
from config import BLOCK_SIZE, DECODE_BATCH, FLASH
from draws import normal, uniform
from equations import BF16
from fp8_weights import fp8_weights
from quantization import Halves, quantize_rows
from rope_tables import rope_rows

from pto_sim.golden import ScalarSpec, TensorSpec

SCORE_LEN = FLASH.max_position_embeddings // INDEXER.ratio
INDEXER_STARTS = (*INDEXER.starts, 126, 254)
WQ_B_STD, WQ_B_SPREAD = 0.108, 0.56
WEIGHTS_STD = 0.2313


def hadamard() -> np.ndarray:
    """Sylvester's matrix divided by the root of its size, [head, head] FP32."""
    matrix = np.ones((1, 1), np.float32)
    while len(matrix) < FLASH.index_head_dim:
        matrix = np.block([[matrix, matrix], [matrix, -matrix]])
    return matrix / np.float32(np.sqrt(len(matrix)))


def hadamard_spec(name: str) -> TensorSpec:
    width = FLASH.index_head_dim
    return TensorSpec(name, [width, width], BF16, hadamard())


def step_of(start_pos: int | None, starts: tuple[int, ...], batch: int = DECODE_BATCH) -> CompressorStep:
    """One decode step: every batch at start_pos, or at `starts` in turn."""
    chosen = np.resize(np.array(starts), batch) if start_pos is None else np.full(batch, start_pos)
    return CompressorStep(INDEXER, chosen, batch)


def indexer_compressor_specs(start_pos: int | None = None) -> list[TensorSpec]:
    """Arguments of decode_indexer_compressor's compressor_test, in order."""
    step = step_of(start_pos, INDEXER.starts)
    x, cache = (
        (step.batch, step.step, FLASH.hidden_size),
        (step.batch * INDEXER.cache_pages, BLOCK_SIZE, 1, INDEXER.width),
    )
    cos, sin = step.rotation
    return [
        TensorSpec("x", list(x), BF16, lambda seed: uniform(seed, "x", x, 0.0, 1.0, BF16)),
        TensorSpec("kv", [step.batch, step.step, INDEXER.width], np.float32, is_output=True),
        step.state_spec("compress_state"),
        TensorSpec("compress_state_block_table", list(step.state_table.shape), np.int32, step.state_table),
        *step.weight_specs(),
        TensorSpec("cos", list(cos.shape), np.float32, cos),
        TensorSpec("sin", list(sin.shape), np.float32, sin),
        hadamard_spec("hadamard"),
        TensorSpec("idx_kv_cache", list(cache), BF16, 0.0, is_output=True),
        *slot_specs(step),
    ]


def slot_specs(step: CompressorStep) -> list[TensorSpec]:
    """Positions of the tokens, and the rows to write."""
    tokens = [step.batch, step.step]
    return [
        TensorSpec("position_ids", tokens, np.int32, step.positions),
        TensorSpec("idx_slot_mapping", tokens, np.int64, step.cache_slots),
        TensorSpec("inner_state_slot_mapping", tokens, np.int64, step.state_slots),
    ]


def inner_specs(step: CompressorStep) -> list[TensorSpec]:
    """State, page table and weights of the inner compressor."""
    return [
        step.state_spec("inner_compress_state"),
        TensorSpec("inner_compress_state_block_table", list(step.state_table.shape), np.int32, step.state_table),
        *step.weight_specs("inner_"),
    ]


def query_weight_specs(prefix: str = "") -> list[TensorSpec]:
    """wq_b and wq_b_scale, their names after `prefix`."""
    outputs, rank = FLASH.index_n_heads * FLASH.index_head_dim, FLASH.q_lora_rank
    name = f"{prefix}wq_b"
    made = Halves(lambda seed: fp8_weights(seed, name, (outputs, rank), WQ_B_STD, WQ_B_SPREAD))

    return [
        TensorSpec(name, [rank, outputs], np.int8, lambda seed: made.values(seed).T),
        TensorSpec(f"{name}_scale", [outputs], np.float32, made.factors),
    ]


def weights_proj_spec(name: str = "weights_proj") -> TensorSpec:
    shape = (FLASH.hidden_size, FLASH.index_n_heads)
    return TensorSpec(name, list(shape), BF16, lambda seed: normal(seed, name, shape, WEIGHTS_STD, dtype=BF16))


def indexer_specs(start_pos: int | None = None) -> list[TensorSpec | ScalarSpec]:
    """Arguments of indexer_test, in order."""
    step = step_of(start_pos, INDEXER_STARTS)
    tokens, rank = step.batch * step.step, FLASH.q_lora_rank
    x, cache = (
        (step.batch, step.step, FLASH.hidden_size),
        (step.batch * INDEXER.cache_pages, BLOCK_SIZE, 1, INDEXER.width),
    )
    cos, sin = first_token_rotation(step)
    scores = [step.batch, step.step, SCORE_LEN]
    query = Halves(lambda seed: quantize_rows(uniform(seed, "qr", (tokens, rank), 0.0, 1.0)))

    return [
        TensorSpec("x", list(x), BF16, lambda seed: uniform(seed, "x", x, 0.0, 1.0, BF16)),
        TensorSpec("qr", [tokens, rank], np.int8, query.values),
        TensorSpec("qr_scale", [tokens, 1], np.float32, lambda seed: query.factors(seed)[:, None]),
        *query_weight_specs(),
        weights_proj_spec(),
        TensorSpec("cos", list(cos.shape), np.float32, cos),
        TensorSpec("sin", list(sin.shape), np.float32, sin),
        hadamard_spec("hadamard"),
        TensorSpec("inner_kv", [step.batch, step.step, INDEXER.width], np.float32, 0.0, is_output=True),
        *inner_specs(step),
        TensorSpec("idx_kv_cache", list(cache), BF16, lambda seed: uniform(seed, "idx_kv_cache", cache, 0.0, 1.0, BF16),
                   is_output=True),
        TensorSpec("idx_block_table", list(step.cache_table.shape), np.int32, step.cache_table),
        TensorSpec("score", scores, np.float32, is_output=True),
        TensorSpec("topk_idxs", scores, np.int32, is_output=True),
        *slot_specs(step),
        TensorSpec("kv_seq_lens", [step.batch], np.int32, step.positions[:, -1] + 1),
        ScalarSpec("offset", np.int32, FLASH.sliding_window),
    ]  # fmt: skip


def first_token_rotation(step: CompressorStep) -> tuple[np.ndarray, np.ndarray]:
    """cos and sin at each batch's first token, [batch, pairs] FP32. The indexer turns queries and keys of a step by
    these; its compressor alone turns a key at its window's start."""
    cos, sin = rope_rows(FLASH, INDEXER.ratio, step.positions[:, 0])
    pairs = FLASH.qk_rope_head_dim // 2
    return cos[:, :pairs].astype(np.float32), sin[:, :pairs].astype(np.float32)
