"""`pypto.runtime.device_runner`: comparing with a golden; compile_and_assemble is added when the names are served."""

from __future__ import annotations

from pto_sim.compat.harness_run import compare_with_golden as validate_golden
from pto_sim.compat.refusal import refuser

__path__: list[str] = []

__all__ = ["validate_golden"]

__getattr__ = refuser("pypto.runtime.device_runner", "pto-sim has no device runtime; call the compiled program")
