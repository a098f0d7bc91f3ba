"""`pypto.DataType` and the types of torch that stand for its members."""

from __future__ import annotations

from typing import Any

from pto_sim.program.dtypes import DTYPES
from pto_sim.program.dtypes import DataType as ElementType

__all__ = ["DataType", "to_torch_dtype"]

_OTHER_NAMES = {"BF16": "bfloat16", "FP16": "float16", "FP32": "float32", "INDEX": "int64"}


class _DataTypes(type):
    """Looks members up in the table of element types and takes them for instances."""

    def __getattr__(cls, name: str) -> ElementType:
        if name not in DTYPES:
            raise AttributeError(f"pypto.DataType has no member {name}")
        return DTYPES[name]

    def __instancecheck__(cls, value: object) -> bool:
        return isinstance(value, ElementType)


class DataType(metaclass=_DataTypes):
    """Element types as members: `DataType.FP32` is `pl.FP32`."""


def to_torch_dtype(dtype: ElementType) -> Any:
    """The torch type that holds `dtype`, None if torch has none. Raises ImportError without torch."""
    import torch

    return getattr(torch, _OTHER_NAMES.get(dtype.name, dtype.name.lower()), None) if dtype.numpy is not None else None
