"""Who runs and who compiles a kernel that a script calls directly: `fn(a, b, out)`, `fn.compile(a, b, out)`.

A session of the command line (a higher layer) puts itself here, so that a direct call is run, reported and
counted like one that goes through the test harness. Outside a session the frontend runs the engine itself.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextvars import ContextVar
from typing import Any, Protocol

import numpy as np


class KernelRunner(Protocol):
    """Runs `kernel` on positional `args` and returns its outputs, keyed by parameter name.

    config: what the caller gave as `config=`, None if nothing.
    """

    def __call__(
        self, kernel: object, args: Sequence[object], config: object | None = None
    ) -> Mapping[str, np.ndarray]: ...


class KernelCompiler(Protocol):
    """Makes what a script holds as the compiled form of `kernel` for arguments like `args`.

    lowered: what it holds as its IR instead.
    """

    def __call__(
        self, kernel: object, args: Sequence[object], config: object | None = None, *, lowered: bool = False
    ) -> Any: ...


kernel_runner: ContextVar[KernelRunner | None] = ContextVar("kernel_runner", default=None)
kernel_compiler: ContextVar[KernelCompiler | None] = ContextVar("kernel_compiler", default=None)
