"""Prefill attention without compression: reference, kernel against reference, faults, launches and scratch."""

import numpy as np
import pytest

from kernels.dsv4 import prefill_attention_fixtures
from kernels.dsv4.attention_fixtures import SWA
from pto_sim.testing import run

from .kernel_layout import arguments, clean_run, compared, layout, pipe_bytes
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
MODULES = ("prefill_attention_swa", "prefill_attention_script")


def strengthen(specs):
    """Rows of the ring as large as those of the run, and a sink that weighs as much as many of them."""
    specs["kv_cache"].init_value = specs["kv_cache"].create_tensor(0) * 30
    specs["attn_sink"].init_value = 4.0


def loaded(tmp_path, start_pos, num_tokens=128, strong=False, **options):
    """The entry, its specs, the reference and the tolerance: what `compared` takes. strong: `strengthen` them."""
    kernel, script = load(tmp_path, *MODULES, **options)
    specs = {spec.name: spec for spec in script.swa_specs(start_pos, num_tokens)}
    if strong:
        strengthen(specs)
    golden = script.golden_prefill_attention_swa
    return kernel.prefill_attention_swa_test, list(specs.values()), golden, script.tolerance("swa", num_tokens)


@pytest.mark.parametrize(
    ("start_pos", "num_tokens", "strong"),
    [(0, 128, False), (128, 128, False), (50, 128, True), (300, 77, True)],
)
def test_small_kernel_equals_its_reference(tmp_path, start_pos, num_tokens, strong):
    result = compared(*loaded(tmp_path, start_pos, num_tokens, strong, sizes=SIZES))
    assert result.passed, result.error


LAYER, SPARSE, PROJECTIONS = "prefill_attention_swa.py", "prefill_sparse_attn.py", "qkv_proj_rope.py"
FAULTS = {
    "another token committed": (LAYER, "kv[w_t : w_t + 1, 0:HEAD_DIM]", "kv[w_t // 2 : w_t // 2 + 1, 0:HEAD_DIM]"),
    "last token not committed": (LAYER, "if w_t < num_tokens", "if w_t < num_tokens - 1"),
    "committed two by two": (LAYER, "[w_row : w_row + 1", "[w_row // 2 : w_row // 2 + 1"),
    "cos and sin exchanged": (LAYER, "rope_rows(freqs_cos, freqs_sin,", "rope_rows(freqs_sin, freqs_cos,"),
    "norm written elsewhere": (LAYER, "attn_norm_w, x_normed)", "attn_norm_w, x_mixed)"),
    "rotation by number, not position": (PROJECTIONS, "pl.cast(pl.read(position_ids, [r_t]), pl.INDEX)", "r_t"),
    "keys turned the other way": (PROJECTIONS, "pl.mul(v_swapped, v_sign)", "pl.mul(v_swapped, pl.neg(v_sign))"),
    "query head not normalised": (PROJECTIONS, "pl.row_expand_mul(h_turned, h_inv)", "h_turned"),
    "old rows of other positions": (SPARSE, "BLOCK_SIZE + g_raw % BLOCK_SIZE", "BLOCK_SIZE + g_raw // 2 % BLOCK_SIZE"),
    "missing softmax scale": (SPARSE, "pl.mul(a_raw, SOFTMAX_SCALE)", "pl.mul(a_raw, 1.0)"),
    "dropped sink": (SPARSE, "pl.add(m_sum, pl.exp(pl.sub(m_sink_col, m_max)))", "m_sum"),
    "streams mixed the wrong way": ("hc_post.py", "h_in * HC_MULT + h_out", "h_out * HC_MULT + h_in"),
    "gate without balancing": ("hc_pre.py", "pl.pipeline(HC_SINKHORN_ITER - 1, stage=2)", "pl.pipeline(1, stage=2)"),
}  # fmt: skip


@pytest.fixture(scope="module")
def bench(tmp_path_factory):
    """A run of 64 tokens that goes round the ring."""

    def given(script, _):
        specs = {spec.name: spec for spec in script.swa_specs(100, 64)}
        strengthen(specs)
        return list(specs.values()), script.golden_prefill_attention_swa, script.tolerance("swa", 64)

    place = tmp_path_factory.mktemp("swa")
    return Bench(place, MODULES[0], "prefill_attention_swa_test", MODULES[1], SHORT, given)


@pytest.mark.plants("prefill_attention_swa")
@pytest.mark.parametrize("name", first_ones_quick(FAULTS, 10))
def test_small_planted_fault_is_caught(tmp_path, bench, name):
    assert any(bench.said(tmp_path, FAULTS[name]))


def test_gather_that_does_not_touch_the_ring_races_with_its_update(tmp_path):
    line = "ori_kv_flat[g_block : g_block + 1, :] = g_touch"
    entry, specs, *_ = loaded(tmp_path, 50, sizes=SIZES, fault=(SPARSE, line, "g_unused = g_touch"))
    assert "PTO431" in {finding.code for finding in run(entry, arguments(specs), timing=False).findings}


def test_small_kernel_passes_what_the_faults_are_planted_in(tmp_path, bench):
    assert bench.said(tmp_path) == ["", ""]


@pytest.mark.flash
@pytest.mark.parametrize(
    ("start_pos", "num_tokens"), [(0, 128), (128, 128), pytest.param(200, 77, marks=pytest.mark.slow)]
)
def test_kernel_equals_its_reference(tmp_path, start_pos, num_tokens):
    result = compared(*loaded(tmp_path, start_pos, num_tokens))
    assert result.passed, result.error


LAYOUT = [
    *FRAME,
    *within("1", [*GATE, *NORMED, *NORM, *ROPE_ROWS, *QUERY, *QKV]),
    ("", "alloc", "cmp_block_table_dummy", 2 * 4),
    ("", "AIV", "prefill_swa_dummy_cmp_table", 1),
    ("", "alloc", "cmp_kv_dummy", 2 * 128 * 512 * 2),
    *attention(2),
    ("", "AIV", "prefill_swa_cache_writeback", 1),
    ("", "AIV", "hc_post", 32),
]


@pytest.mark.flash
@pytest.mark.parametrize("start_pos", [0, 128])
def test_launches_scratch_and_scopes(tmp_path, start_pos):
    entry, specs, *_ = loaded(tmp_path, start_pos)
    done = clean_run(entry, specs)
    assert layout(done) == LAYOUT
    assert pipe_bytes(done) == [GATE_PIPE, *ATTENTION_PIPES]


# Reference and fixture


def test_reference_does_not_depend_on_where_runs_end(tmp_path):
    """128 tokens in one run, or 77 and then 51 which find the others in the ring, give the same streams and ring."""
    _, script = load(tmp_path, *MODULES, sizes=SIZES)

    def inputs(start_pos, num_tokens):
        specs = script.swa_specs(start_pos, num_tokens)
        return {spec.name: np.array(value) for spec, value in zip(specs, arguments(specs), strict=True)}

    whole, first, second = inputs(40, 128), inputs(40, 77), inputs(117, 51)
    first["kv_cache"] = whole["kv_cache"].copy()
    second["x_hc"][:51] = whole["x_hc"][77:]
    for tensors in (whole, first):
        script.golden_prefill_attention_swa(tensors)
    second["kv_cache"] = first["kv_cache"].copy()
    script.golden_prefill_attention_swa(second)
    parts = np.concatenate([first["x_out"][:77], second["x_out"][:51]]).astype(np.float32)
    # An INT8 value may go the other way where the last bit of a sum does.
    close = np.isclose(parts, whole["x_out"].astype(np.float32), rtol=1 / 64, atol=2e-3)
    assert close.mean() > 0.999
    assert np.isclose(second["kv_cache"].astype(float), whole["kv_cache"].astype(float), rtol=1 / 64).mean() > 0.999


def test_reference_without_projection_only_mixes_the_streams(tmp_path):
    _, script = load(tmp_path, *MODULES, sizes=SIZES)
    specs = script.swa_specs(0, 100)
    tensors = {spec.name: np.array(value) for spec, value in zip(specs, arguments(specs), strict=True)}
    tensors["wo_b_scale"][:] = 0
    tensors["hc_attn_scale"][:] = 0  # the gate is its bases alone
    tensors["hc_attn_base"][8:] = 0  # all streams count the same
    script.golden_prefill_attention_swa(tensors)
    mean = tensors["x_hc"].astype(float).mean(axis=1, keepdims=True)
    assert np.abs(tensors["x_out"].astype(float) - mean).max() < 5e-3
    assert not tensors["kv_cache"][0, 100:].any() and tensors["kv_cache"][0, :100].any(axis=(1, 2)).all()


def test_fixture_of_a_run():
    step = prefill_attention_fixtures.PrefillStep(SWA, 250, num_tokens=10)
    assert step.positions[:11].tolist() == [*range(250, 260), 10]
    assert step.ring_slots[:11].tolist() == [122, 123, 124, 125, 126, 127, 0, 1, 2, 3, -1]
    assert step.ring(0)[0].any(axis=(1, 2)).all() and not step.streams(0)[10:].any()
    few = prefill_attention_fixtures.PrefillStep(SWA, 3).ring(0)[0]
    assert few[:3].any(axis=(1, 2)).all() and not few[3:].any()


@pytest.mark.parametrize(
    ("given", "said"),
    [((0, 0), "num_tokens=0"), ((0, 129), "1 to 128"), ((8100, 128), "0 to 8064"), ((-1, 5), "start_pos=-1")],
)
def test_fixture_refuses_what_does_not_exist(given, said):
    with pytest.raises(ValueError, match=said):
        prefill_attention_fixtures.PrefillStep(SWA, *given)
