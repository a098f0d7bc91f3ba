"""Who runs a kernel that a script calls directly, `fn(a, b, out)`.

A session of the command line (a higher layer) puts itself here, so that a direct call is run, reported and
counted like one that goes through the test harness. Outside a session the frontend runs the engine itself.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextvars import ContextVar
from typing import Protocol

import numpy as np


class KernelRunner(Protocol):
    """Runs `kernel` on positional `args` and returns its outputs, keyed by parameter name."""

    def __call__(self, kernel: object, args: Sequence[object]) -> Mapping[str, np.ndarray]: ...


kernel_runner: ContextVar[KernelRunner | None] = ContextVar("kernel_runner", default=None)
