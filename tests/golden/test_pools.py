"""Comparers of pools and of error shapes, on arrays whose answer is plain."""

from __future__ import annotations

import numpy as np
import pytest

from pto_sim.golden import error_distribution, mapped_pool_ratio_allclose

POOL = np.arange(4 * 8 * 3, dtype=np.float32).reshape(4, 8, 3)
SLOTS = np.array([3, -1, 17], np.int32)


def check(actual, mapping=SLOTS, **changes):
    options = {"mapping_shape": (3,), "block_size": 8, "atol": 0.0, "rtol": 1e-3, "max_error_ratio": 0.0, **changes}
    return mapped_pool_ratio_allclose("slots", **options)(actual, POOL, inputs={"slots": mapping}, rtol=1e-5, atol=1e-5)


def test_mapped_rows_have_a_tolerance_and_others_none():
    assert check(POOL)[0]
    near = POOL.copy()
    near[2, 1] *= 1.0005  # row 17
    assert check(near)[0]
    near[2, 1] *= 1.1
    assert not check(near)[0]
    outside = POOL.copy()
    outside[3, 0, 0] += 1e-3
    passed, message = check(outside)
    assert not passed and "1 rows" in message


@pytest.mark.parametrize(
    ("mapping", "text"),
    [
        (np.array([3, 3, -1], np.int32), "twice"),
        (np.array([32, 0, 1], np.int32), "outside"),
        (np.array([-2, 0, 1], np.int32), "outside"),
        (np.array([0.0, 1, 2]), "integers"),
        (None, "no input"),
    ],
)
def test_a_mapping_that_cannot_be_is_said(mapping, text):
    passed, message = check(POOL, mapping)
    assert not passed and text in message


def test_ranks_are_mapped_one_by_one():
    pool = np.stack([POOL, POOL])
    compare = mapped_pool_ratio_allclose("s", mapping_shape=(2, 1), block_size=8, leading_rank_axis=True)
    inputs = {"s": np.array([[3], [3]])}
    assert compare(pool, pool, inputs=inputs, rtol=1e-5, atol=1e-5)[0]
    changed = pool.copy()
    changed[1, 0, 4] = 0
    assert not compare(changed, pool, inputs=inputs, rtol=1e-5, atol=1e-5)[0]


@pytest.mark.parametrize("wrong", [{"mapping_shape": ()}, {"block_size": 0}, {"leading_rank_axis": True}])
def test_wrong_parameters(wrong):
    with pytest.raises(ValueError, match=r"mapping_shape|block_size"):
        check(POOL, **wrong)


def test_the_distribution_is_printed_and_passes(capsys):
    golden = np.array([1.0, 2.0, 4.0], np.float32)
    assert error_distribution()(golden * np.float32(1.5), golden)[0]
    text = capsys.readouterr().out
    assert "rel-L2 = 50.0000%" in text and "cosine = 1.0000000" in text and "frac>thd=100.0000%" in text
    assert not error_distribution(always_pass=False)(golden * np.float32(np.nan), golden)[0]
