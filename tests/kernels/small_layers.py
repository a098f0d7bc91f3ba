"""Sizes of a small layer, and what its inputs need so that each of them weighs enough to be seen."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np

from kernels.dsv4 import config

SMALL = dataclasses.replace(
    config.FLASH,
    hidden_size=1024,
    num_attention_heads=32,
    head_dim=256,
    q_lora_rank=512,
    o_groups=4,
    o_lora_rank=256,
    index_n_heads=32,
    index_topk=256,
    moe_intermediate_size=1024,
    n_routed_experts=64,
    num_experts_per_tok=2,
    vocab_size=500,
)
SIZES = {"FLASH": SMALL, "DECODE_BATCH": 32, "DECODE_TOKENS": 64, "PREFILL_SEQ": 64}
# Of prefill, whose states have a row for every position.
SHORT = {**SIZES, "FLASH": dataclasses.replace(SMALL, max_position_embeddings=1024)}
NORMS = ("attn_norm_w", "norm_w", "gamma_cq", "gamma_ckv")


def told_apart(specs: Sequence[Any]) -> list[Any]:
    """The specs with norm weights that differ, from input to input and from column to column."""
    rng = np.random.default_rng(7)
    for spec in specs:
        if spec.name in NORMS:
            spec.init_value = rng.uniform(0.25, 2, spec.shape).astype(spec.dtype)
    return list(specs)
