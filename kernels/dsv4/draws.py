"""Random draws of the fixtures.

Every tensor has its own stream, derived from the seed and the tensor's name: changing one leaves the others as they
are. Values are drawn as FP32, some rows at a time, so that a large tensor is never there in FP32 as a whole.
"""

import zlib
from collections.abc import Callable, Iterator
from math import prod
from typing import Any

import numpy as np

SLAB_ELEMENTS = 1 << 20
Rows = Iterator[tuple[slice, np.ndarray]]


def stream(seed: int, name: str) -> np.random.Generator:
    """The random stream of the tensor `name`."""
    return np.random.default_rng([seed, zlib.crc32(name.encode())])


def uniform(
    seed: int, name: str, shape: tuple[int, ...], low: float = -1.0, high: float = 1.0, dtype: Any = np.float32
) -> np.ndarray:
    """Uniform in [low, high), as `dtype`."""
    numbers, span = stream(seed, name), np.float32(high - low)
    rows = _rows(shape, lambda part: numbers.random(part, np.float32) * span + np.float32(low))
    return _filled(shape, dtype, rows)


def centred(seed: int, name: str, shape: tuple[int, ...], span: float = 1.0, dtype: Any = np.float32) -> np.ndarray:
    """Uniform in [-0.5, 0.5) times `span`, as `dtype`."""
    numbers = stream(seed, name)
    rows = _rows(shape, lambda part: (numbers.random(part, np.float32) - np.float32(0.5)) * np.float32(span))
    return _filled(shape, dtype, rows)


def normal(
    seed: int, name: str, shape: tuple[int, ...], std: float = 1.0, mean: float = 0.0, dtype: Any = np.float32
) -> np.ndarray:
    """Normal, as `dtype`."""
    return _filled(shape, dtype, normal_rows(seed, name, shape, std, mean))


def normal_rows(seed: int, name: str, shape: tuple[int, ...], std: float = 1.0, mean: float = 0.0) -> Rows:
    """The rows of `normal`, FP32 [rows, last extent], some at a time, with their numbers over all other axes."""
    numbers = stream(seed, name)
    return _rows(shape, lambda part: numbers.standard_normal(part, np.float32) * np.float32(std) + np.float32(mean))


def _rows(shape: tuple[int, ...], draw: Callable[[tuple[int, int]], np.ndarray]) -> Rows:
    width, count = shape[-1], prod(shape[:-1])
    step = max(1, SLAB_ELEMENTS // width)
    for first in range(0, count, step):
        last = min(first + step, count)
        yield slice(first, last), draw((last - first, width))


def _filled(shape: tuple[int, ...], dtype: Any, rows: Rows) -> np.ndarray:
    found = np.empty(shape, dtype)
    for chosen, values in rows:
        found.reshape(-1, shape[-1])[chosen] = values
    return found
