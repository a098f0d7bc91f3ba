"""hc_pre: reference against plain Python, kernel against reference, faults, launches and scratch."""

import dataclasses
import math

import ml_dtypes
import numpy as np
import pytest

from kernels.dsv4 import config, hc_reference

from .kernel_layout import clean_run, compared, differences, layout, pipe_bytes
from .sandbox import load

BF16 = ml_dtypes.bfloat16
SIZES = {
    "FLASH": dataclasses.replace(config.FLASH, hidden_size=512),
    "DECODE_BATCH": 16,
    "PREFILL_SEQ": 48,
}
FILE = "hc_pre.py"


def one_column(base):
    """All rows of comb want the same column: what the others get hangs on the small numbers that are added."""
    base[8:] = np.tile([0, -40, -40, -40], 4)
    return base


def faint(x):
    """The first tokens are so small that the norm's eps counts as much as they do."""
    x[:8] *= 0.02
    return x


PLAIN = {"x": faint}
DEGENERATE = {"x": faint, "hc_base": one_column}


def loaded(tmp_path, changed=PLAIN, tokens=32, sizes=SIZES, **options):
    """The entry, its specs, the reference and the tolerance: what `compared` takes."""
    kernel, script = load(tmp_path, "hc_pre", "hc_pre_script", sizes=sizes, **options)
    specs = script.hc_pre_specs(tokens)
    for spec in specs:
        if spec.name in changed:
            spec.init_value = changed[spec.name](spec.create_tensor(0).copy())
    return kernel.hc_pre_test, specs, script.golden_hc_pre, script.OUTPUT_TOLERANCE


@pytest.mark.parametrize("tokens", [16, 32, 48])
@pytest.mark.parametrize("changed", [{}, PLAIN, DEGENERATE], ids=["as drawn", "faint tokens", "one column"])
def test_small_kernel_equals_its_reference(tmp_path, changed, tokens):
    result = compared(*loaded(tmp_path, changed, tokens))
    assert result.passed, result.error


FAULTS = {
    "norm without eps": ("pl.add(pl.mul(m_squares, 1.0 / HC_DIM), NORM_EPS)", "pl.mul(m_squares, 1.0 / HC_DIM)"),
    "mean over one stream": ("pl.mul(m_squares, 1.0 / HC_DIM)", "pl.mul(m_squares, 1.0 / D)"),
    "projection lacks a step": (
        "pl.pipeline(0, HC_DIM // LINEAR_K_TILE,",
        "pl.pipeline(0, HC_DIM // LINEAR_K_TILE - 1,",
    ),
    "projection of the first block": ("x_flat[m_t0 : m_t0 + T_TILE, m_k0", "x_flat[0:T_TILE, m_k0"),
    "products not summed": (
        "m_acc = pl.matmul_acc(m_acc, m_x, m_w, b_trans=True)",
        "m_acc = pl.matmul(m_x, m_w, b_trans=True, out_dtype=pl.FP32)",
    ),
    "scale of pre for post": ("pl.read(hc_scale, [1])", "pl.read(hc_scale, [0])"),
    "scale of post for comb": ("pl.read(hc_scale, [2])", "pl.read(hc_scale, [1])"),
    "base of pre for post": ("pl.load(base_row, [0, HC_MULT]", "pl.load(base_row, [0, 0]"),
    "post not doubled": (
        "pl.add(pl.exp(pl.neg(q_logits)), 1.0)), 2.0)",
        "pl.add(pl.exp(pl.neg(q_logits)), 1.0)), 1.0)",
    ),
    "sigmoid of the negative": ("pl.exp(pl.neg(p_logits))", "pl.exp(p_logits)"),
    "weight of another stream": ("s_pre[1:2, 0:T_TILE]", "s_pre[2:3, 0:T_TILE]"),
    "stream taken twice": ("[m_t0, 2 * D + s_d0]", "[m_t0, D + s_d0]"),
    "last columns not mixed": ("pl.range(D // D_TILE)", "pl.range(D // D_TILE - 1)"),
    "comb from the numbers of post": ("COMB_OFF = 2 * HC_MULT", "COMB_OFF = HC_MULT"),
    "rows of comb exchanged": ("c_1, T_TILE, HC_MULT), [m_t0, HC_MULT]", "c_2, T_TILE, HC_MULT), [m_t0, HC_MULT]"),
    "balanced once": ("pl.pipeline(HC_SINKHORN_ITER - 1, stage=2)", "pl.pipeline(1, stage=2)"),
    "columns without a row": ("pl.add(c_r0, c_r1), pl.add(c_r2, c_r3)", "pl.add(c_r0, c_r1), c_r2"),
}  # fmt: skip
DEGENERATE_FAULTS = {
    "softmax without eps": ("pl.row_sum(c_e2, c_tmp)), HC_EPS)", "pl.row_sum(c_e2, c_tmp)), 0.0)"),
    "column sums without eps": (
        "pl.add(pl.add(pl.add(c_0, c_1), pl.add(c_2, c_3)), HC_EPS)",
        "pl.add(pl.add(c_0, c_1), pl.add(c_2, c_3))",
    ),
}  # fmt: skip
CASES = [(PLAIN, name, fault) for name, fault in FAULTS.items()]
CASES += [(DEGENERATE, name, fault) for name, fault in DEGENERATE_FAULTS.items()]


@pytest.mark.plants("hc_pre")
@pytest.mark.parametrize(("changed", "fault"), [pytest.param(c, f, id=name) for c, name, f in CASES])
def test_small_planted_fault_is_caught(tmp_path, changed, fault):
    assert any(differences(*loaded(tmp_path, changed, fault=(FILE, *fault))))


@pytest.mark.parametrize("changed", [PLAIN, DEGENERATE], ids=["plain", "degenerate"])
def test_small_kernel_has_no_differences_without_a_fault(tmp_path, changed):
    assert differences(*loaded(tmp_path, changed)) == ["", "", ""]


@pytest.mark.flash
@pytest.mark.parametrize("changed", [{}, DEGENERATE], ids=["as drawn", "one column"])
def test_kernel_equals_its_reference(tmp_path, changed):
    result = compared(*loaded(tmp_path, changed, 128, sizes=None))
    assert result.passed, result.error


@pytest.mark.flash
def test_launches_scratch_and_scopes(tmp_path):
    entry, specs, *_ = loaded(tmp_path, {}, 128, sizes=None)
    done = clean_run(entry, specs)
    assert layout(done) == [("1", "alloc", "mixes_gm", 128 * 32 * 4), ("1", "MIX", "hc_pre_1spmd", 8)]
    assert pipe_bytes(done) == [8 * 4 * 16 * 128 * 4]  # blocks, slots, a tile of 16 tokens and 128 columns in FP32


# Reference

TOKENS, MULT, HIDDEN = 3, 4, 5


def tiny_inputs():
    rng = np.random.default_rng(0)
    return {
        "x": (rng.normal(size=(TOKENS, MULT, HIDDEN)) * [[[1.0]], [[1e-3]], [[30.0]]]).astype(BF16),
        "hc_fn": rng.normal(size=(24, MULT * HIDDEN)).astype(np.float32),
        "hc_scale": np.array([0.5, 0.7, 0.3], np.float32),
        "hc_base": rng.normal(size=24).astype(np.float32),
        "x_mixed": np.zeros((TOKENS, HIDDEN), BF16),
        "post": np.zeros((TOKENS, MULT), np.float32),
        "comb": np.zeros((TOKENS, MULT * MULT), np.float32),
    }


def by_definition(t, token):
    """pre, post and comb of a token, one number at a time."""
    x = [float(v) for v in t["x"][token].ravel()]
    size = math.sqrt(sum(v * v for v in x) / len(x) + 1e-6)
    mix = [sum(a * float(b) for a, b in zip(x, row, strict=True)) / size for row in t["hc_fn"]]

    def logit(j):
        return mix[j] * float(t["hc_scale"][min(j // 4, 2)]) + float(t["hc_base"][j])

    pre = [1 / (1 + math.exp(-logit(j))) + 1e-6 for j in range(4)]
    post = [2 / (1 + math.exp(-logit(j))) for j in range(4, 8)]
    comb = []
    for row in range(4):
        weights = [math.exp(logit(8 + 4 * row + column)) for column in range(4)]
        comb.append([w / sum(weights) + 1e-6 for w in weights])
    for step in range(39):  # columns, then 19 times rows and columns
        if step % 2:
            sums = [[sum(row) + 1e-6] * 4 for row in comb]
        else:
            sums = [[sum(row[column] for row in comb) + 1e-6 for column in range(4)]] * 4
        comb = [
            [value / total for value, total in zip(row, line, strict=True)]
            for row, line in zip(comb, sums, strict=True)
        ]
    return pre, post, comb


def test_reference_is_the_definition():
    t = tiny_inputs()
    hc_reference.golden_hc_pre(t)
    for token in range(TOKENS):
        pre, post, comb = by_definition(t, token)
        np.testing.assert_allclose(t["post"][token], post, rtol=1e-5)
        np.testing.assert_allclose(t["comb"][token], np.ravel(comb), rtol=1e-5)
        mixed = [sum(pre[h] * float(t["x"][token, h, d]) for h in range(4)) for d in range(HIDDEN)]
        np.testing.assert_allclose(t["x_mixed"][token].astype(float), mixed, rtol=2**-8, atol=1e-8)


def test_balanced_rows_and_columns_sum_to_one():
    t = tiny_inputs()
    hc_reference.golden_hc_pre(t)
    comb = t["comb"].reshape(TOKENS, 4, 4)
    np.testing.assert_allclose(comb.sum(axis=1), 1, atol=1e-5)
    np.testing.assert_allclose(comb.sum(axis=2), 1, atol=1e-2)


def test_equal_logits_give_equal_weights():
    t = tiny_inputs()
    t["hc_fn"][:] = 0
    t["hc_base"][:] = 0
    hc_reference.golden_hc_pre(t)
    np.testing.assert_allclose(t["post"], 1, rtol=1e-6)
    np.testing.assert_allclose(t["comb"], 0.25, atol=1e-6)
    np.testing.assert_allclose(t["x_mixed"].astype(float), t["x"].astype(float).sum(axis=1) / 2, rtol=1e-2, atol=1e-2)
