"""`CompiledProgram`: what `ir.compile` and `fn.compile` give. It holds the kernel, and calling it runs that."""

from __future__ import annotations

import ast
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pto_sim.compat.device_memory import DeviceTensor
from pto_sim.compat.manifest import RUNTIME_NAME, write_manifest
from pto_sim.compat.refusal import Opaque
from pto_sim.frontend.kernel import JitKernel, KernelFunction
from pto_sim.frontend.program_class import KernelProgram
from pto_sim.program.errors import UnsupportedError

if TYPE_CHECKING:
    from pto_sim.compat.run_config import RunConfig

Call = Callable[[JitKernel, Sequence[Any], Any], Any]


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

    def __init__(
        self, program: KernelProgram | JitKernel, entry: JitKernel, call: Call, output_dir: Path, platform: str
    ) -> None:
        self._program, self._entry, self._call = program, entry, call
        self._output_dir, self._recorded = output_dir, False
        self.platform = platform

    # -- what scripts read ------------------------------------------------------------------------

    @property
    def program(self) -> Any:
        """The `@pl.program` class; for a `@pl.jit` kernel a handle without content."""
        return self._program if isinstance(self._program, KernelProgram) else Program(self._program.name)

    @property
    def output_dir(self) -> Path:
        """The program's directory."""
        if not self._recorded:
            self._recorded = True
            write_manifest(self._output_dir, self._entry, self._functions(), self.platform)
        return self._output_dir

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
    def from_dir(cls, *args: Any, **options: Any) -> CompiledProgram:
        """Raises UnsupportedError: a directory holds a record, not code."""
        raise UnsupportedError("CompiledProgram.from_dir (running a build directory)", hint="compile the program again")

    def build_orch_args(self, *args: Any, **options: Any) -> Any:
        """Raises UnsupportedError: there is no device runtime to pack arguments for."""
        raise UnsupportedError("CompiledProgram.build_orch_args", hint="call the compiled program")

    def build_call_config(self, *args: Any, **options: Any) -> Any:
        """Raises UnsupportedError, see build_orch_args."""
        raise UnsupportedError("CompiledProgram.build_call_config", hint="pass config= to the call")

    def validate_ir(self, *args: Any, **options: Any) -> Any:
        """Raises UnsupportedError: there is no IR."""
        raise UnsupportedError("CompiledProgram.validate_ir", hint="compare the outputs with a golden")

    # -- running ----------------------------------------------------------------------------------

    def __call__(self, *args: Any, config: RunConfig | None = None) -> Any:
        names = self.orchestration_names
        if names:
            raise TypeError(f"this program has several orchestration functions; select one explicitly: {names}")
        held = [arg.array() if isinstance(arg, DeviceTensor) else arg for arg in args]
        return self._call(self._entry, held, config)

    def __getitem__(self, name: str) -> CompiledProgram:
        if name not in self.orchestration_names:
            raise KeyError(f"no orchestration function {name!r}; there are {', '.join(self._entries())}")
        assert isinstance(self._program, KernelProgram)
        directory = self._output_dir / "next_levels" / name
        return CompiledProgram(_OneEntry(self._program), self._program.entry_of(name), self._call, directory,
                               self.platform)  # fmt: skip

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
