"""Tensors of the harness: NumPy arrays (BF16 through ml_dtypes), and torch tensors where torch is installed.

Everything inside pto-sim is NumPy. A script that describes its tensors with torch dtypes gets torch tensors in its
golden function and its own comparers; torch is imported only then.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from pto_sim.program.dtypes import DataType, from_numpy
from pto_sim.program.errors import InputError
from pto_sim.program.host_arrays import BF16, is_array, is_torch, view_as_numpy, view_as_torch

__all__ = ["BF16", "as_numpy", "as_torch", "is_torch", "numpy_dtype", "to_float32"]


def numpy_dtype(dtype: object, where: str) -> np.dtype:
    """The NumPy dtype of a NumPy, ml_dtypes, torch or `pl` element type.

    where: what the type belongs to, for the message. Raises InputError (PTO014) for a type that no tensor of the
    kernel language can have.
    """
    found: np.dtype | None = None
    if isinstance(dtype, DataType):
        found = dtype.numpy
    else:
        name = str(dtype).removeprefix("torch.") if is_torch(dtype) else dtype
        try:
            found = BF16 if name == "bfloat16" else np.dtype(name)  # type: ignore[call-overload]
        except TypeError:
            found = None
    if found is None or from_numpy(found) is None:
        raise InputError(
            "PTO014",
            f"{where} has an element type that no tensor can have",
            values=str(dtype),
            hint="use a NumPy type, ml_dtypes.bfloat16, a torch type or a pl type such as pl.FP32",
        )
    return found


def as_numpy(value: Any) -> np.ndarray:
    """`value` as an array, on the same memory where it has any. A torch tensor must be on the CPU."""
    return view_as_numpy(value) if is_array(value) else np.asarray(value)


def as_torch(array: np.ndarray) -> Any:
    """A torch tensor that shares the memory of `array`, see `host_arrays.view_as_torch`."""
    return view_as_torch(array)


def to_float32(value: Any) -> np.ndarray:
    """Values as FP32, the type in which the comparers work."""
    return as_numpy(value).astype(np.float32)
