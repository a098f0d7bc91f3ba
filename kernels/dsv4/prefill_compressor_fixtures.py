"""Inputs of the prefill compressors: one run of a request that starts anywhere.

Distributions of upstream's tests (pypto-lib 9f31b7eb, models/deepseek/v4/prefill_compressor_*.py): activations uniform
in [-0.05, 0.05), the state of the positions before the run in [-0.025, 0.025), weights as in `compressor_fixtures`.
The pages of the state are in an order of their own.
"""

from dataclasses import dataclass

import numpy as np
from compressor_fixtures import RATIO4, RATIO128, Compressor, CompressorStep
from config import BLOCK_SIZE, FLASH, PREFILL_BATCH, PREFILL_SEQ
from draws import centred
from equations import BF16
from rope_tables import rope_tables

from pto_sim.golden import ScalarSpec, TensorSpec

TOKENS = PREFILL_BATCH * PREFILL_SEQ
MOST_COMPRESSED = max(1, min(FLASH.index_topk, FLASH.sliding_window + FLASH.sliding_window // 2))
CMP_PAGES = -(-MOST_COMPRESSED // BLOCK_SIZE)
COMPRESSORS = {4: RATIO4, 128: RATIO128}


@dataclass(frozen=True)
class PrefillRun:
    """A compressor and the positions of one run. num_tokens: the tokens behind them are padding. swapped_pages: the
    pages of the compressed cache are in another order than its rows, so that a kernel that ignores the table is found
    out.

    Raises ValueError if a position does not exist or its compressed row has no place.
    """

    compressor: Compressor
    start_pos: int = 0
    num_tokens: int = TOKENS
    swapped_pages: bool = False

    def __post_init__(self) -> None:
        end = self.start_pos + self.num_tokens
        if self.start_pos < 0 or end > FLASH.max_position_embeddings:
            raise ValueError(f"start_pos={self.start_pos} needs positions up to {end}; there are "
                             f"{FLASH.max_position_embeddings} from 0 on")  # fmt: skip
        if end // self.compressor.ratio > CMP_PAGES * BLOCK_SIZE:
            raise ValueError(f"start_pos={self.start_pos} needs {end // self.compressor.ratio} compressed rows; there "
                             f"is place for {CMP_PAGES * BLOCK_SIZE}")  # fmt: skip

    @property
    def positions(self) -> np.ndarray:
        """Of every token, [tokens] INT32."""
        return np.arange(self.start_pos, self.start_pos + TOKENS, dtype=np.int32)

    @property
    def state_table(self) -> np.ndarray:
        """[pages] INT32, every page once."""
        pages = -(-FLASH.max_position_embeddings // self.compressor.page)
        return ((np.arange(pages) * 17 + 3) % pages).astype(np.int32)

    def state_rows(self, positions: np.ndarray) -> np.ndarray:
        """The row of the state that each position has, INT64."""
        page = self.compressor.page
        return self.state_table[positions // page].astype(np.int64) * page + positions % page

    @property
    def state_slots(self) -> np.ndarray:
        """[tokens] INT64, -1 for padding."""
        slots = np.full(TOKENS, -1, np.int64)
        slots[: self.num_tokens] = self.state_rows(self.positions[: self.num_tokens])
        return slots

    @property
    def cache_table(self) -> np.ndarray:
        """[pages] INT32, every page once."""
        return np.roll(np.arange(CMP_PAGES, dtype=np.int32), int(self.swapped_pages))

    def cache_rows(self, windows: np.ndarray) -> np.ndarray:
        """The row of the compressed cache that each window has, INT64."""
        return self.cache_table[windows // BLOCK_SIZE].astype(np.int64) * BLOCK_SIZE + windows % BLOCK_SIZE

    @property
    def cache_slots(self) -> np.ndarray:
        """[tokens] INT64, -1 for padding and for a token that completes no window."""
        ratio = self.compressor.ratio
        slots = np.full(TOKENS, -1, np.int64)
        positions = self.positions[: self.num_tokens]
        completes = np.flatnonzero((positions + 1) % ratio == 0)
        slots[completes] = self.cache_rows(positions[completes] // ratio)
        return slots

    def state(self, seed: int, name: str) -> np.ndarray:
        """Rows of the positions that a window of this run can need, zero elsewhere, [pages, page, columns] FP32."""
        c = self.compressor
        needed = 2 * c.ratio if c.overlap else c.ratio
        before = np.arange(max(0, self.start_pos - needed), self.start_pos)
        rows = np.zeros((len(self.state_table) * c.page, c.columns), np.float32)
        rows[self.state_rows(before)] = centred(seed, name, (len(before), c.columns)) * np.float32(0.05)
        return rows.reshape(-1, c.page, c.columns)

    def state_specs(self, prefix: str = "", table_name: str = "compress_state_block_table") -> list[TensorSpec]:
        """kv_state and score_state, their names after `prefix`, and their table."""
        c, table = self.compressor, self.state_table
        shape = [len(table), c.page, c.columns]

        def drawn(name: str) -> TensorSpec:
            return TensorSpec(name, shape, np.float32, lambda seed: self.state(seed, name), is_output=True)

        states = [drawn(f"{prefix}{name}") for name in ("kv_state", "score_state")]
        return [*states, TensorSpec(table_name, [len(table)], np.int32, table)]

    def cache_spec(self, name: str, span: float) -> TensorSpec:
        """A compressed cache: rows of the windows before the run uniform around zero, as wide as `span`, else zero."""
        shape = (CMP_PAGES * BLOCK_SIZE, self.compressor.width)
        before = self.cache_rows(np.arange(self.start_pos // self.compressor.ratio))

        def rows(seed: int) -> np.ndarray:
            made = np.zeros(shape, np.float32)
            made[before] = centred(seed, name, (len(before), shape[1])) * np.float32(span)
            return made.reshape(CMP_PAGES, BLOCK_SIZE, 1, shape[1])

        return TensorSpec(name, [CMP_PAGES, BLOCK_SIZE, 1, shape[1]], BF16, rows, is_output=True)

    def specs(self) -> list[TensorSpec | ScalarSpec]:
        """Arguments of the compressor's entry, in order."""
        x, (cos, sin) = (TOKENS, FLASH.hidden_size), rope_tables(FLASH, self.compressor.ratio)
        cache = [CMP_PAGES, BLOCK_SIZE, 1, self.compressor.width]
        return [
            TensorSpec("x", list(x), BF16, lambda seed: centred(seed, "x", x, 0.1, BF16)),
            *self.state_specs(),
            *CompressorStep(self.compressor).weight_specs(),
            TensorSpec("freqs_cos", list(cos.shape), BF16, cos),
            TensorSpec("freqs_sin", list(sin.shape), BF16, sin),
            TensorSpec("cmp_kv", cache, BF16, 0.0, is_output=True),
            TensorSpec("position_ids", [TOKENS], np.int32, self.positions),
            ScalarSpec("num_tokens", np.int32, self.num_tokens),
            TensorSpec("cmp_slot_mapping", [TOKENS], np.int64, self.cache_slots),
            TensorSpec("state_slot_mapping", [TOKENS], np.int64, self.state_slots),
        ]
