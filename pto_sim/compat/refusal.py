"""Parts of pypto that only its compiler or a device has: named when they are asked for."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from pto_sim.program.errors import InputError, UnsupportedError


class RefusedValueError(InputError, ValueError):
    """A value that pypto refuses with a ValueError: scripts that catch that one still do."""


class RefusedTypeError(InputError, TypeError):
    """An argument that pypto refuses with a TypeError."""


def refuser(module: str, hint: str) -> Callable[[str], Any]:
    """A module's `__getattr__` that raises UnsupportedError with the full name of what is missing."""

    def missing(name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        raise UnsupportedError(f"{module}.{name}", hint=hint)

    return missing


class Opaque:
    """Something of the compiler that a script may hold and hand on; every look inside is refused by name."""

    def __init__(self, what: str) -> None:
        self._what = what

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        raise UnsupportedError(f"{self._what}.{name}", hint="pto-sim runs kernels and has no compiler behind them")

    def __str__(self) -> str:
        raise UnsupportedError(f"the text of {self._what}", hint="print the kernel's source; there is no IR here")

    def __repr__(self) -> str:
        return f"<{self._what} of pto-sim>"
