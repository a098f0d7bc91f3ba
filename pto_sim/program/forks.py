"""Arrays whose copies share memory until they are written: a cache of which a kernel writes a few rows.

A kernel works on its own copy of an argument that it writes, and so does the reference. For an array that `forkable`
has made, such a copy is a private mapping of the same pages, of which the host copies those that are written.

On a host without memfd_create (only Linux has it) every copy is whole.
"""

from __future__ import annotations

import mmap
import os
from typing import Any

import numpy as np

_SMALLEST_BYTES = 1 << 20  # a copy of less costs less than a mapping

# Flags of an entry of /proc/self/pagemap (Linux: Documentation/admin-guide/mm/pagemap.rst).
_PRESENT, _SWAPPED, _OF_FILE = (np.uint64(1 << bit) for bit in (63, 62, 61))


class _Origin(mmap.mmap):
    """The memory of an array that can be forked. file: its descriptor, which the mapping's own copy keeps open."""

    file: int

    def __del__(self) -> None:
        os.close(self.file)


class _Fork(mmap.mmap):
    """A private mapping of `origin`."""

    origin: _Origin


def forkable(array: np.ndarray) -> np.ndarray:
    """The values of a C-contiguous `array`, read-only, in memory that `private_copy` can share; `array` itself if it is
    small or the host cannot share it."""
    if array.nbytes < _SMALLEST_BYTES or not hasattr(os, "memfd_create"):
        return array
    file = os.memfd_create("pto_sim")
    os.ftruncate(file, array.nbytes)
    memory = _Origin(file, array.nbytes)
    memory.file = file
    result = _over(memory, array)
    result[...] = array
    result.flags.writeable = False
    return result


def private_copy(array: np.ndarray) -> np.ndarray:
    """A C-contiguous copy that can be written, of a whole forkable array without copying what is not."""
    memory = _memory_of(array)
    origin = memory.origin if isinstance(memory, _Fork) else memory
    whole = isinstance(origin, _Origin) and array.nbytes == len(origin) and array.flags.c_contiguous
    if not whole or isinstance(memory, _Fork):
        return array.copy()
    assert isinstance(origin, _Origin)
    fork = _Fork(origin.file, len(origin), flags=mmap.MAP_PRIVATE, prot=mmap.PROT_READ | mmap.PROT_WRITE)
    fork.origin = origin
    return _over(fork, array)


def read_slab(flat: np.ndarray, start: int, stop: int) -> np.ndarray:
    """Elements [start, stop) of a flat array, to read.

    What a private copy has not changed is read from the original, whose pages are in memory already: reading all of a
    mapping makes all of it resident.
    """
    found = flat[start:stop]
    memory = _memory_of(flat)
    if not isinstance(memory, _Fork) or not found.nbytes or not found.flags.c_contiguous:
        return found
    first = _address(found) - _address(np.frombuffer(memory, np.uint8))
    pages = range(first // mmap.PAGESIZE, -(-(first + found.nbytes) // mmap.PAGESIZE))
    changed = _changed_pages(memory, pages)
    if changed is None or changed.all():
        return found
    values = np.frombuffer(memory.origin, np.uint8)[first : first + found.nbytes].copy()
    own = found.view(np.uint8)
    for page in np.flatnonzero(changed):
        begin = max(0, (pages[page]) * mmap.PAGESIZE - first)
        end = (pages[page] + 1) * mmap.PAGESIZE - first
        values[begin:end] = own[begin:end]
    return values.view(flat.dtype)


def _over(memory: mmap.mmap, like: np.ndarray) -> np.ndarray:
    return np.frombuffer(memory, np.uint8).view(like.dtype).reshape(like.shape)


def _memory_of(array: np.ndarray) -> Any:
    """What owns the memory of an array."""
    owner: Any = array
    while getattr(owner, "base", None) is not None:  # a strided view's base is no array, but has one
        owner = owner.base
    return owner.obj if isinstance(owner, memoryview) else owner


def _address(array: np.ndarray) -> int:
    address: int = array.__array_interface__["data"][0]
    return address


def _changed_pages(fork: _Fork, pages: range) -> np.ndarray | None:
    """Which pages of a mapping are its own, bool; None if the host does not say."""
    first = _address(np.frombuffer(fork, np.uint8)) // mmap.PAGESIZE + pages.start
    try:
        with open("/proc/self/pagemap", "rb", buffering=0) as file:
            file.seek(first * 8)
            data = file.read(len(pages) * 8)
    except OSError:
        return None
    entries = np.frombuffer(data, np.uint64)
    if len(entries) != len(pages):
        return None
    return ((entries & (_PRESENT | _SWAPPED)) != 0) & ((entries & _OF_FILE) == 0)
