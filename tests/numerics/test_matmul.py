"""Float matmuls: the order of accumulation, for every shape, orientation and split."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import numpy as np
import pytest

from pto_sim.numerics.element_types import STORAGE
from pto_sim.numerics.matmul import INT8_EXACT_K, matmul, matmul_acc
from pto_sim.numerics.strict import FORMATS, STRICT, fma, round_exact
from tests.numerics.special_values import assert_same_bits, sample

FP32 = np.dtype(np.float32)


def chain_in_fp64(a: np.ndarray, b: np.ndarray, acc: np.ndarray | None, split: int) -> np.ndarray:
    """The specified chain, vectorised over outputs. a: [M, K], b: [K, N], finite FP32.

    A product of two FP32 values is exact in FP64. The sum with s is split into a rounded FP64 value and its exact
    error (two-sum); forcing the last bit odd where there is an error makes the rounding to FP32 a single one.
    """
    total = None if acc is None else acc.astype(np.float32)
    for k0 in range(0, a.shape[1], split):
        s = np.zeros((a.shape[0], b.shape[1]), np.float32)
        for k in range(k0, min(k0 + split, a.shape[1])):
            product = a[:, k, None].astype(np.float64) * b[None, k, :].astype(np.float64)
            wide = s.astype(np.float64)
            t = product + wide
            back = t - product
            error = (product - (t - back)) + (wide - back)
            bits = t.view(np.int64)
            even = (error != 0) & (bits & 1 == 0)
            toward_zero = (error < 0) == (t > 0)
            t = np.where(even, np.where(toward_zero, bits - 1, bits + 1), bits).view(np.float64)
            s = t.astype(np.float32)
        total = s if total is None else total + s
    assert total is not None
    return total


def test_the_fp64_model_is_the_exact_fma() -> None:
    rng = np.random.default_rng(3)
    a, b, c = (rng.standard_normal(300).astype(np.float32) for _ in range(3))
    c[::3] = -(a[::3] * b[::3])  # cancellation leaves the rounding error of the product
    for x, y, z in zip(a, b, c, strict=True):
        exact = Fraction(float(x)) * Fraction(float(y)) + Fraction(float(z))
        want = round_exact(exact, FORMATS[FP32]) if exact else 0.0
        assert fma(float(x), float(y), float(z), FORMATS[FP32]) == want
        # s = fma(1, z, +0) = z, then fma(x, y, z).
        got = chain_in_fp64(np.array([[1, x]], np.float32), np.array([[z], [y]], np.float32), None, 2)
        assert got[0, 0] == np.float32(want)


@pytest.mark.parametrize("dtype", ["FP32", "BF16", "FP16"])
@pytest.mark.parametrize("a_trans", [False, True])
@pytest.mark.parametrize("b_trans", [False, True])
@pytest.mark.parametrize("m, k, n", [(1, 1, 1), (16, 24, 32), (5, 19, 37), (33, 40, 7), (8, 17, 64), (64, 33, 16)])
def test_against_the_model(dtype: str, a_trans: bool, b_trans: bool, m: int, k: int, n: int) -> None:
    a = sample(dtype, (2, k, m) if a_trans else (2, m, k), seed=1, moderate=True)
    b = sample(dtype, (2, n, k) if b_trans else (2, k, n), seed=2, moderate=True)
    acc = sample("FP32", (2, m, n), seed=3, moderate=True)
    wide_a, wide_b = a.astype(np.float32), b.astype(np.float32)
    wide_a = np.swapaxes(wide_a, 1, 2) if a_trans else wide_a
    wide_b = np.swapaxes(wide_b, 1, 2) if b_trans else wide_b
    for split in (None, 1, 16, k):
        options: dict[str, Any] = {"a_trans": a_trans, "b_trans": b_trans, "k_split": split}
        expected = np.stack([chain_in_fp64(wide_a[i], wide_b[i], None, split or k) for i in range(2)])
        assert_same_bits(matmul(a, b, **options), expected)
        expected = np.stack([chain_in_fp64(wide_a[i], wide_b[i], acc[i], split or k) for i in range(2)])
        assert_same_bits(matmul_acc(acc, a, b, **options), expected)


@pytest.mark.parametrize("dtype", ["FP32", "BF16"])
def test_special_values(dtype: str) -> None:
    """Infinities, NaN, subnormals and signs of zero travel through packing and padding."""
    a, b = sample(dtype, (2, 9, 6), seed=8), sample(dtype, (2, 6, 35), seed=9)
    acc = sample("FP32", (2, 9, 35), seed=10)
    assert_same_bits(matmul(a, b, k_split=4), STRICT["matmul"](a, b, k_split=4))
    assert_same_bits(matmul_acc(acc, a, b, k_split=4), STRICT["matmul_acc"](acc, a, b, k_split=4))
    swapped = np.ascontiguousarray(np.swapaxes(b, 1, 2))
    assert_same_bits(matmul(a, swapped, b_trans=True, k_split=4), STRICT["matmul"](a, b, k_split=4))


def test_a_chain_starts_at_plus_zero_but_the_first_chain_is_not_added_to_zero() -> None:
    """-tiny * tiny underflows to -0 in the chain, and 0 + -0 would lose the sign."""
    tiny = np.full((1, 1, 1), 1e-30, np.float32)
    assert np.signbit(matmul(-tiny, tiny)).all()
    assert not np.signbit(matmul(np.zeros((1, 1, 1), np.float32), -tiny)).any()


def test_the_split_matters_and_the_accumulator_is_not_the_seed() -> None:
    a, b = sample("FP32", (1, 32, 128), seed=1, moderate=True), sample("FP32", (1, 128, 32), seed=2, moderate=True)
    acc = sample("FP32", (1, 32, 32), seed=3, moderate=True)
    whole = matmul(a, b)
    assert (whole != matmul(a, b, k_split=32)).any()
    assert_same_bits(matmul_acc(acc, a, b), acc + whole)
    blocks = [matmul(a[..., k : k + 32], b[:, k : k + 32]) for k in range(0, 128, 32)]
    assert_same_bits(matmul(a, b, k_split=32), ((blocks[0] + blocks[1]) + blocks[2]) + blocks[3])


@pytest.mark.parametrize("threads", [2, 3, 8])
def test_threads_never_change_a_bit(threads: int) -> None:
    a, b = sample("BF16", (5, 32, 64), seed=1), sample("BF16", (1, 48, 64), seed=2)
    assert_same_bits(matmul(a, b, b_trans=True, threads=threads), matmul(a, b, b_trans=True))


def test_non_contiguous_operands() -> None:
    a, b = sample("FP32", (2, 20, 24), seed=1), sample("FP32", (2, 24, 40), seed=2)
    view_a, view_b = a[:, 3:19, ::2], b[:, ::2, 5:38]
    assert_same_bits(matmul(view_a, view_b), matmul(view_a.copy(), view_b.copy()))


@pytest.mark.parametrize("k", [64, INT8_EXACT_K, INT8_EXACT_K + 1, 3 * INT8_EXACT_K + 5])
def test_int8_is_exact(k: int) -> None:
    a, b = sample("INT8", (2, 3, k), seed=1), sample("INT8", (2, 4, k), seed=2)
    a[0], b[0] = -128, -128
    expected = np.matmul(a.astype(np.int64), np.swapaxes(b, 1, 2).astype(np.int64))
    assert_same_bits(matmul(a, b, b_trans=True), expected.astype(np.int32))


def test_int8_accumulator_wraps() -> None:
    acc = np.full((1, 1, 1), np.iinfo(np.int32).max, np.int32)
    one = np.ones((1, 1, 1), np.int8)
    assert matmul_acc(acc, one, one)[0, 0, 0] == np.iinfo(np.int32).min


def test_extents_must_agree() -> None:
    with pytest.raises(ValueError, match="K 4 and 5"):
        matmul(np.zeros((1, 2, 4), np.float32), np.zeros((1, 5, 3), np.float32))


def test_fast_profile_is_close() -> None:
    a, b = sample("BF16", (1, 16, 64), seed=1, moderate=True), sample("BF16", (1, 64, 16), seed=2, moderate=True)
    exact = matmul(a, b)
    loose = matmul(a, b, profile="fast")
    assert loose.dtype == STORAGE["FP32"]
    np.testing.assert_allclose(loose, exact, rtol=1e-4, atol=1e-3)
