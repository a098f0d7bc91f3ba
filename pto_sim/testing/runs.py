"""One call that runs a kernel and gives everything the simulator knows about the run."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pto_sim.backend import BackendRun, select
from pto_sim.program.options import RunOptions


def run(kernel: object, args: Sequence[object], **options: Any) -> BackendRun:
    """Run `kernel` on `args` (arrays and numbers, in parameter order) and return values, heap, time and findings.

    options: fields of `RunOptions`, for example `scopes="flat"`, `ring_heap_bytes=(2**20,) * 4`, `timing=False`. The
    arrays in `args` are left as they are. A runtime error is returned in `fault`. Raises what the kernel's own
    mistakes raise (PtoError), and TypeError for an unknown option.
    """
    return select("sim").run(kernel, list(args), RunOptions(**options))
