"""Element types of the language and their NumPy storage."""

from __future__ import annotations

from dataclasses import dataclass
from types import MappingProxyType

import ml_dtypes
import numpy as np


@dataclass(frozen=True, eq=False)
class DataType:
    """An element type. `numpy` is the storage dtype, None where a2a3 cannot hold it in a tensor.

    Types are singletons: compare them with `is` or `==`.
    """

    name: str
    nbytes: int
    numpy: np.dtype | None
    kind: str

    def get_byte(self) -> int:
        """Size of one element in bytes."""
        return self.nbytes

    def __repr__(self) -> str:
        return f"pl.{self.name}"


def _row(name: str, storage: object, kind: str, nbytes: int | None = None) -> DataType:
    dtype = None if storage is None else np.dtype(storage)  # type: ignore[call-overload]
    return DataType(name, nbytes if nbytes is not None else int(dtype.itemsize) if dtype else 1, dtype, kind)


_ROWS = (
    _row("BOOL", np.bool_, "bool"),
    _row("INT8", np.int8, "int"),
    _row("INT16", np.int16, "int"),
    _row("INT32", np.int32, "int"),
    _row("INT64", np.int64, "int"),
    _row("UINT8", np.uint8, "uint"),
    _row("UINT16", np.uint16, "uint"),
    _row("UINT32", np.uint32, "uint"),
    _row("UINT64", np.uint64, "uint"),
    _row("FP16", np.float16, "float"),
    _row("BF16", ml_dtypes.bfloat16, "float"),
    _row("FP32", np.float32, "float"),
    _row("INDEX", np.int64, "int"),
    _row("INT4", None, "int"),
    _row("UINT4", None, "uint"),
    _row("FP4", None, "float"),
    _row("FP8E4M3FN", None, "float"),
    _row("FP8E5M2", None, "float"),
    _row("FP8E8M0", None, "float"),
    _row("HF4", None, "float"),
    _row("HF8", None, "float"),
    _row("TASK_ID", None, "handle", 8),
)

DTYPES = MappingProxyType({row.name: row for row in _ROWS})
_BY_NUMPY = MappingProxyType(
    {row.numpy: row for row in reversed(_ROWS) if row.numpy is not None and row.name != "INDEX"}
)


def from_numpy(dtype: object) -> DataType | None:
    """The language's type for a NumPy dtype, or None if there is none (float64, complex, objects)."""
    return _BY_NUMPY.get(np.dtype(dtype))  # type: ignore[call-overload]


def nbytes_of(name: str) -> int:
    """Bytes of one element of the type called `name` (KeyError if unknown)."""
    return DTYPES[name].nbytes
