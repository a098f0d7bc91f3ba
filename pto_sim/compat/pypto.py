"""`import pypto`: the subpackages as attributes."""

from __future__ import annotations

from typing import Any

from pto_sim import __version__, language
from pto_sim.compat import backends as backend
from pto_sim.compat import ir, jit, runtime
from pto_sim.program.errors import UnsupportedError

# An import of a part that is not served then reaches the hook, which names it.
__path__: list[str] = []

__all__ = ["__version__", "backend", "ir", "jit", "language", "runtime"]


def __getattr__(name: str) -> Any:
    if name.startswith("__"):
        raise AttributeError(name)
    raise UnsupportedError(f"pypto.{name}", hint="pto-sim serves pypto.language, pypto.runtime, pypto.backend")
