"""`CompiledProgram`: what `ir.compile` and `fn.compile` give. It holds the kernel, and calling it runs that."""

from __future__ import annotations

import ast
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple, Protocol

import numpy as np

from pto_sim.compat.device_memory import DeviceTensor
from pto_sim.compat.manifest import RUNTIME_NAME, write_manifest
from pto_sim.compat.refusal import Opaque
from pto_sim.frontend.annotations import TensorType
from pto_sim.frontend.entry import JitKernel
from pto_sim.frontend.extents import DynamicExtent
from pto_sim.frontend.kernel import KernelFunction
from pto_sim.frontend.program_class import KernelProgram
from pto_sim.program.errors import UnsupportedError
from pto_sim.program.host_arrays import is_torch, view_as_numpy, view_as_torch

if TYPE_CHECKING:
    from pto_sim.compat.run_config import RunConfig


class ProgramRunner(Protocol):
    """What a compiled program needs of the script's builds."""

    def call(self, entry: JitKernel, args: Sequence[Any], config: Any) -> Any:
        """Call a kernel."""

    def compiled_into(self, work_dir: str | os.PathLike[str], platform: str | None = None) -> CompiledProgram:
        """What was compiled into a directory."""


class OutputType(NamedTuple):
    """Shape and type of an output that a call without outputs allocates."""

    shape: tuple[int, ...]
    dtype: np.dtype

    def new(self, in_torch: bool) -> Any:
        """Zeros of it."""
        zeros = np.zeros(self.shape, self.dtype)
        return view_as_torch(zeros) if in_torch else zeros


class OrchArgs(NamedTuple):
    """Arguments of a launch by hand."""

    values: list[Any]


class CallConfig(NamedTuple):
    """Configuration of a launch by hand."""

    run_config: RunConfig | None
    aicpu_thread_num: int | None


def output_types(kernel: JitKernel, args: Sequence[Any]) -> dict[str, OutputType]:
    """The outputs in `args`, all of the kernel's arguments; none if an extent is pl.dynamic, so that it may change."""
    if len(args) != len(kernel.parameters):
        return {}
    found = {}
    for parameter, value in zip(kernel.parameters, args, strict=True):
        if parameter.is_output:
            declared = parameter.type.shape if isinstance(parameter.type, TensorType) else None
            if declared is not None and any(isinstance(extent, DynamicExtent) for extent in declared):
                return {}
            array = view_as_numpy(value)
            found[parameter.name] = OutputType(array.shape, array.dtype)
    return found


class Program(Opaque):
    """What `fn.lower` gives: a handle without content. `name` is the kernel's."""

    def __init__(self, name: str) -> None:
        super().__init__(f"the IR of '{name}'")
        self.name = name


class CompiledProgram:
    """A program ready to run.

    Call it with all arguments (outputs are written in place; returns None) or with the inputs only (returns the
    outputs). Tensors: torch, NumPy, or DeviceTensor; scalars: Python numbers or ctypes. It is also a path, that of
    `output_dir`, where a record of what runs is written when the directory is first asked for.

    A program of several orchestration functions is called through `compiled[name]` or `compiled.name`.
    """

    __test__ = False  # not a test class, whatever pytest makes of its name

    builds: ClassVar[ProgramRunner]

    def __init__(
        self,
        program: KernelProgram | JitKernel | None,
        entry: JitKernel,
        output_dir: Path,
        platform: str,
        outputs: Mapping[str, OutputType] | None = None,
    ) -> None:
        self._program, self._entry, self._outputs = program, entry, dict(outputs or {})
        self._output_dir, self._recorded = output_dir, False
        self.platform = platform

    # -- what scripts read ------------------------------------------------------------------------

    @property
    def program(self) -> Any:
        """The `@pl.program` class; for a `@pl.jit` kernel a handle without content; None after from_dir."""
        return Program(self._program.name) if isinstance(self._program, JitKernel) else self._program

    @property
    def output_dir(self) -> Path:
        """The program's directory."""
        if not self._recorded:
            self._recorded = True
            write_manifest(self._output_dir, self._entry, self._functions(), self.platform)
        return self._output_dir

    @property
    def name(self) -> str:
        """Name of the entry."""
        return self._entry.name

    @property
    def param_names(self) -> list[str]:
        """Names of the parameters, in order."""
        return [parameter.name for parameter in self._entry.parameters]

    @property
    def output_indices(self) -> list[int]:
        """Positions of the parameters that a call without outputs allocates: the pure outputs."""
        return [place for place, parameter in enumerate(self._entry.parameters) if parameter.is_output]

    @property
    def has_return(self) -> bool:
        """Whether the entry returns a value, so that a call without outputs returns them."""
        return any(isinstance(node, ast.Return) and node.value is not None for node in ast.walk(self._entry.tree))

    @property
    def orchestration_names(self) -> list[str]:
        """Names of the entries, if there are several."""
        names = self._entries()
        return names if len(names) > 1 else []

    @property
    def runtime_name(self) -> str:
        """The runtime that is simulated."""
        return RUNTIME_NAME

    @property
    def runtime_config(self) -> dict[str, Any]:
        """Settings of the runtime that a build carries."""
        return {"runtime": RUNTIME_NAME}

    @property
    def chip_callable(self) -> CompiledProgram:
        """The program itself: there is no binary to load."""
        return self

    def load(self) -> None:
        """Nothing to load."""

    @classmethod
    def from_dir(
        cls, output_dir: str | os.PathLike[str], *, platform: str | None = None, backend_type: Any = None
    ) -> CompiledProgram:
        """The program that this process compiled into output_dir: the directory holds a record of it, not code.

        Raises InputError (PTO018) for another directory, UnsupportedError for another chip.
        """
        found = cls.builds.compiled_into(output_dir, platform)
        return cls(None, found._entry, Path(output_dir), platform or found.platform, found._outputs)

    def build_orch_args(self, *args: Any, worker: Any = None) -> tuple[OrchArgs, list[Any], bool]:
        """What `simpler.worker.Worker.run` takes, all arguments, and whether outputs among them were allocated here."""
        complete = self._complete(args)
        values = list(args) if complete is None else complete
        return OrchArgs(values), values, complete is not None

    def build_call_config(
        self, config: RunConfig | None = None, *, aicpu_thread_num: int | None = None, **options: Any
    ) -> CallConfig:
        """What `simpler.worker.Worker.run` takes as its configuration; the number of threads has no effect."""
        given = getattr(config, "aicpu_thread_num", None) if aicpu_thread_num is None else aicpu_thread_num
        return CallConfig(config, given)

    def validate_ir(self, *args: Any, **options: Any) -> Any:
        """Raises UnsupportedError: there is no IR."""
        raise UnsupportedError("CompiledProgram.validate_ir", hint="compare the outputs with a golden")

    # -- running ----------------------------------------------------------------------------------

    def __call__(self, *args: Any, config: RunConfig | None = None) -> Any:
        names = self.orchestration_names
        if names:
            raise TypeError(f"this program has several orchestration functions; select one explicitly: {names}")
        complete = self._complete(args)
        values = list(args) if complete is None else complete
        held = [value.array() if isinstance(value, DeviceTensor) else value for value in values]
        outputs = self.builds.call(self._entry, held, config)
        if complete is None:
            return outputs
        made = [complete[place] for place in self.output_indices]
        return made[0] if len(made) == 1 else tuple(made)

    def _complete(self, args: Sequence[Any]) -> list[Any] | None:
        """All arguments where outputs were left out and their types are known; None where the kernel must say."""
        parameters, outputs = self._entry.parameters, self.output_indices
        if not self._outputs or len(args) != len(parameters) - len(outputs) or not outputs:
            return None
        queue, in_torch = iter(args), any(is_torch(arg) for arg in args)
        return [
            self._outputs[parameter.name].new(in_torch) if place in outputs else next(queue)
            for place, parameter in enumerate(parameters)
        ]

    def __getitem__(self, name: str) -> CompiledProgram:
        if name not in self.orchestration_names:
            raise KeyError(f"no orchestration function {name!r}; there are {', '.join(self._entries())}")
        assert isinstance(self._program, KernelProgram)
        directory = self._output_dir / "next_levels" / name
        return type(self)(_OneEntry(self._program), self._program.entry_of(name), directory, self.platform)

    def __getattr__(self, name: str) -> Any:
        if not name.startswith("_") and name in self.orchestration_names:
            return self[name]
        raise AttributeError(f"CompiledProgram has no attribute '{name}'")

    def __str__(self) -> str:
        return str(self.output_dir)

    def __fspath__(self) -> str:
        return str(self.output_dir)

    def _entries(self) -> list[str]:
        if not isinstance(self._program, KernelProgram) or isinstance(self._program, _OneEntry):
            return [self._entry.name]
        return [name for name, method in self._program.methods.items() if method.kind == "orchestration"]

    def _functions(self) -> list[KernelFunction]:
        return list(self._program.methods.values()) if isinstance(self._program, KernelProgram) else [self._entry]


class _OneEntry(KernelProgram):
    """A program of which one entry was chosen."""

    def __init__(self, whole: KernelProgram) -> None:
        self.__dict__.update(whole.__dict__)


def bound_class(builds: ProgramRunner) -> type[CompiledProgram]:
    """The class that one script sees as CompiledProgram: its programs run through the script's builds."""
    return type("CompiledProgram", (CompiledProgram,), {"builds": builds, "__doc__": CompiledProgram.__doc__})
