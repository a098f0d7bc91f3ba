"""`simpler`: the device runtime's package, of which the worker is served."""

from __future__ import annotations

from pto_sim.compat import device_worker as worker
from pto_sim.compat.refusal import refuser

__path__: list[str] = []

__all__ = ["worker"]

__getattr__ = refuser("simpler", "pto-sim has no device runtime; call the compiled program")
