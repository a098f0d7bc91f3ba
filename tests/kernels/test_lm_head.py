"""lm_head: reference against plain Python, kernel against reference, faults, launches."""

import dataclasses

import ml_dtypes
import numpy as np
import pytest

from kernels.dsv4 import config

from .kernel_layout import compared, differences, layout, pipe_bytes, right_and_clean_run
from .sandbox import load

BF16 = ml_dtypes.bfloat16
FILE = "lm_head.py"


def sizes(vocab, tokens=32):
    """Of a small model. vocab: rows of both cards; a share of 512 x n has no tail."""
    return {"FLASH": dataclasses.replace(config.FLASH, hidden_size=512, vocab_size=vocab), "DECODE_TOKENS": tokens}


SIZES = sizes(2 * (2 * 512 + 128))


def loaded(tmp_path, sizes=SIZES, **options):
    """The entry, its specs, the reference and the tolerance: what `compared` takes."""
    kernel, script = load(tmp_path, "lm_head", "lm_head_script", sizes=sizes, **options)
    return kernel.lm_head_test, script.lm_head_specs(), script.golden_lm_head, script.OUTPUT_TOLERANCE


@pytest.mark.parametrize("vocab", [2 * 128, 2 * 1024, 2 * (512 + 64)])
def test_small_kernel_equals_its_reference(tmp_path, vocab):
    result = compared(*loaded(tmp_path, sizes(vocab, tokens=16)))
    assert result.passed, result.error


def test_small_kernel_has_no_differences_without_a_fault(tmp_path):
    assert differences(*loaded(tmp_path)) == [""]


FAULTS = {
    "first step twice": ("v_kb in pl.range(1,", "v_kb in pl.range(0,"),
    "last step left out": ("v_kb in pl.range(1, D // LM_HEAD_K_TILE)", "v_kb in pl.range(1, D // LM_HEAD_K_TILE - 1)"),
    "products not summed": (
        "pl.matmul_acc(v_acc, v_x, v_w, b_trans=True)", "pl.matmul(v_x, v_w, b_trans=True, out_dtype=pl.FP32)",
    ),
    "tokens of the first tile": ("v_x = hidden_states[t0 : t0 + T_TILE,", "v_x = hidden_states[0:T_TILE,"),
    "rows of the first tile": ("v_w = lm_head_weight[v0 : v0 + VOCAB_TILE,", "v_w = lm_head_weight[0:VOCAB_TILE,"),
    "columns of the first step": (
        "v_w = lm_head_weight[v0 : v0 + VOCAB_TILE, v_k0 : v_k0 + LM_HEAD_K_TILE]",
        "v_w = lm_head_weight[v0 : v0 + VOCAB_TILE, 0:LM_HEAD_K_TILE]",
    ),
    "rows off by one": ("lm_head_weight[v0 : v0 + VOCAB_TILE, 0:", "lm_head_weight[v0 + 1 : v0 + 1 + VOCAB_TILE, 0:"),
    "last full tile left out": ("pl.parallel(VOCAB_FULL_TILES)", "pl.parallel(VOCAB_FULL_TILES - 1)"),
    "last tokens left out": ("pl.parallel(0, T, T_TILE)", "pl.parallel(0, T - T_TILE, T_TILE)"),
    "tail left out": ("if VOCAB_TAIL != 0:", "if VOCAB_TAIL < 0:"),
    "tail lacks a step": ("r_kb in pl.range(1,", "r_kb in pl.range(2,"),
    "tail of the first rows": (
        "r_w = lm_head_weight[r0 : r0 + VOCAB_TAIL,", "r_w = lm_head_weight[0:VOCAB_TAIL,",
    ),
    "tail of the first tokens": (
        "r_x0 = hidden_states[t0 : t0 + T_TILE,", "r_x0 = hidden_states[0:T_TILE,",
    ),
    "tail a tile early": ("logits_shard[t0 : t0 + T_TILE, r0 : r0 + VOCAB_TAIL]",
                          "logits_shard[t0 : t0 + T_TILE, r0 - VOCAB_TAIL : r0]"),
}  # fmt: skip


@pytest.mark.plants("lm_head")
@pytest.mark.parametrize("name", FAULTS)
def test_small_planted_fault_is_caught(tmp_path, name):
    assert any(differences(*loaded(tmp_path, fault=(FILE, *FAULTS[name]))))


@pytest.mark.flash
@pytest.mark.slow
def test_kernel_is_right_and_launches_what_the_tables_say(tmp_path):
    """A tile of tokens is a scope of its own; so is each task in it, and the tail belongs to the tile."""
    done = right_and_clean_run(*loaded(tmp_path, None))
    tiles = range(1, 9)
    assert layout(done) == [
        row
        for tile in tiles
        for row in (
            *((f"1.{tile}.{task}", "AIC", "lm_head", 1) for task in range(1, 127)),
            (f"1.{tile}", "AIC", "lm_head_tail", 1),
        )
    ]
    assert pipe_bytes(done) == []


def test_reference_is_the_definition(tmp_path):
    (script,) = load(tmp_path, "lm_head_script")
    rng = np.random.default_rng(0)
    hidden, weight = rng.normal(size=(3, 7)).astype(BF16), rng.normal(size=(4, 7)).astype(BF16)
    weight[3] = 0
    t = {"hidden_states": hidden, "lm_head_weight": weight, "logits_shard": np.ones((3, 4), np.float32)}
    script.golden_lm_head(t)
    for token in range(3):
        logits = [sum(float(a) * float(b) for a, b in zip(hidden[token], row, strict=True)) for row in weight]
        np.testing.assert_allclose(t["logits_shard"][token], logits, rtol=1e-5, atol=1e-6)


def test_shares_fill_whole_tiles(tmp_path):
    kernel, script = load(tmp_path, "lm_head", "lm_head_script", sizes=SIZES)
    assert (script.ROWS, script.PADDED_ROWS) == (1152, 1536)
    assert (kernel.VOCAB_PER_TP, kernel.VOCAB_PADDED_PER_TP) == (1152, 1536)
    weight = script.lm_head_specs()[1].create_tensor(0)
    assert weight[:1152].any(axis=1).all() and not weight[1152:].any()
