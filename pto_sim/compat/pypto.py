"""`import pypto`: the subpackages as attributes."""

from __future__ import annotations

from pto_sim import __version__, language
from pto_sim.compat import backends as backend
from pto_sim.compat import ir, jit, runtime
from pto_sim.compat import pass_pipeline as passes
from pto_sim.compat.core import LogLevel, get_log_level, set_log_level
from pto_sim.compat.element_types import DataType
from pto_sim.compat.refusal import refuser

# An import of a part that is not served then reaches the hook, which names it.
__path__: list[str] = []

__all__ = [
    "DataType", "LogLevel", "__version__", "backend", "get_log_level", "ir", "jit", "language", "passes", "runtime",
    "set_log_level",
]  # fmt: skip

__getattr__ = refuser("pypto", "pto-sim serves pypto.language, pypto.runtime, pypto.backend, pypto.ir")
