"""`pypto.backend.pto_backend`: the code generator, which does not exist here; its errors can be caught by name."""

from __future__ import annotations

from pto_sim.compat.refusal import refuser

__path__: list[str] = []


class PartialCodegenError(RuntimeError):
    """pypto raises it when some kernels of a program cannot be generated."""


__getattr__ = refuser("pypto.backend.pto_backend", "pto-sim runs kernels and generates no code")
