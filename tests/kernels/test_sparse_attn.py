"""The sparse attention kernels against their reference: right as they are, caught when a fault is planted."""

import dataclasses

import numpy as np
import pytest

from kernels.dsv4.sparse_attn_fixtures import tensor_specs
from kernels.dsv4.sparse_attn_reference import golden_sparse_attn
from kernels.dsv4.sparse_attn_script import OUTPUT_TOLERANCE
from pto_sim.backend import open_session
from pto_sim.golden import TensorSpec, run_jit
from pto_sim.program.options import RunOptions

CSA, SWA, HCA = "decode_sparse_attn.py", "decode_sparse_attn_swa.py", "decode_sparse_attn_hca.py"
KERNELS = (CSA, SWA, HCA)
SINK = {"short_window": True, "sink": 4.0}  # few rows, so that one row or the sink weighs enough to be seen

RING_PAGE = ("pl.read(ori_block_table, [g_b, 0])", "pl.read(ori_block_table, [g_b // 2, 0])", SINK)
SCALE = ("pl.mul(a_raw, SOFTMAX_SCALE)", "pl.mul(a_raw, 1.0)", SINK)
WINDOW = ("g_ring_base + g_raw\n", "g_ring_base + (g_raw + 1) % WIN\n", SINK)
ROPE = (
    "freqs_cos[0:T, s_f0 : s_f0 + ROPE_TILE]",
    "freqs_cos[0:T, HALF_ROPE - ROPE_TILE - s_f0 : HALF_ROPE - s_f0]",
    SINK,
)
DROPPED = ("m_denom = pl.add(m_sum, pl.exp(pl.sub(m_sink_col, m_max)))", "m_denom = m_sum", SINK)
MIXED = {"mixed_topk": True}
SHARED = {
    "missing scale": SCALE,
    "off-by-one window": WINDOW,
    "swapped RoPE halves": ROPE,
    "dropped sink": DROPPED,
}
AFTER_THE_ROWS = {  # what the three kernels do alike with the rows that they have gathered
    "rotation forward": ("pl.neg(pl.sub(pl.mul(s_lane, 2.0), 1.0))", "pl.sub(pl.mul(s_lane, 2.0), 1.0)", SINK),
    "RoPE lanes not swapped": ("index=r_swap_idx", "index=pl.cast(r_col, target_type=pl.INT32)", SINK),
    "wrong token packed": ("m_pack_row = m_g * T + m_t", "m_pack_row = m_g * T + T - 1 - m_t", SINK),
    "first projection lacks a step": ("pl.pipeline(1, O_GROUP_IN", "pl.pipeline(2, O_GROUP_IN", SINK),
    "factor upside down": ("pl.reshape(pl.recip(i_scale)", "pl.reshape((i_scale)", SINK),
    "second projection lacks a step": ("(0, O_RANK // B_K_TILE,", "(0, O_RANK // B_K_TILE - 1,", SINK),
}  # fmt: skip
FAULTS = {
    CSA: {
        "wrong block-table row": (
            "[c_b, c_slot // BLOCK_SIZE]", "[c_b // 2, c_slot // BLOCK_SIZE]", MIXED
        ),
        **SHARED,
    },
    SWA: {
        "wrong block-table row": RING_PAGE,
        **SHARED,
    },
    HCA: {
        "wrong block-table row": (
            "[g_b, g_slot // BLOCK_SIZE]", "[g_b // 2, g_slot // BLOCK_SIZE]", MIXED
        ),
        **SHARED,
    },
}  # fmt: skip
PLANTED = [(file, name) for file, faults in FAULTS.items() for name in faults]
ALL = [(file.removesuffix(".py"), name) for file in FAULTS for name in {**FAULTS[file], **AFTER_THE_ROWS}]


@pytest.fixture(scope="module")
def flash_inputs():
    """Inputs at flash size by variant, drawn once for the module; the weights are most of the work."""
    return {}


def compare(kernel, changes, kept=None):
    """The result of running `kernel` on its fixture with `changes` and comparing as its script does."""
    fixture = dataclasses.replace(kernel.fixture, **changes)
    specs = tensor_specs(fixture)
    if kept is not None:
        key = (fixture.topk, fixture.compress_ratio)
        for spec in specs:
            if not spec.is_output and spec.name not in ("cmp_sparse_indices", "attn_sink"):
                spec.init_value = kept.setdefault((key, spec.name), spec.create_tensor(0))
    with open_session(RunOptions(timing=False)):
        return run_jit(kernel.entry, specs, golden_sparse_attn, compare_fn=OUTPUT_TOLERANCE)


@pytest.mark.parametrize(
    "changes",
    [
        {},
        SINK,
        MIXED,
        {"overlay_replacement": True},
        {"shuffled_pages": True},
        {"compress_ratio": 0, "causal_regression": True},
    ],
    ids=lambda changes: "+".join(changes) or "default",
)
@pytest.mark.parametrize("file", KERNELS)
def test_small_kernel_equals_its_reference(load_kernel, file, changes):
    result = compare(load_kernel(file), changes)
    assert result.passed, result.error


@pytest.mark.plants("{kernel}")
@pytest.mark.parametrize(("kernel", "fault"), ALL)
def test_small_planted_fault_is_caught(load_kernel, kernel, fault):
    old, new, changes = (FAULTS[f"{kernel}.py"] | AFTER_THE_ROWS)[fault]
    result = compare(load_kernel(f"{kernel}.py", old=old, new=new), changes)  # unchanged it passes: see above
    assert not result.passed
    assert "attn_out" in result.error and "ratio_allclose" in result.error


@pytest.mark.flash
@pytest.mark.parametrize("file", KERNELS)
def test_kernel_equals_its_reference(load_kernel, file):
    result = compare(load_kernel(file, small=False), {})
    assert result.passed, result.error


@pytest.mark.flash
@pytest.mark.parametrize(("file", "fault"), PLANTED)
def test_planted_fault_is_caught(load_kernel, flash_inputs, file, fault):
    old, new, changes = FAULTS[file][fault]
    result = compare(load_kernel(file, small=False, old=old, new=new), changes, flash_inputs)
    assert not result.passed
    assert "attn_out" in result.error and "ratio_allclose" in result.error


def test_a_token_without_rows_gives_zero(load_kernel):
    kernel = load_kernel(SWA)
    specs = {spec.name: spec for spec in tensor_specs(kernel.fixture)}
    index = specs["cmp_sparse_indices"].create_tensor()
    index[5] = -1
    specs["cmp_sparse_indices"].init_value = index
    seen = {}

    def keep(actual, expected, **_context):
        seen.update(actual=actual, expected=expected)
        return True, ""

    with open_session(RunOptions(timing=False)):
        assert run_jit(kernel.entry, list(specs.values()), golden_sparse_attn, compare_fn={"attn_out": keep}).passed
    for side in seen.values():
        assert not side[5].astype(np.float32).any() and side[4].astype(np.float32).any()


def test_specs_of_the_fixture_fit_the_entry(load_kernel):
    kernel = load_kernel(CSA)
    names = [parameter.name for parameter in kernel.entry.parameters]
    assert names == [spec.name for spec in tensor_specs(kernel.fixture) if isinstance(spec, TensorSpec)]
