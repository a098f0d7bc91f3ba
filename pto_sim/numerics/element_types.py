"""Element types of tiles by their language name, and the NumPy dtypes that store them."""

from __future__ import annotations

from types import MappingProxyType

import ml_dtypes
import numpy as np

BFLOAT16 = np.dtype(ml_dtypes.bfloat16)

STORAGE = MappingProxyType(
    {
        "BOOL": np.dtype(np.bool_),
        "INT8": np.dtype(np.int8),
        "INT16": np.dtype(np.int16),
        "INT32": np.dtype(np.int32),
        "INT64": np.dtype(np.int64),
        "UINT8": np.dtype(np.uint8),
        "UINT16": np.dtype(np.uint16),
        "UINT32": np.dtype(np.uint32),
        "FP16": np.dtype(np.float16),
        "BF16": BFLOAT16,
        "FP32": np.dtype(np.float32),
    }
)
NAMES = MappingProxyType({dtype: name for name, dtype in STORAGE.items()})

FILL_BYTE = 0xFF
"""Every byte that nothing has written holds this value: NaN in the float types, -1 in the signed integers."""

FLOATS = ("FP32", "FP16", "BF16")
INTS = ("INT8", "INT16", "INT32", "INT64", "UINT8", "UINT16", "UINT32")


def is_float(dtype: np.dtype) -> bool:
    """True for float32, float16 and bfloat16 (whose NumPy kind is 'V')."""
    return dtype.kind == "f" or dtype == BFLOAT16


class ScalarRangeError(ValueError):
    """A scalar operand cannot be held by the tile's element type."""


def scalar_of(value: object, dtype: np.dtype) -> np.ndarray:
    """A scalar operand as an array of `dtype`: 0-d, or [L] if it differs between lanes.

    Floats are rounded once to nearest even. Raises ScalarRangeError if an integer type cannot hold the value.
    """
    array = np.asarray(value)
    if is_float(dtype):
        return array.astype(np.float32).astype(dtype) if dtype == BFLOAT16 else array.astype(dtype)
    if array.dtype.kind == "f" and np.isfinite(array).all() and (array == np.trunc(array)).all():
        array = array.astype(np.int64)
    if array.dtype.kind not in "iub":
        raise ScalarRangeError(f"scalar {value!r} is not an integer, but the tile holds {NAMES[dtype]}")
    if dtype.kind != "b":
        info = np.iinfo(dtype)
        if array.size and (int(array.min()) < info.min or int(array.max()) > info.max):
            raise ScalarRangeError(f"scalar {value!r} does not fit {NAMES[dtype]} ({info.min}..{info.max})")
    return array.astype(dtype)


def align_lanes(scalar: np.ndarray, ndim: int) -> np.ndarray:
    """A scalar operand [L] (or 0-d) shaped so that it broadcasts against an array of `ndim` axes."""
    return scalar.reshape(scalar.shape + (1,) * (ndim - 1)) if scalar.ndim == 1 else scalar
