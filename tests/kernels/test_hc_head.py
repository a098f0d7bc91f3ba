"""hc_head: reference against plain Python, kernel against reference, faults, launches and scratch."""

import dataclasses
import math

import ml_dtypes
import numpy as np
import pytest

from kernels.dsv4 import config, hc_reference

from .kernel_layout import compared, differences, layout, pipe_bytes, right_and_clean_run
from .sandbox import load

BF16 = ml_dtypes.bfloat16
SIZES = {"FLASH": dataclasses.replace(config.FLASH, hidden_size=1024)}
FILE = "hc_head.py"


def faint(x):
    """The first batches are so small that the norm's eps counts as much as they do."""
    x[:8] *= 0.02
    return x


def large(x):
    return x * np.float32(1e6)


def steep(scale):
    """Weights differ widely between tokens."""
    scale[:] = 2
    return scale


def even(base):
    """No stream is open or shut for all tokens."""
    base[:] = 0.5, -0.5, 0.25, -1.0
    return base


def shut(base):
    """All sigmoids are zero: only the small number that is added to them lets the streams through."""
    base[:] = -60
    return base


PLAIN = {"x_hc": faint, "hc_head_scale": steep, "hc_head_base": even}
SHUT = {"x_hc": large, "hc_head_base": shut}


def loaded(tmp_path, changed=PLAIN, sizes=SIZES, **options):
    """The entry, its specs, the reference and the tolerance: what `compared` takes."""
    kernel, script = load(tmp_path, "hc_head", "hc_head_script", sizes=sizes, **options)
    specs = script.hc_head_specs()
    for spec in specs:
        if spec.name in changed:
            spec.init_value = changed[spec.name](spec.create_tensor(0).copy())
    return kernel.hc_head_test, specs, script.golden_hc_head, script.OUTPUT_TOLERANCE


@pytest.mark.parametrize("batch", [32, 64])
@pytest.mark.parametrize("changed", [{}, PLAIN, SHUT], ids=["as drawn", "plain", "shut"])
def test_small_kernel_equals_its_reference(tmp_path, changed, batch):
    result = compared(*loaded(tmp_path, changed, SIZES | {"DECODE_BATCH": batch}))
    assert result.passed, result.error


FAULTS = {
    "norm without eps": ("pl.add(pl.mul(n_sum, 1.0 / HC_DIM), EPS)", "pl.mul(n_sum, 1.0 / HC_DIM)"),
    "mean over one stream": ("1.0 / HC_DIM)", "1.0 / D)"),
    "norm of the first block": ("n_t0 : n_t0 + T_TILE, n_k0 :", "0:T_TILE, n_k0 :"),
    "last columns not widened": (
        "c_kb in pl.pipeline(HC_DIM // RMS_K_TILE", "c_kb in pl.pipeline(HC_DIM // RMS_K_TILE - 1",
    ),
    "product lacks a part": ("LINEAR_OK, name_hint", "LINEAR_OK - 1, name_hint"),
    "parts of another width": ("% LINEAR_OK) * LINEAR_K_SLICE", "% LINEAR_OK) * LINEAR_K_TILE"),
    "parts not added": (", [p_t0, 0], atomic=pl.AtomicType.Add)", ", [p_t0, 0])"),
    "products not summed": (
        "pl.matmul_acc(p_acc, p_x, p_w, b_trans=True)", "pl.matmul(p_x, p_w, b_trans=True, out_dtype=pl.FP32)",
    ),
    "seed of one": ("[T_TILE, HC_PAD], dtype=pl.FP32, value=0.0", "[T_TILE, HC_PAD], dtype=pl.FP32, value=1.0"),
    "projection not divided by the RMS": (
        "pl.row_expand_mul(mixes_raw[w_t0 : w_t0 + TRANSPOSE_T_TILE, 0:HC_PAD], w_inv)",
        "mixes_raw[w_t0 : w_t0 + TRANSPOSE_T_TILE, 0:HC_PAD]",
    ),
    "no scale": ("pl.mul(w_mix, w_scale)", "w_mix"),
    "no base": ("pl.add(pl.mul(w_mix, w_scale), pl.col_expand(w_mix, w_base))", "pl.mul(w_mix, w_scale)"),
    "sigmoid of the negative": ("pl.exp(pl.neg(w_logits))", "pl.exp(w_logits)"),
    "weights of another stream": ("pre_t[1:2,", "pre_t[2:3,"),
    "weights of the first tokens": ("pre_t[0:1, s_t0 : s_t0 + T_TILE]", "pre_t[0:1, 0:T_TILE]"),
    "stream taken twice": ("s_d2 = 2 * D + s_d0", "s_d2 = D + s_d0"),
    "last columns not mixed": ("pl.pipeline(D // D_TILE,", "pl.pipeline(D // D_TILE - 1,"),
}  # fmt: skip
SHUT_FAULTS = {"weights without eps": ("1.0)), HC_EPS)", "1.0)), 0.0)")}
CASES = [(PLAIN, name, fault) for name, fault in FAULTS.items()]
CASES += [(SHUT, name, fault) for name, fault in SHUT_FAULTS.items()]


@pytest.mark.plants("hc_head")
@pytest.mark.parametrize(("changed", "fault"), [pytest.param(c, f, id=name) for c, name, f in CASES])
def test_small_planted_fault_is_caught(tmp_path, changed, fault):
    assert any(differences(*loaded(tmp_path, changed, fault=(FILE, *fault))))


@pytest.mark.flash
def test_kernel_is_right_and_launches_and_keeps_what_the_tables_say(tmp_path):
    done = right_and_clean_run(*loaded(tmp_path, {}, None))
    assert layout(done) == [
        ("1", "alloc", "x_fp32", 128 * 4 * 4096 * 4),
        ("1", "AIV", "hc_head_cast", 16),
        ("1", "alloc", "inv_rms", 128 * 4),
        ("1", "AIV", "hc_head_rms", 16),
        ("1", "alloc", "mixes_raw", 128 * 16 * 4),
        ("1", "AIV", "hc_head_seed", 16),
        ("1", "AIC", "hc_head_linear", 16),
        ("1", "alloc", "pre_t", 16 * 128 * 4),
        ("1", "AIV", "hc_head_pre_fused", 1),
        *((f"1.{block}", "AIV", "hc_head_reduce", 1) for block in range(1, 17)),
    ]
    assert pipe_bytes(done) == []


def test_reference_is_the_definition():
    batch, seq, mult, hidden = 2, 2, 4, 5
    rng = np.random.default_rng(0)
    t = {
        "x_hc": (rng.normal(size=(batch, seq, mult, hidden)) * [[[[1.0]], [[1e-3]]]]).astype(BF16),
        "hc_head_fn": rng.normal(size=(mult, mult * hidden)).astype(np.float32),
        "hc_head_scale": np.array([0.5], np.float32),
        "hc_head_base": rng.normal(size=mult).astype(np.float32),
        "y": np.zeros((batch, seq, hidden), BF16),
    }
    hc_reference.golden_hc_head(t)
    for token in np.ndindex(batch, seq):
        x = [float(v) for v in t["x_hc"][token].ravel()]
        size = math.sqrt(sum(v * v for v in x) / len(x) + 1e-6)
        mixed = [0.0] * hidden
        for stream in range(mult):
            mix = sum(a * float(b) for a, b in zip(x, t["hc_head_fn"][stream], strict=True)) / size
            weight = 1 / (1 + math.exp(-mix * 0.5 - float(t["hc_head_base"][stream]))) + 1e-6
            mixed = [m + weight * v for m, v in zip(mixed, x[stream * hidden : (stream + 1) * hidden], strict=True)]
        np.testing.assert_allclose(t["y"][token].astype(float), mixed, rtol=2**-8, atol=1e-7)
