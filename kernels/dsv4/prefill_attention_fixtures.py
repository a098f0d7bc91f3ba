"""Inputs of the prefill attention kernels: what all kinds share, each tensor under its parameter's name.

Distributions of upstream's tests (pypto-lib 9f31b7eb, models/deepseek/v4/prefill_attention_*.py): streams uniform in
[-1, 1), weights uniform in [-0.5, 0.5) over the square root of their inner extent, gates of trained layers, ring rows
of the positions before the run uniform in [-0.05, 0.05).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from attention_fixtures import CSA, HCA, SWA, Kind
from compressor_fixtures import RATIO4, RATIO128, Compressor, CompressorStep
from config import BLOCK_SIZE, FLASH
from draws import centred, uniform
from equations import BF16
from indexer_fixtures import hadamard_spec, query_weight_specs, weights_proj_spec
from prefill_compressor_fixtures import CMP_PAGES, PrefillRun
from prefill_indexer_fixtures import indexer_run, inner_specs, key_specs, slot_specs
from prefill_sparse_attn_fixtures import ORI_PAGES, TOKENS, TOPK, WINDOW, int8_weights, projection_specs, row_lists
from rope_tables import rope_tables

from pto_sim.golden import ScalarSpec, TensorSpec


@dataclass(frozen=True)
class PrefillStep:
    """One run of a request. start_pos: position of the first token. num_tokens: the tokens behind them are padding.

    Raises ValueError for a number of tokens or a position that does not exist.
    """

    kind: Kind
    start_pos: int = 0
    num_tokens: int = TOKENS

    def __post_init__(self) -> None:
        if not 0 < self.num_tokens <= TOKENS:
            raise ValueError(f"num_tokens={self.num_tokens}; expected 1 to {TOKENS}")
        if not 0 <= self.start_pos <= FLASH.max_position_embeddings - self.num_tokens:
            raise ValueError(f"start_pos={self.start_pos}; expected 0 to "
                             f"{FLASH.max_position_embeddings - self.num_tokens}")  # fmt: skip

    @property
    def positions(self) -> np.ndarray:
        """Of every token, [tokens] INT32; padding counts from 0."""
        tokens = np.arange(TOKENS, dtype=np.int32)
        return np.where(tokens < self.num_tokens, tokens + self.start_pos, tokens)

    @property
    def ring_slots(self) -> np.ndarray:
        """The row of the ring that each token is written to, [tokens] INT64; -1 for padding."""
        return np.where(np.arange(TOKENS) < self.num_tokens, self.positions.astype(np.int64) % WINDOW, -1)

    def streams(self, seed: int) -> np.ndarray:
        """[tokens, streams, hidden]; padding is zero."""
        x = uniform(seed, "x_hc", (TOKENS, FLASH.hc_mult, FLASH.hidden_size), dtype=BF16)
        x[self.num_tokens :] = 0
        return x

    def ring(self, seed: int) -> np.ndarray:
        """[pages, page, 1, head_dim]: the window before the run; what no position wrote is zero."""
        rows = np.zeros((ORI_PAGES * BLOCK_SIZE, FLASH.head_dim), np.float32)
        before = np.arange(max(0, self.start_pos - WINDOW), self.start_pos)
        rows[before % WINDOW] = centred(seed, "kv_cache", (len(before), FLASH.head_dim)) * np.float32(0.1)
        return rows.reshape(ORI_PAGES, BLOCK_SIZE, 1, FLASH.head_dim)

    def compression(self, compressor: Compressor) -> dict[str, TensorSpec]:
        """What the main compressor adds, by name; its state and cache are written."""
        run = PrefillRun(compressor, self.start_pos, self.num_tokens, swapped_pages=True)
        found = [
            *CompressorStep(compressor).weight_specs("cmp_"),
            *run.state_specs("cmp_"),
            run.cache_spec("cmp_kv", 0.1),
            TensorSpec("cmp_block_table", [CMP_PAGES], np.int32, run.cache_table),
            TensorSpec("cmp_slot_mapping", [TOKENS], np.int64, run.cache_slots),
            TensorSpec("state_slot_mapping", [TOKENS], np.int64, run.state_slots),
            TensorSpec("ori_block_table", [ORI_PAGES], np.int32, np.arange(ORI_PAGES, dtype=np.int32)),
        ]
        return {spec.name: spec for spec in found}

    def indexing(self) -> dict[str, TensorSpec]:
        """What the indexer adds, by name; its state and cache are written."""
        run = indexer_run(self.start_pos, self.num_tokens)
        found = [
            hadamard_spec("hadamard_idx"),
            *query_weight_specs("idx_"),
            weights_proj_spec("idx_weights_proj"),
            *inner_specs(run),
            *key_specs(run),
            *slot_specs(run),
        ]
        return {spec.name: spec for spec in found}

    def list_specs(self) -> dict[str, TensorSpec]:
        """The rows that each token attends to, by name."""
        rows, lengths = row_lists(self.positions, self.num_tokens, self.kind.compress_ratio)
        found = [
            TensorSpec("cmp_sparse_indices", [TOKENS, TOPK], np.int32, rows),
            TensorSpec("cmp_sparse_lens", [TOKENS], np.int32, lengths),
        ]
        return {spec.name: spec for spec in found}


def weights(name: str, inner: int, outputs: int) -> TensorSpec:
    """Uniform BF16 weights [inner, outputs]."""
    shape = (inner, outputs)
    return TensorSpec(name, list(shape), BF16, lambda seed: centred(seed, name, shape, inner**-0.5, BF16))


def shared_specs(step: PrefillStep) -> dict[str, TensorSpec | ScalarSpec]:
    """The parameters that every prefill attention kernel has, by name, in order."""
    kind, config = step.kind, FLASH
    hidden, mult, rank = config.hidden_size, config.hc_mult, config.q_lora_rank
    heads, width = config.num_attention_heads, config.head_dim
    cos, sin = rope_tables(config, kind.compress_ratio)
    q_up = int8_weights("wq_b", heads * width, rank)
    found = [
        TensorSpec("x_hc", [TOKENS, mult, hidden], BF16, step.streams),
        TensorSpec(
            "hc_attn_fn", [config.mix_hc, config.hc_dim], np.float32, lambda seed: kind.gate.fn(seed, "hc_attn_fn")
        ),
        TensorSpec("hc_attn_scale", [3], np.float32, np.array(kind.gate.scale, np.float32)),
        TensorSpec("hc_attn_base", [config.mix_hc], np.float32, np.array(kind.gate.base, np.float32)),
        TensorSpec("attn_norm_w", [hidden], BF16, 1.0),
        weights("wq_a", hidden, rank),
        TensorSpec("wq_b", [rank, heads * width], np.int8, lambda seed: q_up.values(seed).T),
        TensorSpec("wq_b_scale", [heads * width], np.float32, q_up.factors),
        weights("wkv", hidden, width),
        TensorSpec("gamma_cq", [rank], BF16, 1.0),
        TensorSpec("gamma_ckv", [width], BF16, 1.0),
        TensorSpec("freqs_cos", list(cos.shape), BF16, cos),
        TensorSpec("freqs_sin", list(sin.shape), BF16, sin),
        TensorSpec("kv_cache", [ORI_PAGES, BLOCK_SIZE, 1, width], BF16, step.ring, is_output=True),
        TensorSpec("block_table", [ORI_PAGES], np.int32, np.arange(ORI_PAGES, dtype=np.int32)),
        TensorSpec("ori_slot_mapping", [TOKENS], np.int64, step.ring_slots),
        TensorSpec("position_ids", [TOKENS], np.int32, step.positions),
        TensorSpec("attn_sink", [heads], np.float32, kind.sink),
        *projection_specs(),
        TensorSpec("x_out", [TOKENS, mult, hidden], BF16, is_output=True),
        ScalarSpec("num_tokens", np.int32, step.num_tokens),
    ]
    return {spec.name: spec for spec in found}


def arranged(specs: Mapping[str, TensorSpec | ScalarSpec], middle: Sequence[str]) -> list[TensorSpec | ScalarSpec]:
    """Specs in parameter order: those up to the rotations, `middle`, those from the sink on."""
    names = list(specs)
    before, after = names[: names.index("kv_cache")], names[names.index("attn_sink") : names.index("num_tokens") + 1]
    return [specs[name] for name in (*before, *middle, *after)]


def swa_specs(start_pos: int, num_tokens: int) -> list[TensorSpec | ScalarSpec]:
    """Arguments of prefill_attention_swa_test, in order."""
    step = PrefillStep(SWA, start_pos, num_tokens)
    return arranged(shared_specs(step) | step.list_specs(), SWA_ORDER)


SWA_ORDER = (
    "kv_cache", "block_table", "ori_slot_mapping", "cmp_sparse_indices", "cmp_sparse_lens", "position_ids",
)  # fmt: skip


def hca_specs(start_pos: int, num_tokens: int) -> list[TensorSpec | ScalarSpec]:
    """Arguments of prefill_attention_hca_test, in order."""
    step = PrefillStep(HCA, start_pos, num_tokens)
    return arranged(shared_specs(step) | step.compression(RATIO128) | step.list_specs(), HCA_ORDER)


HCA_ORDER = (
    "cmp_wkv", "cmp_wgate", "cmp_ape", "cmp_norm_w", "cmp_kv_state", "cmp_score_state", "compress_state_block_table",
    "kv_cache", "ori_slot_mapping", "ori_block_table", "cmp_kv", "cmp_block_table", "cmp_sparse_indices",
    "cmp_sparse_lens", "position_ids", "cmp_slot_mapping", "state_slot_mapping",
)  # fmt: skip


def csa_specs(start_pos: int, num_tokens: int) -> list[TensorSpec | ScalarSpec]:
    """Arguments of prefill_attention_csa_test, in order."""
    step = PrefillStep(replace(CSA, sink=0.0), start_pos, num_tokens)
    return arranged(shared_specs(step) | step.compression(RATIO4) | step.indexing(), CSA_ORDER)


CSA_ORDER = (
    "cmp_wkv", "cmp_wgate", "cmp_ape", "cmp_norm_w", "cmp_kv_state", "cmp_score_state", "compress_state_block_table",
    "hadamard_idx", "idx_wq_b", "idx_wq_b_scale", "idx_weights_proj", "inner_wkv", "inner_wgate", "inner_ape",
    "inner_norm_w", "inner_kv_state", "inner_score_state", "inner_compress_state_block_table", "kv_cache",
    "ori_block_table", "ori_slot_mapping", "cmp_kv", "cmp_block_table", "idx_kv_cache", "idx_block_table",
    "position_ids", "cmp_slot_mapping", "idx_slot_mapping", "state_slot_mapping", "inner_state_slot_mapping",
)  # fmt: skip
