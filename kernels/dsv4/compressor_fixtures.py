"""Inputs of the decode compressors.

Standard deviations are those of trained layers (pypto-lib 9f31b7eb, models/deepseek/v4/decode_compressor_*.py); start
positions cover windows that stay open, close on the first or the second token, and cross a page of the state.
"""

from dataclasses import dataclass

import numpy as np
from config import (
    BLOCK_SIZE,
    C4A_COMPRESSOR_BLOCK_SIZE,
    C128_COMPRESSOR_BLOCK_SIZE,
    DECODE_BATCH,
    DECODE_SEQ,
    FLASH,
    FP32_NEG_INF,
)
from draws import normal, normal_rows, uniform
from equations import BF16
from rope_tables import rope_rows

from pto_sim.golden import TensorSpec

CMP_PAGES = 8  # of one batch
HISTORY_STD = 0.05


@dataclass(frozen=True)
class Compressor:
    """One compressor. width: columns of a compressed row. overlap: the window before takes part. page, pages: of the
    state, rows and number for each batch. std: of wkv, wgate, ape. gamma: mean and deviation of norm_w. empty_score:
    score of a state row that was never written. swapped: two pages of each table that change places, so that
    a kernel that ignores the table is found out. cache_pages: of the compressed cache, for each batch."""

    ratio: int
    width: int
    overlap: bool
    page: int
    pages: int
    std: tuple[float, float, float]
    gamma: tuple[float, float]
    empty_score: float
    starts: tuple[int, ...]
    swapped: tuple[int, int] | None = None
    cache_pages: int = CMP_PAGES

    @property
    def columns(self) -> int:
        """Columns of the projection."""
        return self.width * (2 if self.overlap else 1)

    @property
    def positions(self) -> int:
        """Positions that a batch's pages of the state can hold."""
        return self.page * self.pages


RATIO4 = Compressor(
    4, FLASH.head_dim, True, C4A_COMPRESSOR_BLOCK_SIZE, 65, (0.0245, 0.0388, 0.1243), (0.9666, 0.1929), FP32_NEG_INF,
    (0, 1, 2, 3, 6, 7, 127),
)  # fmt: skip
RATIO128 = Compressor(
    128, FLASH.head_dim, False, C128_COMPRESSOR_BLOCK_SIZE, 64, (0.0246, 0.0316, 0.0340), (0.1001, 0.0549), 0.0,
    (7, 10, 126, 127, 254, 255), swapped=(0, 31),
)  # fmt: skip
INDEXER = Compressor(
    4, FLASH.index_head_dim, True, C4A_COMPRESSOR_BLOCK_SIZE, 65, (0.0293, 0.0512, 0.1528), (0.6850, 0.2610),
    FP32_NEG_INF, (0, 1, 2, 3, 6, 7, 127), cache_pages=64,
)  # fmt: skip


@dataclass(frozen=True)
class CompressorStep:
    """A compressor in one decode step. starts: position of each batch's first token; None takes the compressor's."""

    compressor: Compressor
    starts: np.ndarray | None = None
    batch: int = DECODE_BATCH
    step: int = DECODE_SEQ
    prefix: str = ""

    @property
    def positions(self) -> np.ndarray:
        """[batch, step] INT32"""
        starts = np.resize(np.array(self.compressor.starts), self.batch) if self.starts is None else self.starts
        return (starts[:, None] + np.arange(self.step)).astype(np.int32)

    def table(self, pages: int, swapped: tuple[int, int] | None) -> np.ndarray:
        """A block table with every page once, [batch, pages] INT32."""
        table = np.arange(self.batch * pages, dtype=np.int32).reshape(self.batch, pages)
        if swapped is not None:
            table[:, swapped] = table[:, swapped[::-1]]
        return table

    @property
    def state_table(self) -> np.ndarray:
        return self.table(self.compressor.pages, self.compressor.swapped)

    @property
    def cache_table(self) -> np.ndarray:
        return self.table(self.compressor.cache_pages, (0, 1) if self.compressor.swapped else None)

    def slots(self, table: np.ndarray, page: int, index: np.ndarray) -> np.ndarray:
        """Rows of the paged tensor at which `index` [batch, step] is found, INT64."""
        batches = np.arange(self.batch)[:, None]
        return table[batches, index // page].astype(np.int64) * page + index % page

    @property
    def state_slots(self) -> np.ndarray:
        return self.slots(self.state_table, self.compressor.page, self.positions)

    @property
    def cache_slots(self) -> np.ndarray:
        """-1 for a token that completes no window."""
        ratio = self.compressor.ratio
        slots = self.slots(self.cache_table, BLOCK_SIZE, self.positions // ratio)
        return np.where((self.positions + 1) % ratio == 0, slots, -1)

    @property
    def rotation(self) -> tuple[np.ndarray, np.ndarray]:
        """cos and sin at the window of each batch's first token, [batch, pairs] FP32."""
        first = self.positions[:, 0]
        cos, sin = rope_rows(FLASH, self.compressor.ratio, first - first % self.compressor.ratio)
        pairs = FLASH.qk_rope_head_dim // 2
        return cos[:, :pairs].astype(np.float32), sin[:, :pairs].astype(np.float32)

    def state(self) -> np.ndarray:
        """A state that was never written: values 0, scores `empty_score`."""
        c = self.compressor
        empty = np.zeros((self.batch * c.pages, c.page, 2 * c.columns), np.float32)
        empty[..., c.columns :] = c.empty_score
        return empty

    def state_with_history(self, seed: int, name: str) -> np.ndarray:
        """A state that holds small values at every position before this step, and none after it."""
        state = self.state()
        held = np.zeros(state.shape[:2], bool)
        for batch, start in enumerate(self.positions[:, 0]):
            before = np.arange(start)
            held[self.state_table[batch, before // self.compressor.page], before % self.compressor.page] = True
        rows, chosen = state.reshape(-1, state.shape[2]), held.reshape(-1)
        for part, drawn in normal_rows(seed, name, state.shape, HISTORY_STD):
            rows[part][chosen[part]] = drawn[chosen[part]]
        return state

    def state_spec(self, name: str) -> TensorSpec:
        """A state with rows of every position before this step."""
        c = self.compressor
        shape = [self.batch * c.pages, c.page, 2 * c.columns]
        return TensorSpec(name, shape, np.float32, lambda seed: self.state_with_history(seed, name), is_output=True)

    def weight_specs(self, prefix: str = "") -> list[TensorSpec]:
        """wkv, wgate, ape and norm_w, their names after `prefix`."""
        c, hidden = self.compressor, FLASH.hidden_size
        shape, kv_std, gate_std, ape_std = (hidden, c.columns), *c.std

        def drawn(name: str, shape: tuple[int, ...], dtype: object, std: float, mean: float = 0.0) -> TensorSpec:
            full = f"{prefix}{name}"
            return TensorSpec(full, list(shape), dtype, lambda seed: normal(seed, full, shape, std, mean, dtype))

        return [
            drawn("wkv", shape, BF16, kv_std),
            drawn("wgate", shape, BF16, gate_std),
            drawn("ape", (c.ratio, c.columns), np.float32, ape_std),
            drawn("norm_w", (c.width,), BF16, c.gamma[1], c.gamma[0]),
        ]


def compressor_specs(step: CompressorStep) -> list[TensorSpec]:
    """Arguments of compressor_test, in order."""
    c, hidden = step.compressor, FLASH.hidden_size
    x, cache = (step.batch, step.step, hidden), (step.batch * CMP_PAGES, BLOCK_SIZE, 1, c.width)
    cos, sin = step.rotation
    return [
        TensorSpec("x", list(x), BF16, lambda seed: uniform(seed, "x", x, 0.0, 1.0, BF16)),
        TensorSpec("kv", [step.batch, step.step, c.width], np.float32, is_output=True),
        step.state_spec("compress_state"),
        TensorSpec("compress_state_block_table", [step.batch, c.pages], np.int32, step.state_table),
        *step.weight_specs(),
        TensorSpec("cos", list(cos.shape), np.float32, cos),
        TensorSpec("sin", list(sin.shape), np.float32, sin),
        TensorSpec("cmp_kv_cache", list(cache), BF16, 0.0, is_output=True),
        TensorSpec("position_ids", [step.batch, step.step], np.int32, step.positions),
        TensorSpec("cmp_slot_mapping", [step.batch, step.step], np.int64, step.cache_slots),
        TensorSpec("state_slot_mapping", [step.batch, step.step], np.int64, step.state_slots),
    ]
