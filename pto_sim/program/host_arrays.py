"""Arrays of other libraries as NumPy arrays on the same memory, and back.

A torch tensor, anything with `__dlpack__` and anything with the buffer protocol is taken without a copy. BF16 has no
type of its own in NumPy: it crosses as 16-bit patterns and is ml_dtypes.bfloat16 on our side. Libraries are told by
the module of a value's class, so that none is imported for the question.
"""

from __future__ import annotations

from typing import Any

import ml_dtypes
import numpy as np

BF16 = np.dtype(ml_dtypes.bfloat16)


def is_torch(value: object) -> bool:
    """Whether `value` is a torch tensor or a torch dtype."""
    return type(value).__module__.split(".")[0] == "torch"


def is_array(value: object) -> bool:
    """Whether `view_as_numpy` takes `value`: NumPy, torch, DLPack or the buffer protocol (text and bytes are not)."""
    if isinstance(value, (np.ndarray, np.generic)) or hasattr(value, "__dlpack__"):
        return True
    return isinstance(value, memoryview) or type(value).__module__ == "array"


def view_as_numpy(value: Any) -> np.ndarray:
    """`value` as an array on the same memory. Raises TypeError for what has none on this host (`is_array` is false)."""
    if isinstance(value, np.ndarray):
        return value
    if is_torch(value):
        return _from_torch(value)
    if not is_array(value):
        raise TypeError(f"{type(value).__name__} is no array")
    if hasattr(value, "__dlpack__") and not isinstance(value, np.generic):
        try:
            return np.from_dlpack(value)
        except (BufferError, RuntimeError, ValueError) as error:
            raise TypeError(f"{type(value).__name__} is not on this host, or of a type NumPy lacks: {error}") from error
    return np.asarray(value)


def _from_torch(value: Any) -> np.ndarray:
    import torch

    tensor = value.detach()
    if tensor.device.type != "cpu":
        raise TypeError(f"the tensor is on {tensor.device}; pass tensor.cpu()")
    if tensor.dtype is torch.bfloat16:
        return tensor.view(torch.int16).numpy().view(BF16)
    return tensor.numpy()


def view_as_torch(array: np.ndarray) -> Any:
    """A torch tensor on the memory of `array`; a copy only if torch cannot hold its strides or may not write it."""
    import torch

    usable = array.flags.writeable and all(stride >= 0 and stride % array.itemsize == 0 for stride in array.strides)
    held = array if usable else array.copy()
    if held.dtype == BF16:
        return torch.from_numpy(held.view(np.int16)).view(torch.bfloat16)
    return torch.from_numpy(held)
