"""Arguments of the entry function as tensors in device memory."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from pto_sim.engine.storage import Storage, Tensor
from pto_sim.program.dtypes import DataType
from pto_sim.program.model import TensorInfo
from pto_sim.program.stacked import StackedArray

if TYPE_CHECKING:
    from pto_sim.engine.run import Run


def entry_tensor(run: Run, name: str, direction: str, array: np.ndarray, dtype: DataType, site: int) -> Tensor:
    """An argument in device memory: an input is copied before its first write, an output starts unwritten."""
    index = len(run.recorder.tensors)
    shape = tuple(int(extent) for extent in array.shape)
    run.recorder.tensors.append(
        TensorInfo(name, shape, dtype.name, array.size * dtype.nbytes, "entry", direction, site)
    )
    if direction == "out":
        storage = Storage.unwritten(index, dtype, array.size)
        storage.host = array.reshape(-1)
    else:
        flat = np.ascontiguousarray(array).reshape(-1)
        # What is made in parts is too large for a second copy: it is written in place.
        stack = array.stack if isinstance(array, StackedArray) else None
        storage = Storage(index, dtype, flat, shared=stack is None, is_input=direction == "in")
        storage.stack = stack
        if stack is not None:
            stack.begin()
    for observer in run.observers:
        observer.on_tensor(index, storage.elements)
    return Tensor(run, storage, shape, name=name)
