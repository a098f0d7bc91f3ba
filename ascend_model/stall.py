"""A run that makes no progress: the runtime's watchdogs, and what it says when one of them fires.

Source: simpler: docs/troubleshooting/device-error-codes/stall.md, src/a2a3/runtime/tensormap_and_ringbuffer/runtime/
scheduler/scheduler_cold_path.cpp (classification), pto_ring_buffer.h and pto_runtime2_types.h (times).
"""

from __future__ import annotations

from dataclasses import dataclass

ALLOCATION_TIMEOUT_US = 0.5e6
"""A ring that reclaims nothing for so long while the orchestrator waits for room is stuck (errors 2, 3, 4, 11)."""

SCHEDULER_TIMEOUT_US = 10e6
"""A scheduler thread that makes no progress for so long while it owns a running task stops the run (error 100)."""

TENSOR_WAIT_TIMEOUT_US = 15e6
"""So long the orchestrator waits for one task whose data it reads or overwrites (error 8)."""


@dataclass(frozen=True)
class Waiting:
    """Who waits, for what, and who should signal it."""

    who: str
    what: str
    signalled_by: str

    def __str__(self) -> str:
        return f"{self.who} waits for {self.what}; {self.signalled_by} should signal it"


@dataclass(frozen=True, kw_only=True)
class StallState:
    """The run when a watchdog fired. Counts are of submitted tasks that have not completed, and completed ones.

    stuck_task, stuck_core: the first task that runs, and its core; '' if none does. orchestrated: the orchestrator
    has ended.
    """

    at_us: float
    completed: int
    submitted: int
    running: int
    ready: int
    waiting: int
    orchestrated: bool
    stuck_task: str = ""
    stuck_core: str = ""
    waits: tuple[Waiting, ...] = ()

    @property
    def sub_class(self) -> str:
        """The first that applies: a running task, a ready one, one that waits for others, the orchestrator."""
        if self.running:
            return "S1:running-stalled"
        if self.ready:
            return "S3:ready-but-all-idle"
        if self.waiting:
            return "S4:dependency-deadlock"
        return "unknown" if self.orchestrated else "S5:orchestrator-starvation"

    def lines(self) -> tuple[str, ...]:
        """The dump as text lines."""
        stuck = f", stuck task {self.stuck_task} on {self.stuck_core}" if self.stuck_task else ""
        return (
            f"sub_class={self.sub_class}, completed={self.completed}/{self.submitted}, running={self.running}, "
            f"ready={self.ready}, waiting={self.waiting}, orch_done={int(self.orchestrated)}{stuck}",
            *map(str, self.waits),
        )
