"""Seeded inputs for the decode sparse attention kernels.

Every tensor has its own random stream, derived from the seed and its name: changing one leaves the others as they
are. Distributions are those of upstream's standalone test: activations and caches uniform in [-0.5, 0.5), projection
weights the same divided by the square root of their inner extent, the second one quantised to INT8 for each output;
sink 0; block tables in order; every window row, then as many compressed rows as the ratio allows.
"""

from dataclasses import dataclass
from functools import partial

import numpy as np
from config import BLOCK_SIZE, DECODE_BATCH, DECODE_SEQ, FLASH, ModelConfig
from draws import centred, stream
from equations import BF16
from quantization import Halves, quantize_rows
from rope_tables import rope_rows

from pto_sim.golden import TensorSpec

RATIOS = (0, 4, 128)
SHORT_WINDOW_ROWS = 17


@dataclass(frozen=True)
class Fixture:
    """What to test. topk: width of an index row. compress_ratio: 0, 4 or 128, decides rotation and compressed rows.

    causal_regression: one query and one ring row are large, so that a token sees a row of the future at once.
    short_window: 17 window rows, everything else -1. mixed_topk: 17 window rows, -1, then the compressed rows.
    overlay_replacement: 17 rows of which the last is the batch's first running token; its row has one large column.
    sink: logit of every head's sink. shuffled_pages: block tables in a random order.
    """

    topk: int
    compress_ratio: int
    causal_regression: bool = False
    short_window: bool = False
    mixed_topk: bool = False
    overlay_replacement: bool = False
    sink: float = 0.0
    shuffled_pages: bool = False
    config: ModelConfig = FLASH
    batch: int = DECODE_BATCH
    step: int = DECODE_SEQ
    cmp_pages: int = 8

    @property
    def tokens(self) -> int:
        return self.batch * self.step

    @property
    def window(self) -> int:
        return self.config.sliding_window

    @property
    def compressed_rows(self) -> int:
        """Compressed rows that a token selects: all that the ratio gives and the index row can name."""
        available = {0: 0, 4: self.config.index_topk, 128: self.config.max_position_embeddings // 128}
        return min(available[self.compress_ratio], self.topk - self.window)


def queries(fixture: Fixture, seed: int) -> np.ndarray:
    """[tokens, heads, head_dim]"""
    q = centred(seed, "q", (fixture.tokens, fixture.config.num_attention_heads, fixture.config.head_dim), dtype=BF16)
    if fixture.causal_regression:
        q[0] = 1.0
    return q


def ring_rows(fixture: Fixture, seed: int) -> np.ndarray:
    """[batch, page, 1, head_dim]"""
    rows = centred(seed, "ori_kv", (fixture.batch, BLOCK_SIZE, 1, fixture.config.head_dim))
    if fixture.causal_regression:
        rows[block_table(fixture, seed, "ori_block_table", 1)[0, 0], fixture.window - 1] = 8.0
    return rows


def step_rows(fixture: Fixture, seed: int) -> np.ndarray:
    """[tokens, head_dim]"""
    if not fixture.overlay_replacement:
        return centred(seed, "mtp_kv_overlay", (fixture.tokens, fixture.config.head_dim))
    rows = np.zeros((fixture.tokens, fixture.config.head_dim), np.float32)
    rows[:, 0] = 4.0
    return rows


def compressed_rows(fixture: Fixture, seed: int) -> np.ndarray:
    """[pages of all batches, page, 1, head_dim]"""
    return centred(
        seed, "cmp_kv", (fixture.batch * fixture.cmp_pages, BLOCK_SIZE, 1, fixture.config.head_dim), dtype=BF16
    )


def block_table(fixture: Fixture, seed: int, name: str, pages: int) -> np.ndarray:
    """[batch, pages] INT32: every page of the cache once."""
    order = np.arange(fixture.batch * pages, dtype=np.int32)
    if fixture.shuffled_pages:
        order = stream(seed, name).permutation(order)
    return order.reshape(fixture.batch, pages)


def index_rows(fixture: Fixture) -> np.ndarray:
    """[tokens, topk] INT32, the same row for every token."""
    window, row = fixture.window, np.full(fixture.topk, -1, np.int32)
    short = fixture.short_window or fixture.mixed_topk or fixture.overlay_replacement
    visible = SHORT_WINDOW_ROWS if short else window
    row[:visible] = np.arange(visible)
    if fixture.mixed_topk or not short:
        count = fixture.compressed_rows
        row[window : window + count] = np.arange(count) + window + fixture.step
    if fixture.overlay_replacement:
        row[SHORT_WINDOW_ROWS - 1] = window
    return np.repeat(row[None], fixture.tokens, axis=0)


def first_projection(fixture: Fixture, seed: int) -> np.ndarray:
    """[groups, rank, inner]"""
    config = fixture.config
    inner = config.num_attention_heads // config.o_groups * config.head_dim
    return centred(seed, "wo_a", (config.o_groups, config.o_lora_rank, inner), inner**-0.5, BF16)


def second_projection(fixture: Fixture, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """[hidden, groups * rank] INT8 and the factors [hidden] FP32. Quantised from BF16 weights."""
    config = fixture.config
    inner = config.o_groups * config.o_lora_rank
    return quantize_rows(centred(seed, "wo_b", (config.hidden_size, inner), inner**-0.5, BF16))


def tensor_specs(fixture: Fixture) -> list[TensorSpec]:
    """The kernel's arguments in parameter order. Raises ValueError for a ratio that the model does not have."""
    if fixture.compress_ratio not in RATIOS:
        raise ValueError(f"compress_ratio={fixture.compress_ratio}; expected one of {RATIOS}")
    config, tokens = fixture.config, fixture.tokens
    heads, width, rope = config.num_attention_heads, config.head_dim, config.qk_rope_head_dim
    rank = config.o_groups * config.o_lora_rank
    group_width = heads // config.o_groups * width
    cos, sin = rope_rows(config, fixture.compress_ratio, np.arange(tokens))
    projection = Halves(partial(second_projection, fixture))
    tables = {name: partial(block_table, fixture, name=name) for name in ("ori_block_table", "cmp_block_table")}

    def of(function):  # a fixture function of the seed alone
        return partial(function, fixture)

    return [
        TensorSpec("q", [tokens, heads, width], BF16, of(queries)),
        TensorSpec("ori_kv", [fixture.batch, BLOCK_SIZE, 1, width], BF16, of(ring_rows)),
        TensorSpec("ori_block_table", [fixture.batch, 1], np.int32, partial(tables["ori_block_table"], pages=1)),
        TensorSpec("mtp_kv_overlay", [tokens, width], BF16, of(step_rows)),
        TensorSpec("cmp_kv", [fixture.batch * fixture.cmp_pages, BLOCK_SIZE, 1, width], BF16, of(compressed_rows)),
        TensorSpec(
            "cmp_block_table",
            [fixture.batch, fixture.cmp_pages],
            np.int32,
            partial(tables["cmp_block_table"], pages=fixture.cmp_pages),
        ),
        TensorSpec("cmp_sparse_indices", [tokens, fixture.topk], np.int32, index_rows(fixture)),
        TensorSpec("attn_sink", [heads], np.float32, fixture.sink),
        TensorSpec("freqs_cos", [tokens, rope], BF16, cos),
        TensorSpec("freqs_sin", [tokens, rope], BF16, sin),
        TensorSpec("wo_a", [config.o_groups, config.o_lora_rank, group_width], BF16, of(first_projection)),
        TensorSpec("wo_b", [config.hidden_size, rank], np.int8, projection.values),
        TensorSpec("wo_b_scale", [config.hidden_size], np.float32, projection.factors),
        TensorSpec("attn_out", [tokens, config.hidden_size], BF16, is_output=True),
    ]
