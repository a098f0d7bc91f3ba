"""Inputs of prefill sparse attention.

Distributions of upstream's standalone test (pypto-lib 9f31b7eb, models/deepseek/v4/prefill_sparse_attn.py): queries and
rows uniform in [-0.025, 0.025), projection weights uniform in [-0.5, 0.5) over the square root of their inner extent,
the second one quantised to INT8 for each output; sink 0; page tables in order.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from config import BLOCK_SIZE, FLASH, PREFILL_BATCH, PREFILL_SEQ
from draws import centred
from equations import BF16
from quantization import Halves, quantize_rows
from rope_tables import rope_rows

from pto_sim.golden import ScalarSpec, TensorSpec

TOKENS = PREFILL_BATCH * PREFILL_SEQ
WINDOW = FLASH.sliding_window
TOPK = WINDOW + FLASH.index_topk
MOST_COMPRESSED = max(1, min(FLASH.index_topk, WINDOW + WINDOW // 2))
RATIOS = (0, 4, 128)


def pages(rows: int) -> int:
    """Cache pages that hold `rows` rows."""
    return -(-rows // BLOCK_SIZE)


LISTED = min(TOPK, BLOCK_SIZE * pages(min(WINDOW, PREFILL_SEQ) + MOST_COMPRESSED))
ORI_PAGES, CMP_PAGES = pages(PREFILL_SEQ), pages(MOST_COMPRESSED)


def row_lists(positions: np.ndarray, num_tokens: int, ratio: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Index rows [tokens, TOPK] and their lengths [tokens], INT32.

    A token sees the last `WINDOW` positions, oldest first, each as its place in the ring, or as WINDOW + its number if
    it belongs to this run; after them, without a gap, the compressed rows whose window ends at or before it.
    """
    run = {int(position): t for t, position in enumerate(positions[:num_tokens])}
    lists = np.full((len(positions), TOPK), -1, np.int32)
    lengths = np.zeros(len(positions), np.int32)
    for t, position in enumerate(positions[:num_tokens].tolist()):
        seen = range(max(0, position - WINDOW + 1), position + 1)
        row = [WINDOW + run[p] if p in run else p % WINDOW for p in seen]
        closed = (position + 1) // ratio if ratio else 0
        count = min(closed, CMP_PAGES * BLOCK_SIZE, LISTED - len(row))
        row += range(WINDOW + len(positions), WINDOW + len(positions) + count)
        lists[t, : len(row)] = row
        lengths[t] = len(row)
    return lists, lengths


def uniform_weights(seed: int, name: str, shape: tuple[int, ...]) -> np.ndarray:
    """Uniform over the square root of the last extent, BF16."""
    return centred(seed, name, shape, shape[-1] ** -0.5, BF16)


def int8_weights(name: str, outputs: int, inner: int) -> Halves:
    """INT8 weights [outputs, inner] and their factors [outputs], from BF16 weights."""
    return Halves(lambda seed: quantize_rows(uniform_weights(seed, name, (outputs, inner))))


def projection_specs() -> list[TensorSpec]:
    """wo_a, wo_b and wo_b_scale."""
    groups, rank, hidden = FLASH.o_groups, FLASH.o_lora_rank, FLASH.hidden_size
    first = (groups, rank, FLASH.num_attention_heads * FLASH.head_dim // groups)
    second = int8_weights("wo_b", hidden, groups * rank)
    return [
        TensorSpec("wo_a", list(first), BF16, lambda seed: uniform_weights(seed, "wo_a", first)),
        TensorSpec("wo_b", [hidden, groups * rank], np.int8, second.values),
        TensorSpec("wo_b_scale", [hidden], np.float32, second.factors),
    ]


@dataclass(frozen=True)
class Fixture:
    """What to test. compress_ratio: 0, 4 or 128, decides rotation and compressed rows.

    start_pos: position of the first token; the window before it is in the ring. num_tokens: the others are padding.
    span: width of the interval of queries and rows. sink: logit of every head's sink. shuffled_pages: the page table
    of the compressed rows in another order. lengths: given lengths of the lists.
    """

    compress_ratio: int
    start_pos: int = 0
    num_tokens: int = TOKENS
    span: float = 0.05
    sink: float = 0.0
    shuffled_pages: bool = False
    lengths: Mapping[int, int] | None = None

    @property
    def positions(self) -> np.ndarray:
        return np.arange(self.start_pos, self.start_pos + TOKENS)

    def drawn(self, name: str, shape: tuple[int, ...]) -> TensorSpec:
        """Uniform around zero, as wide as `span`."""
        return TensorSpec(name, list(shape), BF16, lambda seed: centred(seed, name, shape, self.span, BF16))

    def cmp_table(self) -> np.ndarray:
        """Every page of the compressed rows once."""
        order = np.arange(CMP_PAGES, dtype=np.int32)
        return np.roll(order, 1) if self.shuffled_pages else order

    def lists(self) -> tuple[np.ndarray, np.ndarray]:
        rows, lengths = row_lists(self.positions, self.num_tokens, self.compress_ratio)
        for token, length in (self.lengths or {}).items():
            lengths[token] = length
        return rows, lengths


def tensor_specs(fixture: Fixture) -> list[TensorSpec | ScalarSpec]:
    """Arguments of prefill_sparse_attn_test, in order. Raises ValueError for a ratio that the model does not have."""
    if fixture.compress_ratio not in RATIOS:
        raise ValueError(f"compress_ratio={fixture.compress_ratio}; expected one of {RATIOS}")
    heads, width, rope = FLASH.num_attention_heads, FLASH.head_dim, FLASH.qk_rope_head_dim
    cos, sin = rope_rows(FLASH, fixture.compress_ratio, fixture.positions)
    rows, lengths = fixture.lists()
    return [
        fixture.drawn("q", (TOKENS, heads, width)),
        fixture.drawn("ori_kv", (ORI_PAGES, BLOCK_SIZE, 1, width)),
        TensorSpec("ori_block_table", [ORI_PAGES], np.int32, np.arange(ORI_PAGES, dtype=np.int32)),
        fixture.drawn("kv_overlay", (TOKENS, width)),
        fixture.drawn("cmp_kv", (CMP_PAGES, BLOCK_SIZE, 1, width)),
        TensorSpec("cmp_block_table", [CMP_PAGES], np.int32, fixture.cmp_table()),
        TensorSpec("cmp_sparse_indices", [TOKENS, TOPK], np.int32, rows),
        TensorSpec("cmp_sparse_lens", [TOKENS], np.int32, lengths),
        TensorSpec("attn_sink", [heads], np.float32, fixture.sink),
        ScalarSpec("num_tokens", np.int32, fixture.num_tokens),
        TensorSpec("freqs_cos", [TOKENS, rope], BF16, cos),
        TensorSpec("freqs_sin", [TOKENS, rope], BF16, sin),
        *projection_specs(),
        TensorSpec("attn_out", [TOKENS, FLASH.hidden_size], BF16, is_output=True),
    ]
