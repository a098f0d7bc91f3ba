"""`pypto.runtime.runner`: configuration and the steps of a harness run. What needs the script's builds is added when
the names are served."""

from __future__ import annotations

from pto_sim.compat.harness_run import DfxOpts as _DfxOpts
from pto_sim.compat.harness_run import execute_on_device as _execute_on_device
from pto_sim.compat.harness_run import validate_persisted_outputs
from pto_sim.compat.refusal import refuser
from pto_sim.compat.results import RunResult
from pto_sim.compat.run_config import SWIMLANE_LEVELS, RunConfig
from pto_sim.compat.run_config import SWIMLANE_LEVELS as _SWIMLANE_FULL_LEVEL

__path__: list[str] = []

__all__ = [
    "_SWIMLANE_CLI_HELP",
    "_SWIMLANE_FULL_LEVEL",
    "_SWIMLANE_MAX_LEVEL",
    "RunConfig",
    "RunResult",
    "_DfxOpts",
    "_execute_on_device",
    "validate_persisted_outputs",
]  # fmt: skip

_SWIMLANE_MAX_LEVEL = SWIMLANE_LEVELS
_SWIMLANE_CLI_HELP = f"Chip swimlane level, 0 to {SWIMLANE_LEVELS}; its records are not written by pto-sim."

__getattr__ = refuser("pypto.runtime.runner", "pto-sim serves RunConfig, RunResult, compile_program, run")
