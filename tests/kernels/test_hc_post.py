"""hc_post: reference against plain Python, kernel against reference, faults, launches and scratch."""

import dataclasses

import ml_dtypes
import numpy as np
import pytest

from kernels.dsv4 import config, hc_reference

from .kernel_layout import clean_run, compared, differences, layout, pipe_bytes
from .sandbox import load

BF16 = ml_dtypes.bfloat16
SIZES = {
    "FLASH": dataclasses.replace(config.FLASH, hidden_size=256),
    "DECODE_BATCH": 16,
    "PREFILL_SEQ": 48,
}
FILE = "hc_post.py"


def loaded(tmp_path, tokens=32, sizes=SIZES, **options):
    """The entry, its specs, the reference and the tolerance: what `compared` takes."""
    kernel, script = load(tmp_path, "hc_post", "hc_post_script", sizes=sizes, **options)
    return kernel.hc_post_test, script.hc_post_specs(tokens), script.golden_hc_post, script.OUTPUT_TOLERANCE


@pytest.mark.parametrize("tokens", [16, 32, 48])
def test_small_kernel_equals_its_reference(tmp_path, tokens):
    result = compared(*loaded(tmp_path, tokens))
    assert result.passed, result.error


FAULTS = {
    "comb transposed": ("h_in * HC_MULT + h_out", "h_out * HC_MULT + h_in"),
    "weight of the first stream": ("pl.read(post, [h_t, h_out])", "pl.read(post, [h_t, 0])"),
    "weight of the first token": ("pl.read(comb, [h_t, h_in", "pl.read(comb, [h_t0, h_in"),
    "a stream left out": ("pl.range(HC_MULT)", "pl.range(1, HC_MULT)"),
    "the same stream again": ("h_d0 = h_in * D", "h_d0 = h_out * D"),
    "streams of the tile's first token": ("streams[h_t : h_t + 1", "streams[h_t0 : h_t0 + 1"),
    "output of the tile's first token": ("x[h_t : h_t + 1, 0:D]", "x[h_t0 : h_t0 + 1, 0:D]"),
    "streams in reverse": ("h_col = h_out * D", "h_col = (HC_MULT - 1 - h_out) * D"),
    "last token of a tile left out": ("h_t0 + T_TILE, stage=4", "h_t0 + T_TILE - 1, stage=4"),
    "sum not carried": ("h_sum = pl.add(h_sum, pl.mul(h_row, h_weight))", "h_sum = pl.mul(h_row, h_weight)"),
    "streams without weights": ("pl.add(h_sum, pl.mul(h_row, h_weight))", "pl.add(h_sum, h_row)"),
    "blocks overlap": ("h_t0 = (h_block // HC_MULT) * T_TILE", "h_t0 = (h_block // HC_MULT) * (T_TILE // 2)"),
}


@pytest.mark.plants("hc_post")
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
    assert layout(done) == [("1", "AIV", "hc_post", 32)]
    assert pipe_bytes(done) == []


def test_reference_is_the_definition():
    tokens, mult, hidden = 3, 4, 5
    rng = np.random.default_rng(1)
    t = {
        "x": rng.normal(size=(tokens, hidden)).astype(BF16),
        "residual": rng.normal(size=(tokens, mult, hidden)).astype(BF16),
        "post": rng.normal(size=(tokens, mult)).astype(np.float32),
        "comb": rng.normal(size=(tokens, mult * mult)).astype(np.float32),
        "y": np.zeros((tokens, mult, hidden), BF16),
    }
    hc_reference.golden_hc_post(t)
    for token, out, d in np.ndindex(tokens, mult, hidden):
        expected = float(t["post"][token, out]) * float(t["x"][token, d])
        for i in range(mult):
            expected += float(t["comb"][token, mult * i + out]) * float(t["residual"][token, i, d])
        assert float(t["y"][token, out, d]) == pytest.approx(expected, rel=2**-8, abs=1e-6)
