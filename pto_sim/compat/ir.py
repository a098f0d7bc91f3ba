"""`pypto.ir`: the few names of the compiler that scripts pass around. There is no compiler behind them."""

from __future__ import annotations

import enum
from dataclasses import dataclass, field
from typing import Any

from pto_sim.program.errors import UnsupportedError

# An import of a part that is not served then reaches the hook, which names it.
__path__: list[str] = []


class OptimizationStrategy(enum.Enum):
    """Pass pipelines of upstream's compiler; here they change nothing."""

    Default = "default"
    DebugTileOptimization = "debug_tile_optimization"
    TileCCEOptimization = "tile_cce_optimization"


class ParamDirection(enum.Enum):
    """Directions of a kernel's parameters."""

    In = "in"
    Out = "out"
    InOut = "inout"


class PassDumpLevel(enum.Enum):
    """How much of the compiler's passes to dump; here there are none."""

    NONE = 0
    CONCISE = 1
    EXPLICIT = 2


@dataclass
class DistributedConfig:
    """Devices of a multi-card program."""

    device_ids: list[int] = field(default_factory=lambda: [0])
    num_sub_workers: int = 0
    extra: dict[str, Any] = field(default_factory=dict)

    def __init__(self, device_ids: list[int] | None = None, num_sub_workers: int = 0, **extra: Any) -> None:
        self.device_ids = list(device_ids or [0])
        self.num_sub_workers = num_sub_workers
        self.extra = extra


class DistributedCompiledProgram:
    """A compiled multi-card program: scripts only test for this type."""


def __getattr__(name: str) -> Any:
    if name.startswith("__"):
        raise AttributeError(name)
    raise UnsupportedError(f"pypto.ir.{name}", hint="pto-sim runs kernels and has no compiler IR")
