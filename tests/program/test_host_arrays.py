"""Arrays of other libraries: the same memory, in and out."""

import array

import ml_dtypes
import numpy as np
import pytest

from pto_sim.program.host_arrays import is_array, view_as_numpy, view_as_torch

TYPES = [np.float32, np.float16, ml_dtypes.bfloat16, np.int8, np.int32, np.int64, np.uint8, np.bool_]


class OnlyDlpack:
    """An array of some other library."""

    def __init__(self, inner):
        self.inner = inner

    def __dlpack__(self, **options):
        return self.inner.__dlpack__(**options)

    def __dlpack_device__(self):
        return self.inner.__dlpack_device__()


def test_numpy_is_itself():
    values = np.zeros((3, 4))[:, ::2]
    assert view_as_numpy(values) is values


@pytest.mark.parametrize(
    "wrap", [OnlyDlpack, memoryview, lambda values: array.array("f", values)], ids=["dlpack", "buffer", "array"]
)
def test_dlpack_and_buffers_are_not_copied(wrap):
    held = wrap(np.arange(4, dtype=np.float32))
    assert is_array(held)
    found = view_as_numpy(held)
    assert found.tolist() == [0, 1, 2, 3]
    source = held.inner if isinstance(held, OnlyDlpack) else np.asarray(held)
    assert np.shares_memory(found, source)


@pytest.mark.parametrize("value", [b"ab", "ab", [1.0], 3, None, object()])
def test_what_is_no_array(value):
    assert not is_array(value)
    with pytest.raises(TypeError, match="is no array"):
        view_as_numpy(value)


@pytest.mark.parametrize("dtype", TYPES)
def test_torch_and_numpy_share_memory_both_ways(dtype):
    torch = pytest.importorskip("torch")
    values = np.array([[0, 1, 2], [3, 4, 5]]).astype(dtype)
    tensor = view_as_torch(values)
    assert tensor.data_ptr() == values.ctypes.data
    assert str(tensor.dtype) == f"torch.{values.dtype.name}"
    back = view_as_numpy(tensor)
    assert back.dtype == values.dtype and np.shares_memory(back, values)
    assert view_as_numpy(tensor.t()).tolist() == values.T.tolist()
    assert np.shares_memory(view_as_numpy(tensor[:, 1:].requires_grad_(tensor.dtype is torch.float32)), values)


def test_bits_of_bfloat16_cross_unchanged():
    torch = pytest.importorskip("torch")
    bits = np.array([0x7FC1, 0xFFC0, 0x8000, 0x0001, 0x7F80], np.uint16)  # NaNs with payload, -0, subnormal, Inf
    tensor = view_as_torch(bits.view(ml_dtypes.bfloat16))
    assert tensor.view(torch.int16).numpy().view(np.uint16).tolist() == bits.tolist()
    assert view_as_numpy(tensor).view(np.uint16).tolist() == bits.tolist()


@pytest.mark.parametrize("make", [lambda a: a[::-1], lambda a: np.broadcast_to(a, (2, 3)).copy()[:, ::-1]])
def test_strides_that_torch_lacks_are_copied(make):
    pytest.importorskip("torch")
    values = make(np.arange(3, dtype=np.float32))
    tensor = view_as_torch(values)
    assert tensor.tolist() == values.tolist() and tensor.data_ptr() != values.ctypes.data


def test_a_tensor_elsewhere_is_refused():
    torch = pytest.importorskip("torch")
    with pytest.raises(TypeError, match=r"on meta; pass tensor\.cpu"):
        view_as_numpy(torch.zeros(2, device="meta"))
