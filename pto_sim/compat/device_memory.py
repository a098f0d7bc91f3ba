"""Tensors that stay on the device between launches. The simulated device memory is host memory of its own."""

from __future__ import annotations

import ctypes
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from pto_sim.compat.refusal import RefusedTypeError, RefusedValueError
from pto_sim.golden.tensors import numpy_dtype
from pto_sim.program.errors import UnsupportedError
from pto_sim.program.host_arrays import view_as_numpy


@dataclass
class Buffer:
    """One allocation. `array`: its bytes; `live`: whether it has not been freed."""

    array: np.ndarray
    live: bool = True

    @property
    def base(self) -> int:
        """Address of the first byte."""
        return int(self.array.ctypes.data)


@dataclass(frozen=True)
class DeviceTensor:
    """A tensor in device memory, as `ChipWorker.alloc_tensor` returns it.

    Raises ValueError and TypeError (PTO018) as pypto's class does for an address, a shape that cannot be.
    """

    data_ptr: int
    shape: tuple[int, ...]
    dtype: Any
    buffer: Buffer | None = field(default=None, repr=False, compare=False)

    def __post_init__(self) -> None:
        if isinstance(self.data_ptr, bool) or not isinstance(self.data_ptr, int) or self.data_ptr <= 0:
            raise RefusedValueError("PTO018", f"DeviceTensor.data_ptr={self.data_ptr!r}", hint="give an address")
        shape = tuple(self.shape)
        if any(isinstance(extent, bool) or not isinstance(extent, int) for extent in shape):
            raise RefusedTypeError("PTO018", f"DeviceTensor.shape={shape!r}", hint="give integers")
        if not shape or any(extent <= 0 for extent in shape):
            raise RefusedValueError("PTO018", f"DeviceTensor.shape={shape!r}", hint="give positive extents")
        object.__setattr__(self, "shape", shape)

    @property
    def nbytes(self) -> int:
        """Bytes of the tensor."""
        return math.prod(self.shape) * numpy_dtype(self.dtype, "DeviceTensor").itemsize

    def array(self) -> np.ndarray:
        """The tensor in device memory, not copied. Raises UnsupportedError for an address without an owner, ValueError
        (PTO018) after it was freed."""
        if self.buffer is None:
            raise UnsupportedError("a DeviceTensor at a raw address", hint="allocate it with ChipWorker.alloc_tensor")
        if not self.buffer.live:
            raise RefusedValueError("PTO018", f"{self!r} was freed", hint="free it after the last launch that uses it")
        return self.buffer.array.view(numpy_dtype(self.dtype, "DeviceTensor")).reshape(self.shape)


class DeviceMemory:
    """The allocations of one device. Addresses are those of the host memory behind them."""

    def __init__(self) -> None:
        self._buffers: dict[int, Buffer] = {}

    def malloc(self, nbytes: int) -> int:
        """Address of `nbytes` new bytes. Their content is not defined; it is zero here."""
        if nbytes <= 0:
            raise RefusedValueError("PTO018", f"malloc({nbytes!r})", hint="give a positive number of bytes")
        buffer = Buffer(np.zeros(nbytes, np.uint8))
        self._buffers[buffer.base] = buffer
        return buffer.base

    def free(self, address: int) -> None:
        """Give an allocation back. Raises ValueError (PTO018) for an address that is none."""
        self.owner(address, "free").live = False
        del self._buffers[address]

    def owner(self, address: int, what: str) -> Buffer:
        """The allocation that starts at `address`. Raises ValueError (PTO018) if there is none."""
        if address not in self._buffers:
            raise RefusedValueError(
                "PTO018", f"{what}: nothing is allocated at {address:#x}", hint="pass what malloc or alloc_tensor gave"
            )
        return self._buffers[address]

    def copy_to(self, device: int, host: int, nbytes: int) -> None:
        """Copy from host memory at address `host`. Raises ValueError (PTO018) beyond the allocation's end."""
        self._check(device, nbytes, "copy_to")
        ctypes.memmove(device, host, nbytes)

    def copy_from(self, host: int, device: int, nbytes: int) -> None:
        """Copy to host memory at address `host`. Raises ValueError (PTO018) beyond the allocation's end."""
        self._check(device, nbytes, "copy_from")
        ctypes.memmove(host, device, nbytes)

    def _check(self, device: int, nbytes: int, what: str) -> None:
        held = self.owner(device, what).array.nbytes
        if not 0 <= nbytes <= held:
            raise RefusedValueError(
                "PTO018", f"{what} of {nbytes} bytes", values=f"the allocation has {held}", hint="copy at most those"
            )

    def close(self) -> None:
        """Free everything."""
        for address in list(self._buffers):
            self.free(address)


def new_tensor(memory: DeviceMemory, shape: Sequence[int], dtype: Any, init: Any = None) -> DeviceTensor:
    """A tensor in `memory`, filled from the host array `init` of the same shape and type if there is one."""
    like = DeviceTensor(1, tuple(shape), dtype)
    address = memory.malloc(like.nbytes)
    tensor = DeviceTensor(address, like.shape, dtype, memory.owner(address, "alloc_tensor"))
    if init is not None:
        array, target = view_as_numpy(init), tensor.array()
        if array.shape != target.shape or array.dtype != target.dtype:
            memory.free(address)
            raise RefusedValueError(
                "PTO018",
                "alloc_tensor: init does not fit",
                values=f"init is {array.dtype} {list(array.shape)}, the tensor {target.dtype} {list(target.shape)}",
                hint="pass an init of the tensor's shape and type",
            )
        target[...] = array
    return tensor


class StackedDeviceTensor:
    """Shards of a tensor on several devices: refused by name, one chip is simulated."""

    def __init__(self, *args: Any, **options: Any) -> None:
        raise UnsupportedError("StackedDeviceTensor (shards on several cards)", hint="pass the host tensor")
