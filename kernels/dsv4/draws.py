"""Random draws of the fixtures.

Every tensor has its own stream, derived from the seed and the tensor's name: changing one leaves the others as they
are. All values are FP32; the caller stores them in the tensor's type.
"""

import zlib

import numpy as np


def stream(seed: int, name: str) -> np.random.Generator:
    """The random stream of the tensor `name`."""
    return np.random.default_rng([seed, zlib.crc32(name.encode())])


def uniform(seed: int, name: str, shape: tuple[int, ...], low: float = -1.0, high: float = 1.0) -> np.ndarray:
    """FP32 uniform in [low, high)."""
    return stream(seed, name).random(shape, np.float32) * np.float32(high - low) + np.float32(low)


def centred(seed: int, name: str, shape: tuple[int, ...]) -> np.ndarray:
    """FP32 uniform in [-0.5, 0.5)."""
    return stream(seed, name).random(shape, np.float32) - np.float32(0.5)


def normal(seed: int, name: str, shape: tuple[int, ...], std: float = 1.0, mean: float = 0.0) -> np.ndarray:
    """FP32 normal."""
    return stream(seed, name).standard_normal(shape, np.float32) * np.float32(std) + np.float32(mean)
