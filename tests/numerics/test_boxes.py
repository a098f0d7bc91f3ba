"""Box copies against NumPy's own strided views."""

from __future__ import annotations

import ml_dtypes
import numpy as np
import pytest

from pto_sim.numerics.boxes import box_offsets, load_boxes, store_boxes, store_elements
from tests.numerics.special_values import bits

SHAPES = [
    ((40,), (7,)),
    ((9, 11), (4, 5)),
    ((4, 6, 5), (2, 3, 4)),
    ((3, 4, 2, 6), (2, 2, 1, 5)),
    ((2, 3, 2, 3, 4), (1, 2, 2, 2, 3)),
]
DTYPES = [np.int8, np.float16, ml_dtypes.bfloat16, np.float32, np.int64, np.bool_]


def _case(shape: tuple[int, ...], sizes: tuple[int, ...], dtype: type) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(1)
    array = rng.integers(0, 2 if dtype is np.bool_ else 100, shape).astype(dtype)
    offsets = np.array(
        [[rng.integers(0, extent - size + 1) for _ in range(3)] for extent, size in zip(shape, sizes, strict=True)]
    )
    return array, offsets.astype(np.int64)


def _strides(shape: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(int(np.prod(shape[axis + 1 :])) for axis in range(len(shape)))


def _window(array: np.ndarray, offset: np.ndarray, sizes: tuple[int, ...]) -> np.ndarray:
    return array[tuple(slice(at, at + size) for at, size in zip(offset, sizes, strict=True))]


@pytest.mark.parametrize("shape, sizes", SHAPES)
@pytest.mark.parametrize("dtype", DTYPES)
def test_load(shape: tuple[int, ...], sizes: tuple[int, ...], dtype: type) -> None:
    array, offsets = _case(shape, sizes, dtype)
    base, bad = box_offsets(offsets, shape, _strides(shape), sizes)
    assert bad == -1
    out = np.empty((3, *sizes), dtype)
    load_boxes(array.reshape(-1), base, sizes, _strides(shape), out)
    for lane in range(3):
        assert (bits(out[lane]) == bits(_window(array, offsets[:, lane], sizes))).all()


@pytest.mark.parametrize("shape, sizes", SHAPES)
@pytest.mark.parametrize("lanes", [1, 3])
def test_store(shape: tuple[int, ...], sizes: tuple[int, ...], lanes: int) -> None:
    """One source per lane, or one source for all; the last lane wins where boxes overlap."""
    array, offsets = _case(shape, sizes, np.float32)
    source = np.random.default_rng(2).standard_normal((lanes, *sizes)).astype(np.float32)
    expected = array.copy()
    for lane in range(3):
        _window(expected, offsets[:, lane], sizes)[...] = source[lane % lanes]
    base, _ = box_offsets(offsets, shape, _strides(shape), sizes)
    store_boxes(array.reshape(-1), base, sizes, _strides(shape), source)
    assert (array == expected).all()


def test_transposed_strides_and_source_views() -> None:
    array = np.arange(24, dtype=np.int32)
    out = np.empty((1, 4, 3), np.int32)
    load_boxes(array, np.array([1], np.int64), (4, 3), (1, 6), out)
    assert (out[0] == np.lib.stride_tricks.as_strided(array[1:], (4, 3), (4, 24))).all()
    store_boxes(
        array,
        np.array([1], np.int64),
        (4, 3),
        (1, 6),
        np.swapaxes(np.arange(100, 112, dtype=np.int32).reshape(1, 3, 4), 1, 2),
    )
    assert array[1:5].tolist() == [100, 101, 102, 103]


@pytest.mark.parametrize(
    "offsets, lane", [([[0, 6, 7], [0, 0, 0]], 2), ([[0, -1, 9], [0, 0, 0]], 1), ([[0, 0, 0], [5, 5, 4]], 0)]
)
def test_first_lane_out_of_bounds(offsets: list[list[int]], lane: int) -> None:
    _, bad = box_offsets(np.array(offsets, np.int64), (10, 8), (8, 1), (4, 4))
    assert bad == lane


def test_the_last_box_that_fits() -> None:
    base, bad = box_offsets(np.array([[6], [4]], np.int64), (10, 8), (8, 1), (4, 4))
    assert (base.tolist(), bad) == ([52], -1)


def test_elements_are_stored_lane_after_lane():
    flat = np.array([5, 6, 7, 8], np.int32)
    same = store_elements(flat, np.array([2, 0, 2, 2, 3]), np.array([9, 5, 9, 1, 4], np.int32))
    assert flat.tolist() == [5, 6, 1, 4]
    assert same.tolist() == [False, True, True, False, False]  # a place holds what the lane before left there


def test_stored_elements_are_compared_bit_by_bit():
    flat = np.array([0.0, np.nan, 1.0], np.float32)
    same = store_elements(flat, np.array([0, 1, 2]), np.array([-0.0, np.nan, 1.0], np.float32))
    assert same.tolist() == [False, True, True]


def test_a_box_says_whether_its_bits_were_there():
    flat = np.arange(8, dtype=np.float32)
    source = np.array([[0, 1], [9, 3], [9, 3]], np.float32)
    assert store_boxes(flat, np.array([0, 2, 2]), (2,), (1,), source).tolist() == [True, False, True]
    assert flat.tolist() == [0, 1, 9, 3, 4, 5, 6, 7]
    strided = np.array([[0, 9]], np.float32)
    assert store_boxes(flat, np.array([0]), (2,), (2,), strided).tolist() == [True]
