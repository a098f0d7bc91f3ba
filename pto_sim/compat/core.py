"""`pypto.pypto_core`: the names of the extension module that scripts import."""

from __future__ import annotations

import enum

from pto_sim.compat import ir, pass_pipeline
from pto_sim.compat.element_types import DataType
from pto_sim.compat.refusal import refuser

__path__: list[str] = []

__all__ = ["DataType", "LogLevel", "get_log_level", "ir", "passes", "set_log_level"]

passes = pass_pipeline


class LogLevel(enum.IntEnum):
    """Thresholds of the compiler's log, which is empty here."""

    DEBUG = 0
    INFO = 1
    WARN = 2
    ERROR = 3
    FATAL = 4
    EVENT = 5
    NONE = 6


def set_log_level(level: LogLevel) -> None:
    """Accepted: there is no compiler log."""


def get_log_level() -> LogLevel:
    """NONE: there is no compiler log."""
    return LogLevel.NONE


def _set_thread_log_level(level: LogLevel) -> None:
    """As set_log_level, for one thread."""


def _clear_thread_log_level() -> None:
    """As set_log_level, for one thread."""


__getattr__ = refuser("pypto.pypto_core", "pto-sim has no part of the compiler's extension module")
