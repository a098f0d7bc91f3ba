"""Inputs of the prefill attention kernels: what all kinds share, each tensor under its parameter's name.

Distributions of upstream's tests (pypto-lib 9f31b7eb, models/deepseek/v4/prefill_attention_*.py): streams uniform in
[-1, 1), weights uniform in [-0.5, 0.5) over the square root of their inner extent, gates of trained layers, ring rows
of the positions before the run uniform in [-0.05, 0.05).
"""

from dataclasses import dataclass
from functools import partial

import numpy as np
from attention_fixtures import SWA, Kind
from config import BLOCK_SIZE, FLASH
from draws import centred, uniform
from equations import BF16
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
        x = uniform(seed, "x_hc", (TOKENS, FLASH.hc_mult, FLASH.hidden_size))
        x[self.num_tokens :] = 0
        return x

    def ring(self, seed: int) -> np.ndarray:
        """[pages, page, 1, head_dim]: the window before the run; what no position wrote is zero."""
        rows = np.zeros((ORI_PAGES * BLOCK_SIZE, FLASH.head_dim), np.float32)
        before = np.arange(max(0, self.start_pos - WINDOW), self.start_pos)
        rows[before % WINDOW] = centred(seed, "kv_cache", (len(before), FLASH.head_dim)) * np.float32(0.1)
        return rows.reshape(ORI_PAGES, BLOCK_SIZE, 1, FLASH.head_dim)


def weights(name: str, inner: int, outputs: int) -> TensorSpec:
    """Uniform BF16 weights [inner, outputs]."""
    factor = np.float32(inner**-0.5)
    return TensorSpec(name, [inner, outputs], BF16, lambda seed: centred(seed, name, (inner, outputs)) * factor)


def shared_specs(step: PrefillStep) -> dict[str, TensorSpec | ScalarSpec]:
    """The parameters that every prefill attention kernel has, by name, in order."""
    kind, config = step.kind, FLASH
    hidden, mult, rank = config.hidden_size, config.hc_mult, config.q_lora_rank
    heads, width = config.num_attention_heads, config.head_dim
    cos, sin = rope_tables(config, kind.compress_ratio)
    q_up = partial(int8_weights, name="wq_b", outputs=heads * width, inner=rank)
    found = [
        TensorSpec("x_hc", [TOKENS, mult, hidden], BF16, step.streams),
        TensorSpec(
            "hc_attn_fn", [config.mix_hc, config.hc_dim], np.float32, lambda seed: kind.gate.fn(seed, "hc_attn_fn")
        ),
        TensorSpec("hc_attn_scale", [3], np.float32, np.array(kind.gate.scale, np.float32)),
        TensorSpec("hc_attn_base", [config.mix_hc], np.float32, np.array(kind.gate.base, np.float32)),
        TensorSpec("attn_norm_w", [hidden], BF16, 1.0),
        weights("wq_a", hidden, rank),
        TensorSpec("wq_b", [rank, heads * width], np.int8, lambda seed: q_up(seed)[0].T),
        TensorSpec("wq_b_scale", [heads * width], np.float32, lambda seed: q_up(seed)[1]),
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


def swa_specs(start_pos: int, num_tokens: int) -> list[TensorSpec | ScalarSpec]:
    """Arguments of prefill_attention_swa_test, in order."""
    step = PrefillStep(SWA, start_pos, num_tokens)
    rows, lengths = row_lists(step.positions, step.num_tokens)
    specs = list(shared_specs(step).values())
    place = [spec.name for spec in specs].index("position_ids")
    lists = [
        TensorSpec("cmp_sparse_indices", [TOKENS, TOPK], np.int32, rows),
        TensorSpec("cmp_sparse_lens", [TOKENS], np.int32, lengths),
    ]
    return [*specs[:place], *lists, *specs[place:]]
