"""`pypto.runtime`: run configuration and direct runs of programs."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

from pto_sim.compat.backends import BackendType
from pto_sim.compat.ir import OptimizationStrategy
from pto_sim.golden import ScalarSpec, TensorSpec
from pto_sim.program.errors import InputError, UnsupportedError

__all__ = ["BenchmarkStats", "RunConfig", "RunResult", "ScalarSpec", "TensorSpec", "benchmark", "configure_log", "run"]

# An import of a part that is not served then reaches the hook, which names it.
__path__: list[str] = []

PLATFORMS = ("a2a3", "a2a3sim", "a5", "a5sim")
RINGS = 4  # pypto: python/pypto/runtime/runner.py, _RING_DEPTH


@dataclass
class RunConfig:
    """How to run a program; the fields of upstream's class.

    `platform` a2a3 and a2a3sim both mean the simulator. ring_*: one number or one for each of the 4 rings.
    Fields about generated code, logs and hardware counters have no effect here.
    """

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

    def __post_init__(self) -> None:
        if self.platform not in PLATFORMS:
            raise InputError(
                "PTO018", f"RunConfig has no platform {self.platform!r}", hint=f"use one of {', '.join(PLATFORMS)}"
            )
        if self.platform.startswith("a5"):
            raise UnsupportedError(f"platform {self.platform!r}", hint='use platform="a2a3sim"')
        self.backend_type = BackendType.Ascend910B
        for name in ("ring_task_window", "ring_heap", "ring_dep_pool"):
            self._check_ring(name, getattr(self, name))

    def _check_ring(self, name: str, value: Any) -> None:
        if value is None:
            return
        values = value if isinstance(value, (list, tuple)) else [value]
        whole = all(isinstance(v, int) and not isinstance(v, bool) and v >= 0 for v in values)
        if not whole or len(values) not in (1, RINGS) or (isinstance(value, (list, tuple)) and len(values) != RINGS):
            raise InputError(
                "PTO018",
                f"RunConfig.{name}={value!r}",
                hint=f"give one integer, or a list of {RINGS}, one for each ring",
            )


@dataclass
class RunResult:
    """Outcome of one test of upstream's own harness."""

    passed: bool
    test_name: str = ""
    error: str | None = None
    execution_time: float | None = None
    profile: Any = None


@dataclass
class BenchmarkStats:
    """Host times of repeated runs, microseconds. The simulated device time is in the run's report."""

    rounds_us: list[float]

    @property
    def mean_us(self) -> float:
        """Mean host time of a round."""
        return sum(self.rounds_us) / len(self.rounds_us)


def run(program: Any, *tensors: Any, config: RunConfig | None = None, **other: Any) -> Any:
    """Compile `program` and, if tensors are given, run it on them in place. Returns the compiled program."""
    if other:
        raise InputError("PTO018", f"run() has no argument {', '.join(other)}", hint="run(program, *tensors, config=)")
    compiled = program.compile(config=config) if hasattr(program, "compile") else program
    if tensors:
        compiled(*tensors)
    return compiled


def benchmark(compiled: Any, args: Any, rounds: int = 100, warmup: int = 3, **other: Any) -> BenchmarkStats:
    """Host time of `rounds` runs. Simulated time does not change between rounds: read it in the report."""
    for _ in range(warmup):
        compiled(*args)
    times = []
    for _ in range(rounds):
        begin = time.perf_counter()
        compiled(*args)
        times.append((time.perf_counter() - begin) * 1e6)
    return BenchmarkStats(times)


def configure_log(*args: Any, **kwargs: Any) -> None:
    """The simulator has no device log."""


def __getattr__(name: str) -> Any:
    if name.startswith("__"):
        raise AttributeError(name)
    raise UnsupportedError(f"pypto.runtime.{name}", hint="pto-sim serves RunConfig, run, benchmark, TensorSpec")
