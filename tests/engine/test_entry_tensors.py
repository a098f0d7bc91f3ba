"""Arguments in device memory: an input is the caller's memory until the kernel writes to it."""

import ml_dtypes
import numpy as np
import pytest

from pto_sim.engine.entry_tensors import entry_tensor
from pto_sim.engine.run import Run
from pto_sim.program.dtypes import DTYPES, from_numpy
from pto_sim.program.host_arrays import view_as_numpy
from pto_sim.program.options import RunOptions


def entry(array, direction="in"):
    return entry_tensor(Run(RunOptions(), (), None), "x", direction, array, from_numpy(array.dtype), 0)


@pytest.mark.parametrize("dtype", [np.float32, ml_dtypes.bfloat16, np.int8])
def test_an_input_is_not_copied(dtype):
    values = np.ones((4, 8), dtype)
    assert np.shares_memory(entry(values).array(), values)
    assert np.shares_memory(entry(values, "inout").array(), values)


def test_an_input_that_does_not_lie_dense_is():
    values = np.ones((4, 8), np.float32).T
    assert not np.shares_memory(entry(values).array(), values)


def test_an_input_of_torch_is_not_copied():
    torch = pytest.importorskip("torch")
    tensor = torch.ones((4, 8), dtype=torch.bfloat16)
    values = view_as_numpy(tensor)
    assert entry(values).array().ctypes.data == tensor.data_ptr()
    assert from_numpy(values.dtype) is DTYPES["BF16"]
