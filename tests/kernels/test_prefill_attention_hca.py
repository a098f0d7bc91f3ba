"""Prefill attention that compresses by 128: reference, kernel against reference, faults, launches and scratch."""

import numpy as np
import pytest

from kernels.dsv4 import prefill_attention_fixtures
from kernels.dsv4.attention_fixtures import HCA
from kernels.dsv4.compressor_fixtures import RATIO128

from .kernel_layout import arguments, compared, differences, layout, pipe_bytes, right_and_clean_run
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
    within,
)
from .sandbox import load
from .small_layers import SHORT

SIZES = {"FLASH": SHORT["FLASH"]}
MODULES = ("prefill_attention_hca", "prefill_attention_script")


def strengthen(specs):
    """Rows of the caches as large as those of the run or larger, and a sink that weighs as much as many of them."""
    specs["kv_cache"].init_value = specs["kv_cache"].create_tensor(0) * 30
    specs["cmp_kv"].init_value = specs["cmp_kv"].create_tensor(0) * 120
    specs["attn_sink"].init_value = 4.0


def loaded(tmp_path, start_pos, num_tokens=128, strong=False, **options):
    """The entry, its specs, the reference and the tolerance: what `compared` takes. strong: `strengthen` them."""
    kernel, script = load(tmp_path, *MODULES, **options)
    specs = {spec.name: spec for spec in script.hca_specs(start_pos, num_tokens)}
    if strong:
        strengthen(specs)
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
    "values and scores exchanged": (LAYER, "block_table, cmp_wkv, cmp_wgate, cmp_ape",
                                    "block_table, cmp_wgate, cmp_wkv, cmp_ape"),
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
OF_THE_WINDOW = {  # found where compressed rows do not outweigh everything else
    "old rows of other positions": (SPARSE, "BLOCK_SIZE + g_raw % BLOCK_SIZE", "BLOCK_SIZE + g_raw // 2 % BLOCK_SIZE"),
    "dropped sink": (SPARSE, "pl.add(m_sum, pl.exp(pl.sub(m_sink_col, m_max)))", "m_sum"),
}


@pytest.fixture(scope="module")
def bench(tmp_path_factory):
    """A run of 64 tokens that completes a window, with large compressed rows."""
    return made(tmp_path_factory.mktemp("strong"), 330, strengthen)


@pytest.fixture(scope="module")
def bench_of_the_window(tmp_path_factory):
    """A run of 64 tokens whose old rows and sink are large."""

    def weigh(specs):
        specs["kv_cache"].init_value = specs["kv_cache"].create_tensor(0) * 200
        specs["attn_sink"].init_value = 8.0

    return made(tmp_path_factory.mktemp("window"), 50, weigh)


def made(place, start_pos, change):
    def given(script, _):
        specs = {spec.name: spec for spec in script.hca_specs(start_pos, 64)}
        change(specs)
        return list(specs.values()), script.golden_prefill_attention_hca, script.tolerance("hca", 64)

    return Bench(place, MODULES[0], "prefill_attention_hca_test", MODULES[1], SHORT, given)


@pytest.mark.plants("prefill_attention_hca")
@pytest.mark.parametrize("name", first_ones_quick(OF_THE_WINDOW, 10))
def test_small_planted_fault_in_the_window_is_caught(tmp_path, bench_of_the_window, name):
    assert any(bench_of_the_window.said(tmp_path, OF_THE_WINDOW[name]))


@pytest.mark.plants("prefill_attention_hca")
@pytest.mark.parametrize("name", first_ones_quick(FAULTS, 10))
def test_small_planted_fault_is_caught(tmp_path, bench, name):
    assert any(bench.said(tmp_path, FAULTS[name]))


def test_small_kernel_passes_what_the_faults_are_planted_in(tmp_path, bench, bench_of_the_window):
    assert not any(bench.said(tmp_path) + bench_of_the_window.said(tmp_path))


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
@pytest.mark.parametrize(
    ("start_pos", "num_tokens"), [(0, 128), (640, 128), pytest.param(200, 77, marks=pytest.mark.slow)]
)
def test_kernel_is_right_and_launches_and_keeps_what_the_tables_say(tmp_path, start_pos, num_tokens):
    done = right_and_clean_run(*loaded(tmp_path, start_pos, num_tokens))
    assert layout(done) == LAYOUT
    assert pipe_bytes(done) == [GATE_PIPE, *ATTENTION_PIPES]
    assert done.heap["max_lag"].frame_residency_bytes == FRAME_BYTES


# Reference and fixture


def inputs(script, start_pos, num_tokens=128):
    specs = script.hca_specs(start_pos, num_tokens)
    return {spec.name: np.array(value) for spec, value in zip(specs, arguments(specs), strict=True)}


def test_reference_does_not_depend_on_where_runs_end(tmp_path):
    """128 tokens in one run, or 77 and then 51 which find the others in the caches, give the same streams and rows.

    The window from 128 on is completed by the second run: it needs the state that the first one left.
    """
    _, script = load(tmp_path, *MODULES, sizes=SIZES)
    whole, first, second = inputs(script, 130), inputs(script, 130, 77), inputs(script, 207, 51)
    caches = ("kv_cache", "cmp_kv", "cmp_kv_state", "cmp_score_state")
    first |= {name: whole[name].copy() for name in caches}
    second["x_hc"][:51] = whole["x_hc"][77:]
    for tensors in (whole, first):
        script.golden_prefill_attention_hca(tensors)
    second |= {name: first[name].copy() for name in caches}
    script.golden_prefill_attention_hca(second)
    parts = np.concatenate([first["x_out"][:77], second["x_out"][:51]]).astype(np.float32)
    # An INT8 value may go the other way where the last bit of a sum does.
    close = np.isclose(parts, whole["x_out"].astype(np.float32), rtol=1 / 64, atol=2e-3)
    assert close.mean() > 0.999
    assert whole["cmp_kv"][1, 1].any() and not first["cmp_kv"][1, 1].any()  # pages are swapped
    for name in caches:
        assert np.isclose(second[name].astype(float), whole[name].astype(float), rtol=1 / 64, atol=1e-4).mean() > 0.999


def test_reference_attends_to_the_compressed_row_from_its_last_token_on(tmp_path):
    """The run from 100 on completes the window of 128 at its 28th token: a row that is changed is seen from there."""
    _, script = load(tmp_path, *MODULES, sizes=SIZES)
    plain, changed = inputs(script, 100), inputs(script, 100)
    changed["cmp_norm_w"] = changed["cmp_norm_w"] * 20
    for tensors in (plain, changed):
        script.golden_prefill_attention_hca(tensors)
    differ = (plain["x_out"] != changed["x_out"]).any(axis=(1, 2))
    assert not differ[:27].any() and differ[27:].all()


def test_fixture_names_the_rows_that_a_token_sees():
    step = prefill_attention_fixtures.PrefillStep(HCA, 250, num_tokens=10)
    lists, lengths = (spec.create_tensor(0) for spec in step.list_specs().values())
    # Positions 123 to 249 are in the ring; the second window is complete from position 255 on.
    assert lists[0, :3].tolist() == [123, 124, 125] and lists[0, 127:130].tolist() == [128, 256, -1]
    assert lists[5, 127:131].tolist() == [133, 256, 257, -1]
    assert lengths[[0, 4, 5, 9, 10]].tolist() == [129, 129, 130, 130, 0]
    made = step.compression(RATIO128)
    assert made["cmp_slot_mapping"].create_tensor(0)[:7].tolist() == [
        -1,
        -1,
        -1,
        -1,
        -1,
        129,
        -1,
    ]  # row 1 of page 1: pages are swapped
    rows = made["cmp_kv"].create_tensor(0)[1, :, 0]
    assert rows[0].any() and not rows[1:].any()


def test_a_compressed_row_that_is_wrong_is_not_within_the_tolerance(tmp_path):
    """One row is less than half a percent of the cache, which the usual comparer would let pass."""
    entry, specs, golden, tolerance = loaded(tmp_path, 0, sizes=SIZES, fault=FAULTS["pool not normalised"])
    result = compared(entry, specs, golden, {**tolerance, "x_out": lambda *_, **__: (True, "")})
    assert not result.passed and "cmp_kv" in result.error
