"""What a backend is, and what one kernel run gives."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from pto_sim.program.errors import RuntimeFault
from pto_sim.program.options import RunOptions

if TYPE_CHECKING:
    import numpy as np

    from ascend_model.timeline import HeapReading, Timeline
    from pto_sim.lowering import LoweredProgram
    from pto_sim.program.findings import Finding
    from pto_sim.program.model import Program
    from pto_sim.report.dfx.args_dump import ArgumentDump

Progress = Callable[[str, str], None]
"""Called as progress(stage, detail): 'run', 'lower', 'heap', 'simulate' or 'check'; the kernel or task."""


@dataclass
class BackendRun:
    """What one kernel run gave.

    outputs: result of each Out and InOut parameter, by name in parameter order; empty after a fault (the
    runtime copies nothing back). written: bool mask of the elements that were written, None: all of them.
    heap: readings by name ('max_lag', 'prompt', 'simulated'); a backend without rings gives none.
    fault: the runtime error that stopped the run; fault_samples: scope records made before it.
    options: what it ran with, None if the caller's hold. stage_wall_s: host seconds by stage.
    artifacts: files that the backend left, by name. dump: the arguments of each task, if the script asked for them.
    """

    kernel: str
    outputs: dict[str, np.ndarray]
    written: dict[str, np.ndarray | None] = field(default_factory=dict)
    program: Program | None = None
    lowered: LoweredProgram | None = None
    timeline: Timeline | None = None
    heap: dict[str, HeapReading] = field(default_factory=dict)
    findings: list[Finding] = field(default_factory=list)
    fault: RuntimeFault | None = None
    fault_samples: tuple[dict[str, object], ...] = ()
    options: RunOptions | None = None
    host_wall_s: float = 0.0
    stage_wall_s: dict[str, float] = field(default_factory=dict)
    artifacts: dict[str, Path] = field(default_factory=dict)
    dump: ArgumentDump | None = None

    def scope_reading(self) -> HeapReading | None:
        """The reading whose samples a run directory keeps: of the simulated run, else of the timing-free replay.

        After a fault, only what the runtime recorded before it.
        """
        if self.fault is not None:
            from ascend_model.timeline import HeapReading

            return HeapReading("max_lag", {}, (), self.fault_samples, 0, 0)
        return self.heap.get("simulated") or self.heap.get("max_lag")


class Backend(Protocol):
    """Anything that can run a kernel. `name` is what `--backend` takes."""

    name: str

    def available(self) -> str | None:
        """None if kernels can be run here, else what is missing and how to get it."""

    def compile(self, kernel: object, args: Sequence[object], options: RunOptions) -> object:
        """Prepare `kernel` for arguments like `args`, without running it."""

    def run(
        self, kernel: object, args: Sequence[object], options: RunOptions, progress: Progress | None = None
    ) -> BackendRun:
        """Run `kernel` on positional `args` (NumPy arrays and Python numbers, in parameter order).

        The arrays in `args` are left as they are; results are in `BackendRun.outputs`.
        """
