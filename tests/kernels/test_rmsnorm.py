"""rms_norm: reference against plain Python, kernel against reference, faults, launches and scratch."""

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
    "PREFILL_SEQ": 40,
}
FILE = "rmsnorm.py"


def loaded(tmp_path, tokens=32, sizes=SIZES, **options):
    """The entry, its specs, the reference and the tolerance: what `compared` takes.

    The first tokens are so small that the eps counts as much as they do.
    """
    kernel, script = load(tmp_path, "rmsnorm", "rmsnorm_script", sizes=sizes, **options)
    specs = script.rms_norm_specs(tokens)
    x = specs[0].create_tensor(0).copy()
    x[:4] *= 1e-3
    specs[0].init_value = x
    return kernel.rms_norm_test, specs, script.golden_rms_norm, script.OUTPUT_TOLERANCE


@pytest.mark.parametrize("tokens", [8, 32, 40])
def test_small_kernel_equals_its_reference(tmp_path, tokens):
    result = compared(*loaded(tmp_path, tokens))
    assert result.passed, result.error


FAULTS = {
    "no eps": ("pl.add(pl.mul(n_sum, 1.0 / D), EPS)", "pl.mul(n_sum, 1.0 / D)"),
    "no factors": ("pl.col_expand_mul(pl.row_expand_mul(n_x, n_inv), n_w)", "pl.row_expand_mul(n_x, n_inv)"),
    "factors of the first tile": ("norm_w[n_o0 : n_o0 + D_TILE]", "norm_w[0:D_TILE]"),
    "sum lacks a tile": ("n_db in pl.pipeline(D // D_TILE,", "n_db in pl.pipeline(D // D_TILE - 1,"),
    "mean over a tile": ("1.0 / D)", "1.0 / D_TILE)"),
    "mean of magnitudes": ("pl.mul(n_part, n_part)", "pl.maximum(n_part, pl.neg(n_part))"),
    "no root": ("pl.sqrt(pl.add(pl.mul(n_sum, 1.0 / D), EPS))", "pl.add(pl.mul(n_sum, 1.0 / D), EPS)"),
    "no reciprocal": ("pl.recip(pl.sqrt(", "pl.abs(pl.sqrt("),
    "sum starts at one": ("value=0.0", "value=1.0"),
    "last columns not written": ("n_ob in pl.pipeline(D // D_TILE,", "n_ob in pl.pipeline(D // D_TILE - 1,"),
    "rows of the first block": ("n_x = pl.cast(x[n_t0 : n_t0 + T_TILE,", "n_x = pl.cast(x[0:T_TILE,"),
    "blocks overlap": ("n_t0 = n_block * T_TILE", "n_t0 = n_block * (T_TILE // 2)"),
}


@pytest.mark.plants("rms_norm")
@pytest.mark.parametrize("name", FAULTS)
def test_small_planted_fault_is_caught(tmp_path, name):
    assert any(differences(*loaded(tmp_path, fault=(FILE, *FAULTS[name]))))


@pytest.mark.flash
def test_kernel_equals_its_reference(tmp_path):
    result = compared(*loaded(tmp_path, 128, sizes=None))
    assert result.passed, result.error


@pytest.mark.flash
def test_launches_scratch_and_scopes(tmp_path):
    entry, specs, *_ = loaded(tmp_path, 128, sizes=None)
    done = clean_run(entry, specs)
    assert layout(done) == [("1", "AIV", "rms_norm", 16)]
    assert pipe_bytes(done) == []


def test_reference_is_the_definition():
    rng = np.random.default_rng(2)
    t = {
        "x": (rng.normal(size=(3, 5)) * [[1.0], [1e-3], [0.0]]).astype(BF16),
        "norm_w": rng.normal(size=5).astype(BF16),
        "x_normed": np.ones((3, 5), BF16),
    }
    hc_reference.golden_rms_norm(t)
    for row in range(3):
        values = [float(v) for v in t["x"][row]]
        size = math.sqrt(sum(v * v for v in values) / 5 + 1e-6)
        expected = [v / size * float(w) for v, w in zip(values, t["norm_w"], strict=True)]
        np.testing.assert_allclose(t["x_normed"][row].astype(float), expected, rtol=2**-8)
