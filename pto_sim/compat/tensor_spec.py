"""`pypto.runtime.tensor_spec`: arguments of a program as pypto's own test harness describes them, in torch."""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from pto_sim.compat.refusal import RefusedValueError

__path__: list[str] = []

_FACTORIES = ("randn", "rand", "zeros", "ones")
_CTYPES = ("int64", "int32", "uint64", "uint32", "float", "double")


@dataclass
class TensorSpec:
    """One tensor: name, shape, torch dtype, initial value, and whether it is an output.

    init_value: None for zeros, a number for a constant, a tensor, one of torch.randn, rand, zeros and ones, or a
    callable without arguments.
    """

    name: str
    shape: Sequence[int]
    dtype: Any
    init_value: Any = None
    is_output: bool = False

    def create_tensor(self) -> Any:
        """The initial torch tensor. Raises TypeError for an init_value of another kind."""
        import torch

        value, shape = self.init_value, list(self.shape)
        if value is None:
            return torch.zeros(shape, dtype=self.dtype)
        if isinstance(value, (int, float)):
            return torch.full(shape, value, dtype=self.dtype)
        if isinstance(value, torch.Tensor):
            return value.to(dtype=self.dtype)
        if not callable(value):
            raise TypeError(f"TensorSpec {self.name!r}: init_value is a {type(value).__name__}")
        if any(value is getattr(torch, name) for name in _FACTORIES):
            return value(shape, dtype=self.dtype)
        return torch.as_tensor(value(), dtype=self.dtype)

    @property
    def is_input(self) -> bool:
        """Whether the program reads an initial value: an input, or an output with an init_value."""
        return not self.is_output or self.init_value is not None


@dataclass
class ScalarSpec:
    """One scalar, behind all tensors. ctype: int64, int32, uint64, uint32, float or double.

    Raises InputError (PTO018), which is also a ValueError, for another ctype.
    """

    name: str
    value: int | float
    ctype: str = "int64"

    def __post_init__(self) -> None:
        if self.ctype not in _CTYPES:
            raise RefusedValueError(
                "PTO018", f"ScalarSpec {self.name!r}: ctype {self.ctype!r}", hint=f"use one of {', '.join(_CTYPES)}"
            )

    def to_ctype(self) -> Any:
        """The value in its C type."""
        return getattr(ctypes, f"c_{self.ctype}")(self.value)
