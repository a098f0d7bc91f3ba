"""The hash covers the written bits and nothing else."""

import hashlib

import ml_dtypes
import numpy as np
import pytest

from pto_sim.report.output_hash import output_sha256

FLOATS = {np.float32: (np.uint32, 0x7FC00000), np.float16: (np.uint16, 0x7E00), ml_dtypes.bfloat16: (np.uint16, 0x7FC0)}


def test_hash_is_sha256_of_the_little_endian_bytes():
    array = np.array([[1, -2], [3, 4]], np.int32)
    expected = hashlib.sha256(b"\x01\0\0\0\xfe\xff\xff\xff\x03\0\0\0\x04\0\0\0").hexdigest()
    assert output_sha256(array) == expected
    assert output_sha256(array.astype(">i4")) == expected
    assert output_sha256(np.asfortranarray(array)) == expected


@pytest.mark.parametrize("dtype", FLOATS)
def test_every_nan_counts_as_the_quiet_one(dtype):
    view, canonical = FLOATS[dtype]
    quiet = np.array([canonical, 0], view)
    for other in (canonical | 1, canonical | (1 << (view().itemsize * 8 - 1))):
        assert output_sha256(np.array([other, 0], view).view(dtype)) == output_sha256(quiet.view(dtype))
    assert output_sha256(quiet.view(dtype)) == hashlib.sha256(quiet.tobytes()).hexdigest()


@pytest.mark.parametrize("dtype", FLOATS)
def test_infinities_and_signed_zeros_stay_apart(dtype):
    values = np.array([np.inf, -np.inf, 0.0, -0.0], np.float32).astype(dtype)
    assert len({output_sha256(values[i : i + 1]) for i in range(4)}) == 4


def test_elements_that_were_never_written_are_left_out():
    array = np.arange(6, dtype=np.float32).reshape(2, 3)
    mask = np.array([[True, True, False], [True, False, False]])
    assert output_sha256(array, mask) == output_sha256(np.array([0, 1, 3], np.float32))
    changed = np.where(mask, array, np.float32(99))
    assert output_sha256(changed, mask) == output_sha256(array, mask)
    assert output_sha256(changed) != output_sha256(array)


def test_scalars_bools_and_empty_arrays_have_a_hash():
    assert output_sha256(np.float32(1.0).reshape(())) == hashlib.sha256(b"\0\0\x80?").hexdigest()
    assert output_sha256(np.array([True, False])) == hashlib.sha256(b"\x01\x00").hexdigest()
    assert output_sha256(np.zeros((0, 4), np.int8)) == hashlib.sha256(b"").hexdigest()
