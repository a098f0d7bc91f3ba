"""`pypto.ir`: the few names of the compiler that scripts pass around. There is no IR behind them."""

from __future__ import annotations

import enum
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from pto_sim.compat.compiled_program import CompiledProgram, Program
from pto_sim.compat.element_types import DataType
from pto_sim.compat.element_types import to_torch_dtype as _to_torch_dtype
from pto_sim.compat.pass_pipeline import (
    DiagnosticCheck,
    DiagnosticCheckSet,
    DiagnosticPhase,
    OptimizationStrategy,
    PassContext,
    PassDumpLevel,
    PassManager,
    VerificationLevel,
    VerificationMode,
)
from pto_sim.compat.refusal import RefusedValueError, refuser
from pto_sim.compat.soc import CoreType
from pto_sim.language.enumerations import FunctionType, Level, Role
from pto_sim.program.errors import UnsupportedError

__all__ = [
    "CompiledProgram", "CoreType", "DataType", "DiagnosticCheck", "DiagnosticCheckSet", "DiagnosticPhase",
    "DistributedCompiledProgram", "DistributedConfig", "FunctionType", "Level", "OptimizationStrategy",
    "ParamDirection", "PassContext", "PassDumpLevel", "PassManager", "Program", "Role", "VerificationLevel",
    "VerificationMode", "_to_runtime_shape", "_to_torch_dtype",
]  # fmt: skip

__path__: list[str] = []


class ParamDirection(enum.Enum):
    """Directions of a kernel's parameters."""

    In = "in"
    Out = "out"
    InOut = "inout"


@dataclass
class DistributedConfig:
    """Devices of a multi-card program, as pypto checks them: distinct numbers from 0, at least one.

    Raises InputError (PTO018), which is also a ValueError.
    """

    device_ids: list[int] = field(default_factory=lambda: [0])
    num_sub_workers: int = 0
    runtime: str = "tensormap_and_ringbuffer"
    aicpu_thread_num: int = 0

    def __post_init__(self) -> None:
        ids = self.device_ids
        if not ids or any(device < 0 for device in ids) or len(set(ids)) != len(ids):
            raise RefusedValueError(
                "PTO018", f"DistributedConfig.device_ids={ids!r}", hint="give distinct device numbers from 0"
            )


class DistributedCompiledProgram:
    """A compiled multi-card program: scripts only test for this type."""

    @classmethod
    def from_dir(cls, *args: Any, **options: Any) -> Any:
        """Raises UnsupportedError."""
        raise UnsupportedError("DistributedCompiledProgram.from_dir", hint="run the script that builds the program")


def _to_runtime_shape(shape: Sequence[int], dtype: Any) -> list[int]:
    """The shape of the array that holds a tensor: the same, as packed types are not modelled."""
    return list(shape)


__getattr__ = refuser("pypto.ir", "pto-sim runs kernels and has no compiler IR")
