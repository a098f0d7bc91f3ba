"""`pypto.runtime.log_config`: the log of the device runtime, which does not exist here. Levels are only checked."""

from __future__ import annotations

from pto_sim.compat.refusal import RefusedValueError

__path__: list[str] = []

LEVELS = ("debug", "info", "timing", "warn", "error", "null")
_NONE = 60  # above every level of Python's logging


def configure_log(level: int | str, *, sync_pypto: bool = False) -> None:
    """Accept a level that exists. Raises InputError (PTO018), which is also a ValueError."""
    if isinstance(level, int) and not isinstance(level, bool):
        return
    name = str(level).lower()
    if name not in LEVELS and not (name.startswith("v") and name[1:].isdigit()):
        raise RefusedValueError("PTO018", f"there is no log level {level!r}", hint=f"use one of {', '.join(LEVELS)}")


def current_level() -> int:
    """The threshold: above every level, as nothing is logged."""
    return _NONE
