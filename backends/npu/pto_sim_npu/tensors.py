"""NumPy arrays to torch tensors and back, bit for bit."""

from __future__ import annotations

from typing import Any

import ml_dtypes
import numpy as np


def to_torch(value: object) -> Any:
    """A tensor with a copy of an array's bits; Python numbers stay as they are."""
    import torch

    if not isinstance(value, np.ndarray):
        return value
    copy = np.array(value, order="C", copy=True)
    if copy.dtype == ml_dtypes.bfloat16:  # torch.from_numpy does not know it
        return torch.from_numpy(copy.view(np.int16)).view(torch.bfloat16)
    return torch.from_numpy(copy)


def to_numpy(tensor: Any, dtype: np.dtype[Any]) -> np.ndarray:
    """An array of `dtype` with the bits of a tensor."""
    import torch

    if dtype == ml_dtypes.bfloat16:
        return tensor.cpu().view(torch.int16).numpy().view(ml_dtypes.bfloat16)
    return tensor.cpu().numpy()
