"""Copies that share pages until they are written."""

import os

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pto_sim.program import forks
from pto_sim.program.forks import forkable, private_copy, read_slab

PAGE_ROWS = 4  # of 512 BF16 elements in a page of 4 KiB
linux = pytest.mark.skipif(not hasattr(os, "memfd_create"), reason="only Linux shares pages")


def cache(rows: int = 2048) -> np.ndarray:
    """[rows, 512] BF16, 2 MiB: large enough to be shared."""
    return np.random.default_rng(1).standard_normal((rows, 512), np.float32).astype(ml_dtypes.bfloat16)


def resident_bytes() -> int:
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def test_a_copy_has_the_values_and_leaves_the_original_alone():
    values = cache()
    original = forkable(values)
    first, second = private_copy(original), private_copy(original)
    first[3], second[-1] = 7.0, -2.0
    assert np.array_equal(original, values)
    values[3] = 7.0
    assert np.array_equal(first, values)
    assert second[-1, 0] == -2.0 and second[3, 0] == original[3, 0]


def test_the_original_is_read_only():
    with pytest.raises(ValueError, match="read-only"):
        forkable(cache())[0] = 0.0


def test_a_copy_outlives_the_original():
    values = cache()
    copy = private_copy(forkable(values))
    assert np.array_equal(copy, values)


@pytest.mark.parametrize("array", [np.arange(12.0).reshape(3, 4), np.zeros((0, 4)), np.float32(3.0).reshape(())])
def test_small_arrays_are_copied_whole(array):
    assert forkable(array) is array
    copy = private_copy(array)
    assert np.array_equal(copy, array) and not np.shares_memory(copy, array)


def test_a_host_that_cannot_share_copies_whole(monkeypatch):
    monkeypatch.delattr(os, "memfd_create", raising=False)
    values = cache()
    assert forkable(values) is values
    copy = private_copy(values)
    copy[0] = 0.0
    assert values[0, 0] != 0.0


@linux
def test_a_copy_of_a_copy_and_of_a_part_are_their_own():
    original = forkable(cache())
    changed = private_copy(original)
    changed[5] = 1.0
    for source in (changed, original[100:900], original[:, ::2]):
        copy = private_copy(source)
        assert np.array_equal(copy, source)
        copy[...] = 0.0
        assert source[6, 0] != 0.0


@linux
def test_only_written_pages_take_memory():
    original = forkable(np.zeros((1 << 14, 2048), np.float32))  # 128 MiB
    before = resident_bytes()
    copies = [private_copy(original) for _ in range(3)]
    for copy in copies:
        copy[:: 1 << 10, 0] = 1.0
        flat = copy.reshape(-1)
        for start in range(0, flat.size, 1 << 20):
            read_slab(flat, start, start + (1 << 20))
    assert resident_bytes() - before < 32 << 20


@linux
@settings(deadline=None, max_examples=60)
@given(
    st.lists(st.tuples(st.integers(0, 2047), st.integers(0, 511)), max_size=12),
    st.integers(0, 2047 * 512),
    st.integers(0, 40_000),
    st.booleans(),
)
def test_a_slab_has_the_elements_of_the_copy(places, start, length, silent):
    copy = private_copy(forkable(cache()))
    for number, place in enumerate(places):
        copy[place] = float(number)
    flat = copy.reshape(-1)
    stop = min(start + length, flat.size)
    with pytest.MonkeyPatch.context() as patch:
        if silent:  # a host that does not tell which pages were written
            patch.setattr(forks, "_changed_pages", lambda fork, pages: None)
        slab = read_slab(flat, start, stop)
    assert slab.dtype == flat.dtype and slab.tobytes() == flat[start:stop].tobytes()


@linux
def test_a_slab_of_a_strided_view_of_the_whole():
    copy = private_copy(forkable(cache()))
    copy[9, 9] = 5.0
    view = np.lib.stride_tricks.as_strided(copy.reshape(-1), (2048 * 512,), (2,))
    assert read_slab(view, 4096, 8192).tobytes() == copy.reshape(-1)[4096:8192].tobytes()


@linux
def test_descriptors_are_closed():
    def open_files() -> int:
        return len(os.listdir("/proc/self/fd"))

    before = open_files()
    for _ in range(20):
        private_copy(forkable(cache()))[0] = 1.0
    assert open_files() <= before + 2
