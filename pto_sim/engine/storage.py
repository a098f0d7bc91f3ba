"""GM buffers and the views of them that a kernel holds."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from pto_sim.numerics.element_types import FILL_BYTE
from pto_sim.program.dtypes import DataType
from pto_sim.program.errors import KernelError, UnsupportedError
from pto_sim.program.forks import private_copy
from pto_sim.program.model import ValueType
from pto_sim.program.stacked import Lease, Stack

if TYPE_CHECKING:
    from pto_sim.engine.run import Run

_WORDS = {1: np.uint8, 2: np.uint16, 4: np.uint32, 8: np.uint64}


class Storage:
    """One GM buffer: a flat array of elements, dead once its scope has closed.

    tensor: index into the recorded Program's tensors. flat: the elements, 1-D, of dtype.numpy.
    words: the same bytes as unsigned integers. shared: `flat` belongs to the caller and is copied before
    the first write, because the device works on its own copy of an input. is_input: an entry argument that
    is declared as an input, so a write that changes it is worth a finding. host: of an entry output, the caller's
    elements, which an atomic addition adds to; None once they have been taken. stack: of an argument in parts.
    """

    __slots__ = ("closed_at", "dtype", "flat", "host", "is_input", "shared", "stack", "tensor", "words")

    def __init__(
        self, tensor: int, dtype: DataType, flat: np.ndarray, shared: bool = False, is_input: bool = False
    ) -> None:
        self.tensor, self.dtype, self.shared, self.is_input = tensor, dtype, shared, is_input
        self.closed_at: str | None = None
        self.host: np.ndarray | None = None
        self.stack: Stack | None = None
        self._attach(flat)

    @classmethod
    def unwritten(cls, tensor: int, dtype: DataType, count: int) -> Storage:
        """A buffer of `count` elements that nothing has written."""
        assert dtype.numpy is not None
        return cls(tensor, dtype, np.full(count * dtype.nbytes, FILL_BYTE, np.uint8).view(dtype.numpy))

    def _attach(self, flat: np.ndarray) -> None:
        self.flat: np.ndarray = flat
        self.words: np.ndarray = flat.view(_WORDS[flat.dtype.itemsize])

    def elements(self) -> np.ndarray:
        """The elements as they are now, flat."""
        return self.flat

    def own(self) -> None:
        """Make the bytes private before a write."""
        if self.stack is not None and self.is_input:
            raise UnsupportedError("a store to an input that is made in parts", hint="declare the parameter pl.InOut")
        if self.shared:
            self._attach(private_copy(self.flat))
            self.shared = False

    def close(self, where: str) -> None:
        """The scope at `where` has closed: drop the bytes. Any later touch is an error."""
        self.closed_at = where
        self._attach(np.empty(0, self.flat.dtype))  # a view would keep the bytes


class Tensor:
    """A view of a GM buffer: what a kernel's tensor names hold.

    offset and strides are in elements of the storage. `argument` is the handle under which a task
    sees the tensor: a view made inside a task belongs to the handle it was made from. `alias` is what the compiler
    knows of its buffer: 0 the buffer itself, a positive number a slice that it takes for a buffer of its own, -1
    nothing (pypto: src/ir/transforms/utils/buffer_root_collector.cpp). no_dep: the launch that gets this handle has no
    automatic dependencies on it. valid: extents of the box at the origin that loads may read, None for all of it.
    sliced: the shape that the slice asked for, where it was trimmed at the end of its tensor; None otherwise. lease:
    keeps the parts that the view lies in, of an argument that is made in parts.
    """

    __slots__ = (
        "_root", "alias", "dtype", "lease", "name", "no_dep", "offset", "run", "shape", "sliced", "storage", "strides",
        "type", "valid",
    )  # fmt: skip

    def __init__(
        self,
        run: Run,
        storage: Storage,
        shape: tuple[int, ...],
        strides: tuple[int, ...] | None = None,
        offset: int = 0,
        name: str = "",
    ) -> None:
        self.run, self.storage, self.offset, self.name = run, storage, offset, name
        self.shape = shape
        self.strides = strides if strides is not None else row_major(shape)
        self.dtype = storage.dtype
        self.type = ValueType(shape, storage.dtype.name, "gm")
        self._root: Tensor | None = None
        self.alias = 0
        self.no_dep = False
        self.valid: tuple[int, ...] | None = None
        self.sliced: tuple[int, ...] | None = None
        self.lease: Lease | None = None

    def view(self, shape: tuple[int, ...], strides: tuple[int, ...], offset: int, *, alias: int) -> Tensor:
        """A view of the same storage. Inside a task it counts as the argument it was made from."""
        result = Tensor(self.run, self.storage, shape, strides, offset, self.name)
        result.alias = alias
        result.lease = self.lease
        if self.run.core is not None:
            result.argument = self.argument
        return result

    @property
    def argument(self) -> Tensor:
        """The tensor that a task has as its argument when it touches this view: the view itself, unless it was made
        inside the task."""
        return self if self._root is None else self._root

    @argument.setter
    def argument(self, root: Tensor) -> None:
        self._root = None if root is self else root  # a tensor that held itself would outlive its last name

    def transposed(self, first: int, second: int) -> Tensor:
        """A view with two axes exchanged (simpler: task_interface/tensor.h, ChipTensor::transpose)."""
        self.check_alive()
        order = list(range(self.ndim))
        order[first], order[second] = order[second], order[first]
        shape, strides = (tuple(values[axis] for axis in order) for values in (self.shape, self.strides))
        result = self.view(shape, strides, self.offset, alias=-1)
        result.valid = None if self.valid is None else tuple(self.valid[axis] for axis in order)
        return result

    def array(self) -> np.ndarray:
        """The elements as a NumPy view of `shape`."""
        self.hold()
        itemsize = self.dtype.nbytes
        return np.lib.stride_tricks.as_strided(
            self.storage.flat[self.offset :], self.shape, tuple(s * itemsize for s in self.strides)
        )

    def hold(self) -> None:
        """Have the parts made that this view lies in, of an argument in parts."""
        if self.storage.stack is not None and self.lease is None:
            reach = sum((extent - 1) * stride for extent, stride in zip(self.shape, self.strides, strict=True))
            itemsizes = self.dtype.nbytes, self.storage.stack.dtype.itemsize
            first, last = (at * itemsizes[0] // itemsizes[1] for at in (self.offset, self.offset + reach))
            self.lease = self.storage.stack.lease(first, last)

    def taken(self) -> np.ndarray:
        """The elements when the run is over, in an array of their own: the buffer, unless it is still the caller's."""
        return private_copy(self.array()) if self.storage.shared else self.array()

    def check_alive(self) -> None:
        """Raises KernelError (PTO101) if the scope that owns the buffer has closed."""
        if self.storage.closed_at is not None:
            info = self.run.recorder.tensors[self.storage.tensor]
            raise KernelError(
                "PTO101",
                f"'{self.name or info.name}' is used after its scope closed",
                site=self.run.site(),
                values=f"created at {self.run.recorder.sites[info.site]}, "
                f"freed when the scope at {self.storage.closed_at} closed",
                hint="create it before the scope that writes it, at the frame that also reads it",
            )

    @property
    def ndim(self) -> int:
        """Number of dimensions."""
        return len(self.shape)

    def bind_dynamic(self, axis: int, dim: object) -> None:
        """Marks an axis as dynamic. Shapes are always known here, so this has no effect."""

    def __getitem__(self, index: Any) -> Any:
        return self.run.memory.subscript(self, index)

    def __setitem__(self, index: Any, value: Any) -> None:
        self.run.memory.assign(self, index, value)

    def __repr__(self) -> str:
        return f"Tensor({self.name or '?'}: {list(self.shape)} {self.dtype.name})"


def row_major(shape: tuple[int, ...]) -> tuple[int, ...]:
    """Strides in elements of a contiguous tensor of `shape`."""
    strides = [1] * len(shape)
    for axis in range(len(shape) - 2, -1, -1):
        strides[axis] = strides[axis + 1] * shape[axis + 1]
    return tuple(strides)


def element_count(shape: tuple[int, ...]) -> int:
    """Number of elements of `shape`."""
    return math.prod(shape)
