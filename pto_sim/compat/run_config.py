"""`RunConfig`: how a script asks for a run, and what of it the simulator applies."""

from __future__ import annotations

import dataclasses
import warnings
from dataclasses import dataclass, replace
from typing import Any

from pto_sim.compat.backends import BackendType
from pto_sim.compat.pass_pipeline import OptimizationStrategy
from pto_sim.compat.refusal import RefusedTypeError, RefusedValueError
from pto_sim.program.errors import UnsupportedError, nearest_name
from pto_sim.program.options import RunOptions
from pto_sim.program.ring_request import check_ring_sizes, ring_fields

PLATFORMS = ("a2a3", "a2a3sim", "a5", "a5sim")
SWIMLANE_LEVELS = 4
_RINGS = ("ring_task_window", "ring_heap", "ring_dep_pool")
_OLD_SWIMLANE = "RunConfig.enable_l2_swimlane is deprecated; use enable_chip_swimlane instead"


@dataclass
class _Fields:
    platform: str = "a2a3sim"
    device_id: int = 0
    rtol: float = 1e-5
    atol: float = 1e-5
    strategy: Any = OptimizationStrategy.Default
    backend_type: Any = BackendType.Ascend910B
    dump_passes: Any = False
    save_kernels: bool = False
    save_kernels_dir: str | None = None
    codegen_only: bool = False
    enable_chip_swimlane: int | bool = 0
    enable_dump_args: int = 0
    enable_pmu: int = 0
    enable_dep_gen: bool = False
    enable_scope_stats: bool = False
    compile_profiling: bool = False
    diagnostic_phase: Any = None
    disabled_diagnostics: Any = None
    golden_data_dir: str | None = None
    aicpu_thread_num: int | None = None
    ring_task_window: Any = None
    ring_heap: Any = None
    ring_dep_pool: Any = None
    distributed_config: Any = None
    analyze_auto_scopes_for_deps: bool = False
    memory_planner: Any = None
    dump_ptoas_passes: bool = False


class RunConfig(_Fields):
    """How to run a program; fields and defaults are those of pypto's class.

    `platform` a2a3 and a2a3sim both mean the simulator. ring_task_window, ring_heap (bytes) and ring_dep_pool: one
    number for all rings, or one for each of the 4, 0 for the default; they size the rings of the run.
    enable_scope_stats leaves dfx_outputs/scope_stats/scope_stats.jsonl in the program's output_dir. Fields about
    generated code, device logs and hardware counters have no effect.

    Raises InputError (PTO018), which is also a ValueError or, for a field that does not exist, a TypeError, and
    UnsupportedError for a5.
    """

    __test__ = False  # not a test class, whatever pytest makes of its name

    def __init__(self, *args: Any, **fields: Any) -> None:
        old = fields.pop("enable_l2_swimlane", None)
        if old is not None:
            warnings.warn(_OLD_SWIMLANE, DeprecationWarning, stacklevel=2)
            if "enable_chip_swimlane" in fields:
                raise RefusedValueError(
                    "PTO018",
                    "RunConfig got enable_chip_swimlane and the deprecated enable_l2_swimlane",
                    hint="pass only enable_chip_swimlane",
                )
            fields["enable_chip_swimlane"] = old
        known = [field.name for field in dataclasses.fields(_Fields)]
        for name in fields:
            if name not in known:
                raise RefusedTypeError("PTO018", f"RunConfig has no field {name!r}", hint=nearest_name(name, known))
        super().__init__(*args, **fields)
        self._check()

    def _check(self) -> None:
        if self.platform not in PLATFORMS:
            raise RefusedValueError(
                "PTO018", f"RunConfig has no platform {self.platform!r}", hint=f"use one of {', '.join(PLATFORMS)}"
            )
        if self.platform.startswith("a5"):
            raise UnsupportedError(f"platform {self.platform!r}", hint='use platform="a2a3sim"')
        self.backend_type = BackendType.Ascend910B
        self.enable_chip_swimlane = swimlane_level(self.enable_chip_swimlane, "enable_chip_swimlane")
        self.save_kernels = self.save_kernels or self.any_dfx_enabled()
        for name in _RINGS:
            setattr(self, name, check_ring_sizes("RunConfig", name, getattr(self, name)))

    def any_dfx_enabled(self) -> bool:
        """Whether any of the five diagnostics of the runtime is asked for."""
        levels = (self.enable_chip_swimlane, self.enable_dump_args, self.enable_pmu)
        return any(level > 0 for level in levels) or bool(self.enable_dep_gen or self.enable_scope_stats)

    @property
    def enable_l2_swimlane(self) -> int:
        """The former name of enable_chip_swimlane."""
        return int(self.enable_chip_swimlane)

    @enable_l2_swimlane.setter
    def enable_l2_swimlane(self, value: int | bool) -> None:
        warnings.warn(_OLD_SWIMLANE, DeprecationWarning, stacklevel=2)
        self.enable_chip_swimlane = swimlane_level(value, "enable_l2_swimlane")

    def applied_to(self, options: RunOptions) -> RunOptions:
        """`options` with the ring sizes of this configuration; those of the command line stand where it gave any."""
        asked = {name: getattr(self, name) for name in _RINGS}
        fields: dict[str, Any] = dict(ring_fields(options, "RunConfig", asked))
        return replace(options, **fields)


def swimlane_level(value: int | bool, name: str) -> int:
    """A chip swimlane level from 0 to 4; True means 4. Raises InputError (PTO018)."""
    if isinstance(value, bool):
        return SWIMLANE_LEVELS if value else 0
    if not isinstance(value, int) or not 0 <= value <= SWIMLANE_LEVELS:
        kind = RefusedValueError if isinstance(value, int) else RefusedTypeError
        raise kind("PTO018", f"{name}={value!r}", hint=f"use a bool, or a level from 0 to {SWIMLANE_LEVELS}")
    return value
