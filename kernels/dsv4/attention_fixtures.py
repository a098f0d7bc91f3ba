"""Inputs of the decode attention kernels: what all three kinds share, each tensor under its parameter's name.

Distributions of upstream's tests (pypto-lib 9f31b7eb, models/deepseek/v4/decode_attention_*.py): streams uniform,
weights normal over the square root of their inner extent, caches of normal rows with RMS 1, gates of trained layers.
"""

from dataclasses import dataclass, replace

import numpy as np
from compressor_fixtures import INDEXER, RATIO4, RATIO128, Compressor, CompressorStep
from config import BLOCK_SIZE, DECODE_BATCH, DECODE_SEQ, FLASH
from draws import normal, normal_rows, uniform
from equations import BF16
from hc_fixtures import CSA_GATE, HcGate
from indexer_fixtures import hadamard_spec, query_weight_specs, weights_proj_spec
from quantization import Halves, quantize_rows
from rope_tables import rope_tables

from pto_sim.golden import TensorSpec

ORI_PAGES, CMP_PAGES = 1, 8  # of one batch

SWA_GATE = HcGate(  # attention of layer 0
    0.039,
    (2.076026, 0.018729, 0.245936),
    (3.9083, -2.0399, -2.2033, -2.017, -2.4443, -10.3158, -8.9943, -6.3581, 9.8577, -9.5177, -24.8724, -22.8929,
     -21.545, 0.7791, -3.386, 1.1948, -20.9605, -0.7702, 1.4218, -4.8994, 1.5177, -29.7663, -30.1413, -1.2413),
)  # fmt: skip


HCA_GATE = HcGate(  # attention of layer 9
    0.0495,
    (0.079046, 0.04213, 0.121901),
    (-3.3004, 2.5553, -2.2787, -3.4925, -3.8197, -3.4161, -2.7144, -2.9181, 2.362, -2.4746, -2.1352, -3.2216, -4.474,
     2.2488, -2.1053, -3.1675, -2.8362, -1.9042, 2.0432, -3.062, -2.7902, -3.0908, -3.002, 3.1161),
)  # fmt: skip


@dataclass(frozen=True)
class Kind:
    """One kind of attention. compress_ratio: decides the rotation. sink: logit of every head's sink. starts: positions
    of the first token, dealt to the batches in turn."""

    name: str
    compress_ratio: int
    gate: HcGate
    starts: tuple[int, ...]
    sink: float = 0.0


SWA = Kind("swa", 0, SWA_GATE, (9, 31, 62, 127))
HCA = Kind("hca", 128, HCA_GATE, (10, 126, 127, 128, 254, 383))
CSA = Kind("csa", 4, CSA_GATE, (10, 2, 3, 4, 6, 11, 126, 127, 128), sink=4.0)


@dataclass(frozen=True)
class Step:
    """One decode step: where each batch stands."""

    kind: Kind
    start_pos: int | None = None
    batch: int = DECODE_BATCH
    step: int = DECODE_SEQ

    @property
    def tokens(self) -> int:
        return self.batch * self.step

    @property
    def starts(self) -> np.ndarray:
        """Position of each batch's first token, [batch] INT32."""
        if self.start_pos is not None:
            return np.full(self.batch, self.start_pos, np.int32)
        return np.resize(np.array(self.kind.starts, np.int32), self.batch)

    @property
    def positions(self) -> np.ndarray:
        """Position of each token, [tokens] INT32."""
        return (self.starts[:, None] + np.arange(self.step, dtype=np.int32)).reshape(-1)

    @property
    def ring_slots(self) -> np.ndarray:
        """The row of the ring cache that each token is written to, [tokens] INT64."""
        batches = np.repeat(np.arange(self.batch), self.step)
        return batches * BLOCK_SIZE + self.positions.astype(np.int64) % FLASH.sliding_window


def pages(batch: int, count: int) -> np.ndarray:
    """A block table [batch, count] INT32 that has every page once, in order."""
    return np.arange(batch * count, dtype=np.int32).reshape(batch, count)


def normalised_rows(seed: int, name: str, shape: tuple[int, ...]) -> np.ndarray:
    """Normal rows divided by their RMS, BF16."""
    found = np.empty(shape, BF16)
    for chosen, rows in normal_rows(seed, name, shape):
        found.reshape(-1, shape[-1])[chosen] = rows / np.sqrt(np.mean(rows * rows, axis=-1, keepdims=True))
    return found


@dataclass
class AttentionInputs:
    """Specs of the parameters that every decode attention kernel has, by name."""

    step: Step

    def quantised(self, name: str, outputs: int, inner: int) -> Halves:
        """INT8 weights [outputs, inner] and their factors."""
        return Halves(lambda seed: quantize_rows(normal(seed, name, (outputs, inner), inner**-0.5, dtype=BF16)))

    def weights(self, name: str, shape: tuple[int, ...], inner: int) -> TensorSpec:
        """Normal BF16 weights over the square root of their inner extent."""
        return TensorSpec(name, list(shape), BF16, lambda seed: normal(seed, name, shape, inner**-0.5, dtype=BF16))

    def specs(self) -> dict[str, TensorSpec]:
        """By parameter name."""
        step, kind, config = self.step, self.step.kind, FLASH
        tokens, hidden, mult = step.tokens, config.hidden_size, config.hc_mult
        heads, width, rank = config.num_attention_heads, config.head_dim, config.q_lora_rank
        groups, o_rank = config.o_groups, config.o_lora_rank
        cos, sin = rope_tables(config, kind.compress_ratio)
        q_up = self.quantised("wq_b", heads * width, rank)
        out = self.quantised("wo_b", hidden, groups * o_rank)
        streams, ring = (tokens, mult, hidden), (step.batch * ORI_PAGES, BLOCK_SIZE, 1, width)
        found = [
            TensorSpec("x_hc", list(streams), BF16, lambda seed: uniform(seed, "x_hc", streams, dtype=BF16)),
            TensorSpec(
                "hc_attn_fn", [config.mix_hc, config.hc_dim], np.float32, lambda seed: kind.gate.fn(seed, "hc_attn_fn")
            ),
            TensorSpec("hc_attn_scale", [3], np.float32, np.array(kind.gate.scale, np.float32)),
            TensorSpec("hc_attn_base", [config.mix_hc], np.float32, np.array(kind.gate.base, np.float32)),
            TensorSpec("attn_norm_w", [hidden], BF16, 1.0),
            self.weights("wq_a", (hidden, rank), hidden),
            TensorSpec("wq_b", [rank, heads * width], np.int8, lambda seed: q_up.values(seed).T),
            TensorSpec("wq_b_scale", [heads * width], np.float32, q_up.factors),
            self.weights("wkv", (hidden, width), hidden),
            TensorSpec("gamma_cq", [rank], BF16, 1.0),
            TensorSpec("gamma_ckv", [width], BF16, 1.0),
            TensorSpec("freqs_cos", list(cos.shape), BF16, cos),
            TensorSpec("freqs_sin", list(sin.shape), BF16, sin),
            TensorSpec(
                "kv_cache", list(ring), BF16, lambda seed: normalised_rows(seed, "kv_cache", ring), is_output=True
            ),
            TensorSpec("block_table", [step.batch, ORI_PAGES], np.int32, pages(step.batch, ORI_PAGES)),
            TensorSpec("ori_slot_mapping", [tokens], np.int64, step.ring_slots),
            TensorSpec("position_ids", [tokens], np.int32, step.positions),
            TensorSpec("cmp_kv", [step.batch * CMP_PAGES, BLOCK_SIZE, 1, width], BF16, 0.0),
            TensorSpec("cmp_block_table", [step.batch, CMP_PAGES], np.int32, pages(step.batch, CMP_PAGES)),
            TensorSpec("attn_sink", [heads], np.float32, kind.sink),
            self.weights("wo_a", (groups, o_rank, heads * width // groups), heads * width // groups),
            TensorSpec("wo_b", [hidden, groups * o_rank], np.int8, out.values),
            TensorSpec("wo_b_scale", [hidden], np.float32, out.factors),
            TensorSpec("x_out", list(streams), BF16, is_output=True),
        ]
        return {spec.name: spec for spec in found}


def hca_specs(start_pos: int | None = None) -> list[TensorSpec]:
    """Arguments of attention_hca_test, in order."""
    step = Step(HCA, start_pos)
    shared = AttentionInputs(step).specs()
    return arranged(shared | compression(step, replace(RATIO128, swapped=None)), HCA_ORDER)


HCA_ORDER = (
    "cmp_wkv", "cmp_wgate", "cmp_ape", "cmp_norm_w", "compress_state", "compress_state_block_table", "kv_cache",
    "ori_block_table", "cmp_kv", "cmp_block_table", "ori_slot_mapping", "cmp_slot_mapping", "state_slot_mapping",
    "position_ids", "kv_seq_lens",
)  # fmt: skip


def csa_specs(start_pos: int | None = None) -> list[TensorSpec]:
    """Arguments of attention_csa_test, in order."""
    step = Step(CSA, start_pos)
    main = compression(step, RATIO4)
    return arranged(AttentionInputs(step).specs() | main | indexing(step), CSA_ORDER)


CSA_ORDER = (
    "cmp_wkv", "cmp_wgate", "cmp_ape", "cmp_norm_w", "compress_state", "compress_state_block_table", "idx_wq_b",
    "idx_wq_b_scale", "weights_proj", "hadamard_idx", "inner_wkv", "inner_wgate", "inner_ape", "inner_norm_w",
    "inner_compress_state", "inner_compress_state_block_table", "kv_cache", "ori_block_table", "cmp_kv",
    "cmp_block_table", "idx_kv_cache", "idx_block_table", "ori_slot_mapping", "cmp_slot_mapping", "idx_slot_mapping",
    "state_slot_mapping", "inner_state_slot_mapping", "position_ids", "kv_seq_lens",
)  # fmt: skip


def swa_specs(start_pos: int | None = None) -> list[TensorSpec]:
    """Arguments of attention_swa_test, in order."""
    return list(AttentionInputs(Step(SWA, start_pos)).specs().values())


def compressor_step(step: Step, compressor: Compressor) -> CompressorStep:
    return CompressorStep(compressor, step.starts.astype(np.int64), step.batch, step.step)


def indexing(step: Step) -> dict[str, TensorSpec]:
    """What the indexer adds, by name; its state and cache hold rows and are written."""
    made = compressor_step(step, INDEXER)
    cache = (step.batch * INDEXER.cache_pages, BLOCK_SIZE, 1, INDEXER.width)
    found = [
        *query_weight_specs("idx_"),
        weights_proj_spec(),
        hadamard_spec("hadamard_idx"),
        *made.weight_specs("inner_"),
        made.state_spec("inner_compress_state"),
        TensorSpec("inner_compress_state_block_table", list(made.state_table.shape), np.int32, made.state_table),
        TensorSpec(
            "idx_kv_cache", list(cache), BF16, lambda seed: normalised_rows(seed, "idx_kv_cache", cache), is_output=True
        ),
        TensorSpec("idx_block_table", list(made.cache_table.shape), np.int32, made.cache_table),
        TensorSpec("idx_slot_mapping", [step.tokens], np.int64, made.cache_slots.reshape(-1)),
        TensorSpec("inner_state_slot_mapping", [step.tokens], np.int64, made.state_slots.reshape(-1)),
    ]
    return {spec.name: spec for spec in found}


def compression(step: Step, compressor: Compressor) -> dict[str, TensorSpec]:
    """What the main compressor adds, by name; the compressed cache holds rows and is written."""
    made = compressor_step(step, compressor)
    tokens, width = step.tokens, FLASH.head_dim
    cache = (step.batch * CMP_PAGES, BLOCK_SIZE, 1, width)
    found = [
        *made.weight_specs("cmp_"),
        made.state_spec("compress_state"),
        TensorSpec("compress_state_block_table", list(made.state_table.shape), np.int32, made.state_table),
        TensorSpec("ori_block_table", [step.batch, ORI_PAGES], np.int32, pages(step.batch, ORI_PAGES)),
        TensorSpec("cmp_kv", list(cache), BF16, lambda seed: normalised_rows(seed, "cmp_kv", cache), is_output=True),
        TensorSpec("cmp_slot_mapping", [tokens], np.int64, made.cache_slots.reshape(-1)),
        TensorSpec("state_slot_mapping", [tokens], np.int64, made.state_slots.reshape(-1)),
        TensorSpec("kv_seq_lens", [step.batch], np.int32, step.starts + step.step),
    ]
    return {spec.name: spec for spec in found}


def arranged(specs: dict[str, TensorSpec], middle: tuple[str, ...]) -> list[TensorSpec]:
    """Specs in parameter order: those up to the rotations, `middle`, those from the sink on."""
    names = list(specs)
    before, after = names[: names.index("kv_cache")], names[names.index("attn_sink") : names.index("x_out") + 1]
    return [specs[name] for name in (*before, *middle, *after)]
