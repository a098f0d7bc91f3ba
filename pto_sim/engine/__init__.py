"""Running a kernel on real arrays and recording what it did."""

from pto_sim.engine.run import EngineRun, run_kernel

__all__ = ["EngineRun", "run_kernel"]
