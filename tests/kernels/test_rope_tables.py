"""Rotary frequencies against their closed form."""

import math
from types import SimpleNamespace

import ml_dtypes
import numpy as np
import pytest

from kernels.dsv4 import config, rope_tables


def test_layers_without_compression_have_plain_frequencies():
    expected = [10000.0 ** (-2 * i / 64) for i in range(32)]
    np.testing.assert_allclose(rope_tables.frequencies(config.FLASH, 0), expected, rtol=1e-12)


@pytest.mark.parametrize("ratio", [4, 128])
def test_compressed_layers_slow_down_the_slow_pairs(ratio):
    # Pairs up to 15 turn at least 32 times in 65536 positions and keep their frequency; those from 25 on turn less
    # than once and are slowed by 16. (64 ln(65536 / 2 pi r) / (2 ln 160000) is 15.46 for r = 32 and 24.71 for r = 1.)
    plain = [160000.0 ** (-2 * i / 64) for i in range(32)]
    found = rope_tables.frequencies(config.FLASH, ratio)
    np.testing.assert_allclose(found[:16], plain[:16], rtol=1e-12)
    np.testing.assert_allclose(found[25:], [f / 16 for f in plain[25:]], rtol=1e-12)
    np.testing.assert_allclose(found[20], plain[20] * (0.5 / 16 + 0.5), rtol=1e-12)  # half way from 15 to 25
    assert (np.diff(found) < 0).all()


def test_a_model_without_original_context_has_no_yarn():
    expected = [40000.0 ** (-2 * i / 64) for i in range(32)]
    np.testing.assert_allclose(rope_tables.frequencies(config.DEMO, 4), expected, rtol=1e-12)


def test_a_ramp_without_width_is_a_step():
    tiny = SimpleNamespace(
        qk_rope_head_dim=8,
        compress_rope_theta=100.0,
        rope_factor=2.0,
        beta_fast=1,
        beta_slow=1,
        original_max_position_embeddings=2 * math.pi * 10,
    )
    # 8 ln(10) / (2 ln 100) = 2 exactly: floor and ceil coincide.
    found = rope_tables.frequencies(tiny, 4)
    plain = [100.0 ** (-2 * i / 8) for i in range(4)]
    np.testing.assert_allclose(found[:2], plain[:2])
    np.testing.assert_allclose(found[3], plain[3] / 2)


def test_rows_are_cos_and_sin_twice():
    cos, sin = rope_tables.rope_rows(config.FLASH, 0, np.array([0, 1, 100]))
    assert cos.shape == sin.shape == (3, 64) and cos.dtype == sin.dtype == ml_dtypes.bfloat16
    for row, position in enumerate((0, 1, 100)):
        for i in range(32):
            angle = position * 10000.0 ** (-2 * i / 64)
            assert float(cos[row, i]) == pytest.approx(math.cos(angle), abs=2**-8)
            assert float(sin[row, i]) == pytest.approx(math.sin(angle), abs=2**-8)
    assert (cos[:, :32] == cos[:, 32:]).all() and (sin[:, :32] == sin[:, 32:]).all()


def test_tables_cover_all_positions():
    cos, sin = rope_tables.rope_tables(config.FLASH, 4)
    assert cos.shape == sin.shape == (8192, 64)
    row_cos, row_sin = rope_tables.rope_rows(config.FLASH, 4, np.array([8191]))
    assert (cos[-1:] == row_cos).all() and (sin[-1:] == row_sin).all()
