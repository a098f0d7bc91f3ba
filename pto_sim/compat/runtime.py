"""`pypto.runtime`: configuration, workers and direct runs. What needs the script's builds is added when the names are
served."""

from __future__ import annotations

import os

from pto_sim.compat.benchmarking import BenchmarkStats, benchmark
from pto_sim.compat.chip_worker import ChipWorker, RegistrationHandle, Worker
from pto_sim.compat.device_log import configure_log
from pto_sim.compat.device_log import current_level as log_level
from pto_sim.compat.device_memory import DeviceTensor, StackedDeviceTensor
from pto_sim.compat.refusal import refuser
from pto_sim.compat.results import RunResult
from pto_sim.compat.run_config import RunConfig
from pto_sim.compat.tensor_spec import ScalarSpec, TensorSpec
from pto_sim.program.errors import UnsupportedError

__path__: list[str] = []

__all__ = [
    "BenchmarkStats", "ChipWorker", "DeviceTensor", "DistributedWorker", "RegistrationHandle", "RunConfig", "RunResult",
    "ScalarSpec", "StackedDeviceTensor", "TensorSpec", "Worker", "benchmark", "configure_log", "ensure_pto_isa_root",
    "log_level",
]  # fmt: skip


class DistributedWorker(Worker):
    """Several chips: refused by name when it is made, scripts may test for the type."""

    def __init__(self, *args: object, **options: object) -> None:
        raise UnsupportedError("DistributedWorker (several cards)", hint="use ChipWorker for one card")


def ensure_pto_isa_root() -> str:
    """What a build of kernels needs: nothing here, so that the answer is what PTO_ISA_ROOT says, '' without it."""
    return os.environ.get("PTO_ISA_ROOT", "")


__getattr__ = refuser("pypto.runtime", "pto-sim serves RunConfig, run, compile_program, benchmark, ChipWorker")
