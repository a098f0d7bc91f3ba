"""`pypto.passes` and `pypto.ir.pass_manager`: names that configure the compiler. There is none; values do not depend
on its passes, so a choice among them is accepted and changes nothing."""

from __future__ import annotations

import enum
from typing import Any

from pto_sim.compat import l0_tile_chooser as l0_tile_chooser
from pto_sim.compat.refusal import refuser
from pto_sim.program.errors import UnsupportedError

__path__: list[str] = []


class OptimizationStrategy(enum.Enum):
    """Pass pipelines of pypto's compiler."""

    Default = "Default"
    DebugTileOptimization = "DebugTileOptimization"
    TileCCEOptimization = "TileCCEOptimization"


class PassDumpLevel(enum.Enum):
    """How much of the compiler's passes to dump; here there are none."""

    NONE = 0
    CONCISE = 1
    EXPLICIT = 2


class MemoryPlanner(enum.Enum):
    """Who places on-chip buffers."""

    PYPTO = 0
    DSA_RP = 1
    PTOAS = 2


class RuntimeKind(enum.Enum):
    """Runtimes that a build is for; the simulated one is the first."""

    TENSORMAP_AND_RINGBUFFER = "tensormap_and_ringbuffer"
    HOST_BUILD_GRAPH = "host_build_graph"


class VerificationLevel(enum.Enum):
    """How much of the IR the compiler verifies."""

    NONE = 0
    BASIC = 1
    ROUNDTRIP = 2


class VerificationMode(enum.Enum):
    """When the compiler verifies."""

    NONE = 0
    BEFORE = 1
    AFTER = 2
    BEFORE_AND_AFTER = 3


class DiagnosticPhase(enum.Enum):
    """Where in the pipeline the compiler reports."""

    NONE = 0
    PRE_PIPELINE = 1
    POST_PASS = 2
    POST_PIPELINE = 3


class DiagnosticCheck(enum.Enum):
    """Checks of the compiler that can be switched off."""

    UnusedVariable = 0
    UnusedControlFlowResult = 1


class DiagnosticCheckSet:
    """A set of checks."""

    def __init__(self) -> None:
        self._checks: set[DiagnosticCheck] = set()

    def insert(self, check: DiagnosticCheck) -> None:
        """Add a check."""
        self._checks.add(check)

    def remove(self, check: DiagnosticCheck) -> None:
        """Take a check out."""
        self._checks.discard(check)

    def contains(self, check: DiagnosticCheck) -> bool:
        """Whether the check is in the set."""
        return check in self._checks

    def empty(self) -> bool:
        """Whether there is no check in the set."""
        return not self._checks


class PassContext:
    """`with PassContext([], ...)`: settings of the passes; none applies here. Instruments are refused by name."""

    def __init__(self, instruments: Any = (), *settings: Any, **named: Any) -> None:
        if instruments:
            raise UnsupportedError(
                "pypto.passes.PassContext with instruments", hint="there are no passes to watch; leave them out"
            )

    def __enter__(self) -> PassContext:
        return self

    def __exit__(self, *error: object) -> None:
        return None


class PassRun:
    """pypto's PassManager, refused by name: there is no pass to run."""

    @classmethod
    def get_strategy(cls, strategy: Any = None, **settings: Any) -> Any:
        """Raises UnsupportedError."""
        raise UnsupportedError("pypto.ir.PassManager", hint="run the kernel: its values do not depend on passes")

    def __init__(self, *args: Any, **settings: Any) -> None:
        self.get_strategy()


PassManager = PassRun

__getattr__ = refuser("pypto.passes", "pto-sim runs kernels and has no compiler passes")
