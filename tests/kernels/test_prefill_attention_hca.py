"""Prefill attention that compresses by 128: reference, kernel against reference, faults, launches and scratch."""

import dataclasses

import numpy as np
import pytest

from kernels.dsv4 import config

from .kernel_layout import arguments, compared, differences, layout, pipe_bytes, right_and_clean_run
from .prefill_layouts import (
    ATTENTION_PIPES,
    FRAME,
    GATE,
    GATE_PIPE,
    NORM,
    NORMED,
    QKV,
    QUERY,
    ROPE_ROWS,
    attention,
    within,
)
from .sandbox import load

SMALL = dataclasses.replace(
    config.FLASH,
    hidden_size=1024,
    num_attention_heads=32,
    head_dim=256,
    q_lora_rank=512,
    o_groups=4,
    o_lora_rank=256,
    index_topk=256,
    max_position_embeddings=1024,
)
SIZES = {"FLASH": SMALL}
MODULES = ("prefill_attention_hca", "prefill_attention_script")


def loaded(tmp_path, start_pos, num_tokens=128, strong=False, **options):
    """The entry, its specs, the reference and the tolerance: what `compared` takes.

    strong: rows of the caches as large as those of the run or larger, and a sink that weighs as much as many of them.
    """
    kernel, script = load(tmp_path, *MODULES, **options)
    specs = {spec.name: spec for spec in script.hca_specs(start_pos, num_tokens)}
    if strong:
        specs["kv_cache"].init_value = specs["kv_cache"].create_tensor(0) * 30
        specs["cmp_kv"].init_value = specs["cmp_kv"].create_tensor(0) * 120
        specs["attn_sink"].init_value = 4.0
    golden = script.golden_prefill_attention_hca
    return kernel.prefill_attention_hca_test, list(specs.values()), golden, script.tolerance("hca", num_tokens)


@pytest.mark.parametrize(
    ("start_pos", "num_tokens", "strong"),
    [(0, 128, False), (128, 128, False), (300, 128, True), (600, 77, True)],
)
def test_small_kernel_equals_its_reference(tmp_path, start_pos, num_tokens, strong):
    assert not any(differences(*loaded(tmp_path, start_pos, num_tokens, strong, sizes=SIZES)))


LAYER, SPARSE, COMPRESSOR = "prefill_attention_hca.py", "prefill_sparse_attn.py", "prefill_compressor_ratio128.py"
FAULTS = {
    "another token committed": (LAYER, "kv[w_t : w_t + 1, 0:HEAD_DIM]", "kv[w_t // 2 : w_t // 2 + 1, 0:HEAD_DIM]"),
    "last token not committed": (LAYER, "if w_t < num_tokens", "if w_t < num_tokens - 1"),
    "cos and sin exchanged": (LAYER, "rope_rows(freqs_cos, freqs_sin,", "rope_rows(freqs_sin, freqs_cos,"),
    "compressed before the norm": (LAYER, "x_normed, cmp_kv_state, cmp_score", "x_mixed, cmp_kv_state, cmp_score"),
    "states exchanged": (LAYER, "d, cmp_kv_state, cmp_score_state", "d, cmp_score_state, cmp_kv_state"),
    "compressed row turned the other way": (LAYER, "cmp_norm_w, freqs_cos, freqs_sin, cmp_kv",
                                            "cmp_norm_w, freqs_sin, freqs_cos, cmp_kv"),
    "compressed row turned at its end": (COMPRESSOR, " + 1 - COMPRESS_RATIO, pl.INDEX)", ", pl.INDEX)"),
    "pool not normalised": (COMPRESSOR, "pl.row_expand_div(o_exp, pl.row_sum(o_exp))", "o_exp"),
    "window starts too early": (COMPRESSOR, "[0, o_i]) + 1 - COMPRESS_RATIO", "[0, o_i]) - COMPRESS_RATIO"),
    "another compressed row": (SPARSE, "g_slot = g_raw - (WIN + T)", "g_slot = g_raw - (WIN + T) + 1"),
    "list cut before its end": (SPARSE, "if g_k < g_len", "if g_k < g_len - 1"),
    "missing softmax scale": (SPARSE, "pl.mul(a_raw, SOFTMAX_SCALE)", "pl.mul(a_raw, 1.0)"),
}  # fmt: skip


@pytest.mark.parametrize("name", FAULTS)
def test_small_planted_fault_is_caught(tmp_path, name):
    assert any(differences(*loaded(tmp_path, 300, strong=True, sizes=SIZES, fault=FAULTS[name])))


LAYOUT = [
    *FRAME,
    *within("1", [*GATE, *NORMED, *NORM, *ROPE_ROWS, *QUERY, *QKV]),
    *within(
        "1",
        [
            ("alloc", "pooled_kv_pad", 8 * 512 * 4),
            ("alloc", "normed_kv_pad", 8 * 512 * 4),
            ("AIV", "prefill_hca_c128_norm_pad_init", 1),
            ("alloc", "kv_proj_scratch", 128 * 512 * 4),
            ("alloc", "score_proj_scratch", 128 * 512 * 4),
            ("AIC", "prefill_hca_c128_kv_score_proj", 16),
            ("alloc", "write_pos_map", 8 * 4),
            ("alloc", "write_dst_map", 8 * 4),
            ("AIV", "prefill_hca_c128_write_map", 1),
            ("AIV", "prefill_hca_c128_state_scatter_pre", 128),
            ("AIV", "prefill_hca_c128_softmax_pool", 8),
            ("AIV", "prefill_hca_c128_rmsnorm_rope", 1),
            ("AIV", "prefill_hca_c128_kv_finalize", 1),
        ],
    ),
    *attention(2),
    ("", "AIV", "prefill_hca_cache_writeback", 1),
    ("", "AIV", "hc_post", 32),
]
# q 8 MiB, kv, both rotations, post and comb; attn_out; what attention keeps at the frame: rows, bias, stage, o_packed.
FRAME_BYTES = (8192 + 128 + 2 * 16 + 2 + 8 + 1024 + 49152 + 192 + 2048 + 8192) * 1024


@pytest.mark.flash
@pytest.mark.parametrize(("start_pos", "num_tokens"), [(0, 128), (640, 128), (200, 77)])
def test_kernel_is_right_and_launches_and_keeps_what_the_tables_say(tmp_path, start_pos, num_tokens):
    done = right_and_clean_run(*loaded(tmp_path, start_pos, num_tokens))
    assert layout(done) == LAYOUT
    assert pipe_bytes(done) == [GATE_PIPE, *ATTENTION_PIPES]
    assert done.heap["max_lag"].frame_residency_bytes == FRAME_BYTES


# Reference and fixture


def inputs(script, start_pos, num_tokens=128):
    specs = script.hca_specs(start_pos, num_tokens)
    return {spec.name: np.array(value) for spec, value in zip(specs, arguments(specs), strict=True)}


def test_reference_attends_to_the_compressed_row_from_its_last_token_on(tmp_path):
    """The run from 100 on completes the window of 128 at its 28th token: a row that is changed is seen from there."""
    _, script = load(tmp_path, *MODULES, sizes=SIZES)
    plain, changed = inputs(script, 100), inputs(script, 100)
    changed["cmp_norm_w"] = changed["cmp_norm_w"] * 20
    for tensors in (plain, changed):
        script.golden_prefill_attention_hca(tensors)
    differ = (plain["x_out"] != changed["x_out"]).any(axis=(1, 2))
    assert not differ[:27].any() and differ[27:].all()


def test_a_compressed_row_that_is_wrong_is_not_within_the_tolerance(tmp_path):
    """One row is less than half a percent of the cache, which the usual comparer would let pass."""
    entry, specs, golden, tolerance = loaded(tmp_path, 0, sizes=SIZES, fault=FAULTS["pool not normalised"])
    result = compared(entry, specs, golden, {**tolerance, "x_out": lambda *_, **__: (True, "")})
    assert not result.passed and "cmp_kv" in result.error
