"""Reading a tensor that torch.save wrote, without torch and without running anything that the file names.

A .pt file is a zip archive: data.pkl says what the tensor is, data/KEY holds the bytes of a storage, uncompressed.
A pickle may name any function of any module to be called; here only the names of tensors are known, and another is an
error that names it. Format: torch/serialization.py and torch/_utils.py of PyTorch 2.
"""

from __future__ import annotations

import io
import pickle
import zipfile
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

import ml_dtypes
import numpy as np

from pto_sim.program.errors import InputError

MAX_PICKLE_BYTES = 1 << 20
"""data.pkl of one tensor has some hundred bytes; a larger one is not read."""

_STORAGES: Mapping[str, np.dtype] = MappingProxyType(
    {
        "FloatStorage": np.dtype(np.float32),
        "HalfStorage": np.dtype(np.float16),
        "BFloat16Storage": np.dtype(ml_dtypes.bfloat16),
        "DoubleStorage": np.dtype(np.float64),
        "CharStorage": np.dtype(np.int8),
        "ShortStorage": np.dtype(np.int16),
        "IntStorage": np.dtype(np.int32),
        "LongStorage": np.dtype(np.int64),
        "ByteStorage": np.dtype(np.uint8),
        "BoolStorage": np.dtype(np.bool_),
    }
)
_TYPES = ("uint16", "uint32", "uint64")


class NotATensorFileError(ValueError):
    """A file that is damaged, or is no archive of torch.save with one tensor."""


@dataclass(frozen=True)
class _Storage:
    dtype: np.dtype | None  # None: untyped, the tensor says its type
    data: bytes


def read_tensor(path: Path) -> np.ndarray:
    """The tensor in a .pt file.

    Raises InputError (PTO024) if its pickle names anything that a tensor does not need, NotATensorFileError for a file
    that is damaged or holds something else, OSError if it cannot be opened.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            value = _Unpickler(path, archive).load()
    except (zipfile.BadZipFile, pickle.UnpicklingError, EOFError, KeyError, IndexError, AttributeError) as error:
        raise NotATensorFileError(str(error) or type(error).__name__) from error
    except (TypeError, ValueError, OverflowError, MemoryError, RecursionError, NotImplementedError) as error:
        raise NotATensorFileError(str(error) or type(error).__name__) from error
    if not isinstance(value, np.ndarray):
        raise NotATensorFileError(f"it holds a {type(value).__name__}, not a tensor")
    return value


class _Unpickler(pickle.Unpickler):
    """Knows the names that torch.save writes for a tensor, and no other."""

    def __init__(self, path: Path, archive: zipfile.ZipFile) -> None:
        self._path, self._archive = path, archive
        pickles = [name for name in archive.namelist() if name.endswith("/data.pkl") and name.count("/") == 1]
        if len(pickles) != 1:
            raise NotATensorFileError("it has no data.pkl")
        self._root = pickles[0].removesuffix("data.pkl")
        if archive.getinfo(pickles[0]).file_size > MAX_PICKLE_BYTES:
            raise NotATensorFileError(f"its data.pkl has more than {MAX_PICKLE_BYTES} bytes: it holds no single tensor")
        order = self._root + "byteorder"
        if order in archive.namelist() and archive.read(order) != b"little":
            raise NotATensorFileError("its numbers are big-endian")
        super().__init__(io.BytesIO(archive.read(pickles[0])))

    def find_class(self, module: str, name: str) -> Any:
        """What a name of the pickle means. Raises InputError (PTO024) for one that no tensor needs."""
        found = self._known(module, name)
        if found is None:
            raise InputError(
                "PTO024",
                f"{self._path} is not only a tensor: reading it would call {module}.{name}",
                hint="do not trust the file; save the tensor alone with torch.save(tensor, path), or as .npy",
            )
        return found

    def _known(self, module: str, name: str) -> Any:
        if module == "torch._utils":
            functions: dict[str, Callable[..., Any]] = {
                "_rebuild_tensor_v2": _rebuild,
                "_rebuild_tensor_v3": _rebuild_typed,
                "_rebuild_parameter": lambda data, *rest: data,
            }
            return functions.get(name)
        if module == "torch" and name in _STORAGES:
            return _STORAGES[name]
        if module == "torch" and name in _TYPES:
            return np.dtype(name)
        if (module, name) == ("torch.storage", "UntypedStorage"):
            return "untyped"
        return OrderedDict if (module, name) == ("collections", "OrderedDict") else None

    def persistent_load(self, pid: Any) -> _Storage:
        """The bytes of a storage."""
        kind, dtype, key, _location, count = pid
        if kind != "storage" or not isinstance(key, str):
            raise NotATensorFileError("a part of it is no storage")
        member = self._archive.getinfo(f"{self._root}data/{key}")
        if member.compress_type != zipfile.ZIP_STORED:
            raise NotATensorFileError("its storage is compressed, which torch.save does not do")
        element = dtype if isinstance(dtype, np.dtype) else None
        if member.file_size != count * (element.itemsize if element is not None else 1):
            raise NotATensorFileError(f"storage {key} has {member.file_size} bytes and should have {count} elements")
        return _Storage(element, self._archive.read(member))


def _rebuild(storage: _Storage, offset: int, size: Sequence[int], stride: Sequence[int], *rest: Any) -> np.ndarray:
    if storage.dtype is None:
        raise NotATensorFileError("a storage has no element type")
    return _strided(storage.data, storage.dtype, offset, size, stride)


def _rebuild_typed(
    storage: _Storage, offset: int, size: Sequence[int], stride: Sequence[int], grad: bool, hooks: Any, dtype: Any,
    *rest: Any,
) -> np.ndarray:  # fmt: skip
    if not isinstance(dtype, np.dtype):
        raise NotATensorFileError("the tensor's element type is not known")
    return _strided(storage.data, dtype, offset, size, stride)


def _strided(data: bytes, dtype: np.dtype, offset: int, size: Sequence[int], stride: Sequence[int]) -> np.ndarray:
    """The elements that offset, size and stride (in elements) pick out of a storage, as an array of its own."""
    flat = np.frombuffer(data, dtype)
    numbers = (offset, *size, *stride)
    if len(size) != len(stride) or not all(isinstance(number, int) and number >= 0 for number in numbers):
        raise NotATensorFileError(f"offset {offset}, size {tuple(size)}, stride {tuple(stride)} are no tensor")
    last = offset + sum((extent - 1) * step for extent, step in zip(size, stride, strict=True))
    if 0 not in size and last >= flat.size:
        raise NotATensorFileError(f"the tensor reaches element {last} of a storage of {flat.size}")
    if 0 in size:
        return np.zeros(tuple(size), dtype)
    steps = tuple(step * dtype.itemsize for step in stride)
    return np.lib.stride_tricks.as_strided(flat[offset:], tuple(size), steps, writeable=False).copy()
