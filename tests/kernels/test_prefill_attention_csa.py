"""Prefill attention that compresses by 4: kernel against reference, faults, launches and scratch."""

import pytest

from .kernel_layout import differences, layout, pipe_bytes, right_and_clean_run
from .planted import Bench, first_ones_quick
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
    indexer,
    within,
)
from .sandbox import load
from .small_layers import SHORT

MODULES = ("prefill_attention_csa", "prefill_attention_script")


STRONGER = {"kv_cache": 120, "cmp_kv": 120, "gamma_ckv": 4, "cmp_norm_w": 4}


def loaded(tmp_path, start_pos, num_tokens=128, strong=False, **options):
    """The entry, its specs, the reference and the tolerance: what `differences` takes.

    strong: rows of the ring as large as those of the run or larger, and a sink that weighs as much as many of them.
    """
    kernel, script = load(tmp_path, *MODULES, **options)
    specs = {spec.name: spec for spec in script.csa_specs(start_pos, num_tokens)}
    if strong:
        strengthen(specs)
    golden = script.golden_prefill_attention_csa
    return kernel.prefill_attention_csa_test, list(specs.values()), golden, script.tolerance("csa", num_tokens)


def strengthen(specs):
    for name, factor in STRONGER.items():
        specs[name].init_value = specs[name].create_tensor(0) * factor
    specs["attn_sink"].init_value = 10.0


@pytest.mark.parametrize(("start_pos", "num_tokens", "strong"), [(0, 64, False), (25, 35, True), (3, 20, False)])
def test_small_kernel_equals_its_reference(tmp_path, start_pos, num_tokens, strong):
    assert not any(differences(*loaded(tmp_path, start_pos, num_tokens, strong, sizes=SHORT)))


LAYER, SPARSE, COMPRESSOR = "prefill_attention_csa.py", "prefill_sparse_attn.py", "prefill_compressor_ratio4.py"
FAULTS = {
    "last token not committed": (LAYER, "if w_t < num_tokens", "if w_t < num_tokens - 1"),
    "tokens after it seen": (LAYER, "for o_own in pl.range(o_t + 1)", "for o_own in pl.range(o_t + 2)"),
    "last compressed row left out": (LAYER, "(o_pos + 1) // COMPRESS_RATIO)", "o_pos // COMPRESS_RATIO)"),
    "keys turned the other way": (LAYER, "idx_sin, freqs_cos, freqs_sin,", "idx_sin, freqs_sin, freqs_cos,"),
    "dropped sink": (SPARSE, "pl.add(m_sum, pl.exp(pl.sub(m_sink_col, m_max)))", "m_sum"),
    "another token committed": (LAYER, "kv[w_t : w_t + 1, 0:HEAD_DIM]", "kv[w_t // 2 : w_t // 2 + 1, 0:HEAD_DIM]"),
    "committed a row later": (LAYER, "[w_row : w_row + 1, 0:HEAD_DIM]", "[w_row + 1 : w_row + 2, 0:HEAD_DIM]"),
    "cos and sin exchanged": (LAYER, "rope_rows(freqs_cos, freqs_sin,", "rope_rows(freqs_sin, freqs_cos,"),
    "values and scores exchanged": (LAYER, "cmp_wkv, cmp_wgate, cmp_ape, cmp_norm_w,\n        freqs",
                                    "cmp_wgate, cmp_wkv, cmp_ape, cmp_norm_w,\n        freqs"),
    "states exchanged": (LAYER, "x_normed, cmp_kv_state, cmp_score_state", "x_normed, cmp_score_state, cmp_kv_state"),
    "compressed row turned the other way": (LAYER, "freqs_cos, freqs_sin, cmp_kv, position",
                                            "freqs_sin, freqs_cos, cmp_kv, position"),
    "oldest row left out": (LAYER, "pl.min(WIN, o_pos + 1)", "pl.min(WIN, o_pos)"),
    "own rows from the ring": (LAYER, "pl.cast(WIN + o_own, pl.INT32)", "pl.cast(o_own_pos % WIN, pl.INT32)"),
    "compressed rows over the window": (LAYER, "[0, o_count + o_c]", "[0, o_c]"),
    "list of another token": (LAYER, "cmp_topk_indices, [o_t, o_c]", "cmp_topk_indices, [o_t // 2, o_c]"),
    "lists cut at a quarter of the window": (LAYER, "value=SPARSE_TOPK", "value=WIN // 4"),
    "another compressed row": (SPARSE, "g_slot = g_raw - (WIN + T)", "g_slot = g_raw - (WIN + T) + 1"),
    "old rows of other positions": (SPARSE, "BLOCK_SIZE + g_raw % BLOCK_SIZE", "BLOCK_SIZE + g_raw // 2 % BLOCK_SIZE"),
    "missing softmax scale": (SPARSE, "pl.mul(a_raw, SOFTMAX_SCALE)", "pl.mul(a_raw, 1.0)"),
    "compressed row turned at its end": (COMPRESSOR, " + 1 - COMPRESS_RATIO, pl.INDEX)", ", pl.INDEX)"),
    "first half for both windows": (COMPRESSOR, "(o_slot // COMPRESS_RATIO) * HEAD_DIM + o_h0", "o_h0"),
}  # fmt: skip


@pytest.fixture(scope="module")
def bench(tmp_path_factory):
    def given(script, _):
        specs = {spec.name: spec for spec in script.csa_specs(24, 40)}
        strengthen(specs)
        return list(specs.values()), script.golden_prefill_attention_csa, script.tolerance("csa", 40)

    entry = "prefill_attention_csa_test"
    return Bench(tmp_path_factory.mktemp("csa"), MODULES[0], entry, MODULES[1], SHORT, given)


def test_small_kernel_passes_what_the_faults_are_planted_in(tmp_path, bench):
    assert not any(bench.said(tmp_path))


@pytest.mark.plants("prefill_attention_csa")
@pytest.mark.parametrize("name", first_ones_quick(FAULTS, 10))
def test_small_planted_fault_is_caught(tmp_path, bench, name):
    assert any(bench.said(tmp_path, FAULTS[name]))


RATIO4 = [
    ("alloc", "cmp4_kv_proj_scratch", 128 * 1024 * 4),
    ("alloc", "cmp4_score_proj_scratch", 128 * 1024 * 4),
    ("AIC", "prefill_c4_kv_score_proj", 32),
    ("alloc", "write_pos_map", 32 * 4),
    ("alloc", "write_dst_map", 32 * 4),
    ("AIV", "prefill_c4_write_map", 1),
    ("alloc", "pooled_kv", 32 * 512 * 4),
    ("AIV", "prefill_c4_softmax_pool", 64),
    ("alloc", "normed_kv", 32 * 512 * 4),
    ("AIV", "prefill_c4_rmsnorm_rope", 2),
    ("AIV", "prefill_c4_cache_write", 2),
    ("AIV", "prefill_c4_state_update", 128),
]
LAYOUT = [
    *FRAME[:4],
    ("", *NORMED[0]),
    *FRAME[4:],
    *within("", QUERY),
    *within("1.1", [*GATE, *NORM]),
    *within("1", [*ROPE_ROWS, *QKV]),
    *within("", RATIO4),
    ("", "alloc", "idx_cos", 128 * 32 * 4),
    ("", "alloc", "idx_sin", 128 * 32 * 4),
    ("", "AIV", "prefill_csa_idx_halfrope", 1),
    ("", "alloc", "cmp_topk_indices", 128 * 512 * 4),
    ("", "alloc", "idx_score_unused", 128 * 256 * 4),
    *indexer("", loops_have_scopes=False),
    ("", "alloc", "cmp_sparse_lens_2d", 128 * 4),
    ("", "AIV", "prefill_csa_sparse_lens", 1),
    ("", "alloc", "cmp_sparse_work", 128 * 640 * 4),
    ("", "AIV", "prefill_csa_sparse_idx_tile", 64),
    *attention(2),
    ("", "AIV", "prefill_csa_cache_writeback", 1),
    ("", "AIV", "hc_post", 32),
]
# The frame allocates the indexer's pipes in one go with its buffers, before the first scope runs.
PIPES = [1024 * 1024, 1024 * 1024, 64 * 1024, GATE_PIPE, *ATTENTION_PIPES]
KIB = {
    "streams": 2 + 8, "rotations": 2 * 16, "projections": 1024 + 8192 + 128 + 128 + 1,
    "compressor": 2 * 512 + 2 * 1 + 2 * 64, "angles": 2 * 16, "list and score": 256 + 128,
    "indexer": 4096 + 1024 + 1024 + 32 + 32 + 1024 + 1 + 4 + 1024, "its compressor": 2 * 128 + 2 * 1 + 16 + 8 + 16,
    "its pipes": 1024 + 1024 + 64, "rows": 1 + 320, "attention": 1024 + 49152 + 192 + 2048 + 8192,
}  # fmt: skip


@pytest.mark.flash
@pytest.mark.parametrize(("start_pos", "num_tokens"), [(0, 128), pytest.param(50, 70, marks=pytest.mark.slow)])
def test_kernel_is_right_and_launches_and_keeps_what_the_tables_say(tmp_path, start_pos, num_tokens):
    done = right_and_clean_run(*loaded(tmp_path, start_pos, num_tokens))
    assert layout(done) == LAYOUT
    assert pipe_bytes(done) == PIPES
    assert done.heap["max_lag"].frame_residency_bytes == sum(KIB.values()) * 1024
