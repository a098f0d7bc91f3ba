"""Comparers at their thresholds: the last value that passes and the first that fails, worked out by hand."""

from functools import partial

import ml_dtypes
import numpy as np
import pytest

from pto_sim.golden import ratio_allclose, ratio_reldiff, topk_pair_compare

BF16 = ml_dtypes.bfloat16


def verdict(comparer, actual, expected, rtol=0.0, atol=0.0, **outputs):
    return comparer(
        np.asarray(actual),
        np.asarray(expected),
        actual_outputs={name: np.asarray(value) for name, value in outputs.items()},
        expected_outputs={},
        inputs={},
        rtol=rtol,
        atol=atol,
    )


def off_by(count, size, amount=1.0):
    x = np.zeros(size, np.float32)
    x[:count] = amount
    return x


# ratio_allclose -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("error", "passes"), [(0.75, True), (0.75001, False), (-0.75, True), (-0.75001, False)])
def test_tolerance_is_absolute_plus_relative(error, passes):
    # atol 0.25 + rtol 1/8 of 4
    comparer = ratio_allclose(atol=0.25, rtol=0.125, max_error_ratio=0.0)
    assert verdict(comparer, np.float32([4 + error]), np.float32([4]))[0] is passes


def test_tolerance_is_relative_to_the_expected_side():
    comparer = ratio_allclose(atol=0, rtol=0.5, max_error_ratio=0.0)
    assert verdict(comparer, [1.0], [2.0])[0]
    assert not verdict(comparer, [2.0], [1.0])[0]


@pytest.mark.parametrize(
    ("size", "ratio", "allowed"),
    [(1000, 0.005, 5), (300, 0.005, 2), (500, 0.005, 2), (99, 0.005, 0), (4, 1.0, 4), (100, 0.0, 0)],
)  # 1.5 and 2.5 round half to even, to 2; 0.495 to 0
def test_count_of_outliers_is_rounded(size, ratio, allowed):
    comparer = ratio_allclose(atol=0.5, rtol=0, max_error_ratio=ratio)
    assert verdict(comparer, off_by(allowed, size), np.zeros(size))[0]
    if allowed < size:
        assert not verdict(comparer, off_by(allowed + 1, size), np.zeros(size))[0]


def test_default_ratio_is_half_a_percent():
    assert verdict(ratio_allclose(atol=0.5, rtol=0), off_by(5, 1000), np.zeros(1000))[0]
    assert not verdict(ratio_allclose(atol=0.5, rtol=0), off_by(6, 1000), np.zeros(1000))[0]


def test_tolerance_of_the_run_is_the_default():
    comparer = ratio_allclose(max_error_ratio=0.0)
    assert verdict(comparer, [1.5], [1.0], atol=0.5)[0]
    assert verdict(comparer, [1.5], [1.0], rtol=0.5)[0]
    assert not verdict(comparer, [1.5], [1.0], atol=0.25, rtol=0.125)[0]


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("comparer", [ratio_allclose(atol=1e9, max_error_ratio=1.0), ratio_reldiff(pct_thd=1.0)])
def test_non_finite_values_fail_on_either_side(comparer, bad):
    good = np.zeros(8, np.float32)
    spoiled = good.copy()
    spoiled[3] = bad
    for pair in ((spoiled, good), (good, spoiled), (spoiled, spoiled)):
        passed, message = verdict(comparer, *pair)
        assert not passed and ("NaN=1" in message or "Inf=1" in message)


@pytest.mark.parametrize("make", [partial(ratio_allclose, max_error_ratio=0.0), partial(ratio_reldiff, pct_thd=0.0)])
def test_valid_rows_and_tail(make):
    want = np.zeros((4, 3), np.float32)
    have = want.copy()
    have[3, 1:] = 100.0
    assert not verdict(make(), have, want)[0]
    assert verdict(make(valid_rows=3), have, want)[0]
    passed, message = verdict(make(valid_rows=3, zero_tail=True), have, want)
    assert not passed and "2 nonzero" in message
    assert verdict(make(valid_rows=1, valid_axis=1), have, want)[0]
    assert not verdict(make(valid_rows=2, valid_axis=1), have, want)[0]
    assert verdict(make(valid_rows=0), have, want)[0]
    passed, message = verdict(make(valid_rows=5), have, want)
    assert not passed and "valid_rows=5" in message


@pytest.mark.parametrize("make", [ratio_allclose, ratio_reldiff])
def test_shapes_are_not_broadcast(make):
    passed, message = verdict(make(), np.zeros((4, 1)), np.zeros((4, 3)))
    assert not passed and "(4, 1)" in message and "(4, 3)" in message


def test_message_lists_the_first_outliers_and_the_worst():
    have = off_by(0, 20)
    have[[3, 7, 9]] = [2.0, -5.0, 3.0]
    _, message = verdict(ratio_allclose(atol=0.5, rtol=0, max_error_ratio=0.0, max_show=2), have, np.zeros(20))
    assert "3 of 20" in message and "max abs diff=5 at (7,)" in message
    assert "[3] actual=2" in message and "[7] actual=-5" in message and "[9]" not in message


def test_bf16_values_are_compared_as_fp32():
    step = BF16(1.0) + BF16(2**-7)  # the next BF16 after 1
    comparer = ratio_allclose(atol=0, rtol=2**-7, max_error_ratio=0.0)
    assert verdict(comparer, np.array([step], BF16), np.array([1], BF16))[0]
    tighter = ratio_allclose(atol=0, rtol=2**-8, max_error_ratio=0.0)
    assert not verdict(tighter, np.array([step], BF16), np.array([1], BF16))[0]


def test_ratio_out_of_range():
    for ratio in (-0.1, 1.1):
        with pytest.raises(ValueError, match="max_error_ratio"):
            ratio_allclose(max_error_ratio=ratio)


# ratio_reldiff --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("actual", "expected", "passes"),
    [
        (100.0, 100.9, True),  # 0.9 / 100.9 < 0.01
        (100.0, 101.1, False),  # 1.1 / 101.1 > 0.01
        (101.1, 100.0, False),  # the larger side is the scale
        (0.001, 0.0105, True),  # a difference below diff_thd counts as it is
        (0.0, 0.02, False),  # 0.02 / 0.02
    ],
)
def test_difference_is_relative_from_the_threshold_on(actual, expected, passes):
    comparer = ratio_reldiff(diff_thd=0.01, pct_thd=0.0)
    assert verdict(comparer, np.float32([actual]), np.float32([expected]))[0] is passes


def test_small_values_are_scaled_by_the_floor():
    # floor = 2^-14 / 1e-4 = 0.61035: 3e-4 / 0.61 = 4.9e-4 > 1e-4, but 5e-5 < 1e-4 as it is.
    comparer = ratio_reldiff(diff_thd=1e-4, pct_thd=1.0, max_diff_hd=4.8e-4)
    assert not verdict(comparer, np.float32([3e-4]), np.float32([0]))[0]
    assert verdict(ratio_reldiff(diff_thd=1e-4, pct_thd=1.0, max_diff_hd=5e-4), np.float32([3e-4]), np.float32([0]))[0]
    assert verdict(comparer, np.float32([5e-5]), np.float32([0]))[0]


@pytest.mark.parametrize(("size", "allowed"), [(100, 5), (30, 2), (50, 2), (9, 0)])
def test_share_of_bad_elements(size, allowed):
    # 1.5 and 2.5 round half to even, to 2
    assert verdict(ratio_reldiff(), off_by(allowed, size), np.zeros(size, np.float32))[0]
    passed, message = verdict(ratio_reldiff(), off_by(allowed + 1, size), np.zeros(size, np.float32))
    assert not passed and f"{allowed + 1} of {size}" in message


def test_cap_on_the_worst_element():
    have, want = np.zeros(100, np.float32), np.zeros(100, np.float32)
    have[4], want[4] = 2.0, 1.0  # relative difference 1 / 2
    assert verdict(ratio_reldiff(max_diff_hd=0.51), have, want)[0]
    passed, message = verdict(ratio_reldiff(max_diff_hd=0.49), have, want)
    assert not passed and "max_diff_hd" in message


@pytest.mark.parametrize("wrong", [{"diff_thd": 0.0}, {"max_diff_hd": 0.0}, {"pct_thd": 1.5}, {"pct_thd": -0.1}])
def test_thresholds_out_of_range(wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        ratio_reldiff(**wrong)


# topk_pair_compare ----------------------------------------------------------------------------------------------------

SCORES = np.float32([[9, 7, 7, 5], [8, 6, 4, 2]])
INDICES = np.int32([[0, 1, 2, 3], [4, 5, 6, 7]])


def topk(actual, scores=SCORES, **options):
    return verdict(topk_pair_compare("vals", **options), actual, INDICES, vals=scores)


def test_swapped_indices_pass_while_scores_stay_in_order():
    swapped = INDICES.copy()
    swapped[0, [1, 2]] = [2, 1]
    assert topk(INDICES)[0] and topk(swapped)[0]


def test_another_index_fails_where_scores_are_out_of_order():
    other, scores = INDICES.copy(), SCORES.copy()
    other[1, 2] = 99
    assert topk(other)[0]  # its score still fits between its neighbours
    scores[1, 2] = 1.0  # now below the next one
    passed, message = topk(other, scores)
    assert not passed and "[1, 2] actual=99 expected=6" in message
    assert topk(INDICES, scores)[0]  # equal indices are not judged
    scores[1, 2] = np.nan
    assert not topk(other, scores)[0]


def test_order_and_axis_can_be_chosen():
    other = INDICES.copy()
    other[0, 0] = 99
    assert not topk(other, SCORES[:, ::-1])[0]
    assert topk(other, SCORES[:, ::-1], descending=False)[0]
    columns = verdict(topk_pair_compare("vals", dim=0), other.T, INDICES.T, vals=SCORES[:, ::-1].T)
    assert not columns[0] and "[0, 0] actual=99" in columns[1]


def test_single_candidate_has_no_neighbours():
    assert verdict(topk_pair_compare("vals"), np.int32([[1]]), np.int32([[2]]), vals=np.float32([[3]]))[0]


def test_misuse_is_a_failure_with_a_message():
    assert "no output 'vals'" in verdict(topk_pair_compare("vals"), INDICES, INDICES)[1]
    assert "shapes differ" in topk(INDICES, SCORES[:1])[1]
    assert "dim=2" in topk(INDICES, dim=2)[1]


def test_message_is_limited():
    passed, message = topk(INDICES + 100, SCORES[:, ::-1], max_show=3)
    assert not passed and "8 indices" in message and "and 5 more" in message
