"""Classes whose attributes are a closed list of choices: a misspelt one is answered with the nearest."""

from __future__ import annotations

import difflib
import sys
from typing import Any

from pto_sim.program.errors import KernelError
from pto_sim.program.model import Site


class UnknownNameError(KernelError, AttributeError):
    """`pl.x` where there is no x."""


class Alternatives(type):
    """Metaclass of choices such as pl.SplitMode."""

    def __getattr__(cls, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        choices = [choice for choice in vars(cls) if not choice.startswith("_")]
        close = difflib.get_close_matches(name, choices, n=1)
        listed = ", ".join(choices)
        frame = sys._getframe(1)
        raise UnknownNameError(
            "PTO201",
            f"pl.{cls.__name__} has no alternative '{name}'",
            site=Site.of_frame(frame),
            values=f"it has {listed}",
            hint=f"did you mean pl.{cls.__name__}.{close[0]}?" if close else "use one of them",
        )
