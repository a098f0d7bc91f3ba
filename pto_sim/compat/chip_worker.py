"""`ChipWorker`: a device that stays open between launches, and the tensors that live on it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pto_sim.compat.compiled_program import CompiledProgram
from pto_sim.compat.device_memory import DeviceMemory, DeviceTensor, new_tensor
from pto_sim.compat.manifest import RUNTIME_NAME
from pto_sim.compat.refusal import RefusedValueError
from pto_sim.compat.run_config import RunConfig
from pto_sim.program.errors import UnsupportedError


class Worker:
    """Base of what runs compiled programs; scripts test for it."""


class ChipWorker(Worker):
    """One simulated chip. Use it in a `with` block, or call close().

    Raises InputError (PTO018), also a ValueError, for another level; UnsupportedError for another runtime.
    """

    def __init__(
        self,
        config: RunConfig | None = None,
        *,
        level: int = 2,
        runtime: str = RUNTIME_NAME,
        enable_sdma: bool = False,
        auto_init: bool | None = None,
    ) -> None:
        if level != 2:
            raise RefusedValueError("PTO018", f"ChipWorker(level={level})", hint="use level=2; one chip is simulated")
        if runtime != RUNTIME_NAME:
            raise UnsupportedError(f"ChipWorker(runtime={runtime!r})", hint=f"use runtime={RUNTIME_NAME!r}")
        self._config = config if config is not None else RunConfig()
        self.level, self.runtime = level, runtime
        self.initialized = False
        self._memory = DeviceMemory()
        self._owned_tensors: dict[int, DeviceTensor] = {}
        self._programs: set[CompiledProgram] = set()
        if auto_init is not False:
            self.init()

    @property
    def platform(self) -> str:
        """The platform of its configuration."""
        return self._config.platform

    @property
    def device_id(self) -> int:
        """The device number of its configuration."""
        return self._config.device_id

    def init(self) -> None:
        """Open the chip."""
        self.initialized = True

    def close(self) -> None:
        """Close the chip; tensors on it are freed, programs forgotten."""
        self._memory.close()
        self._owned_tensors.clear()
        self._programs.clear()
        self.initialized = False

    def __enter__(self) -> ChipWorker:
        self.init()
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def _ready(self, what: str) -> None:
        if not self.initialized:
            raise RuntimeError(f"ChipWorker.{what} called after close() or before init()")

    # -- device memory ------------------------------------------------------------------------------

    def malloc(self, nbytes: int, *, worker_id: int = 0) -> int:
        """Address of `nbytes` bytes of device memory."""
        self._ready("malloc")
        return self._memory.malloc(nbytes)

    def free(self, ptr: int, *, worker_id: int = 0) -> None:
        """Give back what malloc gave."""
        self._ready("free")
        self._memory.free(ptr)

    def copy_to(self, dst_dev_ptr: int, src_host_ptr: int, nbytes: int, *, worker_id: int = 0) -> None:
        """Copy bytes from the host."""
        self._ready("copy_to")
        self._memory.copy_to(dst_dev_ptr, src_host_ptr, nbytes)

    def copy_from(self, dst_host_ptr: int, src_dev_ptr: int, nbytes: int, *, worker_id: int = 0) -> None:
        """Copy bytes to the host."""
        self._ready("copy_from")
        self._memory.copy_from(dst_host_ptr, src_dev_ptr, nbytes)

    def alloc_tensor(self, shape: Sequence[int], dtype: Any, *, init: Any = None, worker_id: int = 0) -> DeviceTensor:
        """A tensor on the chip, with the values of the host tensor `init` if there is one."""
        self._ready("alloc_tensor")
        tensor = new_tensor(self._memory, shape, dtype, init)
        self._owned_tensors[tensor.data_ptr] = tensor
        return tensor

    def free_tensor(self, t: DeviceTensor, *, worker_id: int = 0) -> None:
        """Free a tensor of this chip; freeing it twice does nothing."""
        if t.buffer is not None and t.buffer.live:
            self._ready("free_tensor")
            self._memory.free(t.data_ptr)
            del self._owned_tensors[t.data_ptr]

    # -- launches -----------------------------------------------------------------------------------

    def run(self, compiled: CompiledProgram, *args: Any, config: RunConfig | None = None) -> Any:
        """Call a compiled program. Raises InputError (PTO018), also a ValueError, if it is for another platform."""
        self._ready("run")
        if compiled.platform != self.platform:
            raise RefusedValueError(
                "PTO018",
                f"a program for {compiled.platform!r} on a ChipWorker for {self.platform!r}",
                hint="compile it for the worker's platform",
            )
        self._programs.add(compiled)
        return compiled(*args, config=config)

    @property
    def aicpu_dlopen_count(self) -> int:
        """How many programs the chip holds: one for each that was registered or launched, however often."""
        return len(self._programs)

    @property
    def host_dlopen_count(self) -> int:
        """0: graphs are not built on the host."""
        return 0

    def register(self, compiled: CompiledProgram) -> RegistrationHandle:
        """The program as a callable of this chip."""
        self._ready("register")
        self._programs.add(compiled)
        return RegistrationHandle(self, compiled)


class RegistrationHandle:
    """A program on a chip: call it, then `unregister()` it or leave its `with` block."""

    __test__ = False  # not a test class, whatever pytest makes of its name

    def __init__(self, worker: ChipWorker, compiled: CompiledProgram) -> None:
        self._worker, self.compiled, self._closed = worker, compiled, False
        self.cid = 0

    @property
    def closed(self) -> bool:
        """Whether it can no longer be called."""
        return self._closed or not self._worker.initialized

    def __call__(self, *args: Any, config: RunConfig | None = None) -> Any:
        if self.closed:
            raise RuntimeError("the RegistrationHandle was unregistered or its ChipWorker closed; register again")
        return self._worker.run(self.compiled, *args, config=config)

    def unregister(self) -> None:
        """Give the program back; more than once does nothing."""
        self._closed = True

    def __enter__(self) -> RegistrationHandle:
        return self

    def __exit__(self, *error: object) -> None:
        self.unregister()
