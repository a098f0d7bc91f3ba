"""Steps of a run with what caused each, and the critical path that they add up to."""

from __future__ import annotations

from dataclasses import dataclass

from ascend_model.isa import WaitReason
from ascend_model.timeline import PathStep

BUSY = "busy"
"""Reason of a step that is work and not a wait."""

RUNTIME = WaitReason.RUNTIME.value
"""Reason of a step of the runtime."""


@dataclass(slots=True, eq=False)
class Step:
    """Something that took time, in microseconds.

    cause: the step whose end let this one start. gap: why this one did not start at that very moment. thread, kind,
    count, ready: see `PathStep`.
    """

    what: str
    task: int | None
    reason: str
    start_us: float
    end_us: float
    cause: Step | None = None
    gap: WaitReason = WaitReason.RUNTIME
    thread: str = ""
    kind: str = ""
    count: int = 1
    ready: tuple[int, int, int] = (0, 0, 0)

    def as_path_step(self) -> PathStep:
        """The step without its cause."""
        return PathStep(
            self.what,
            self.task,
            self.reason,
            self.start_us,
            self.end_us,
            self.thread,
            self.kind,
            self.count,
            self.ready,
        )


def latest(first: Step | None, second: Step | None) -> Step | None:
    """The step that ended later; the first if they ended together."""
    if first is None or (second is not None and second.end_us > first.end_us):
        return second
    return first


def critical_path(last: Step | None, total_us: float) -> tuple[PathStep, ...]:
    """Walks back from the last step over the causes. The pieces touch each other from 0 to `total_us`."""
    pieces: list[PathStep] = []
    now, step = total_us, last
    what, task, gap = "end of the run", None if last is None else last.task, WaitReason.RUNTIME

    def add(name: str, owner: int | None, reason: str, start: float) -> float:
        if start < now:
            pieces.append(PathStep(name, owner, reason, start, now))
            return start
        return now

    while step is not None and now > 0:
        now = add(what, task, gap.value, step.end_us)
        now = add(step.what, step.task, step.reason, step.start_us)
        what, task, gap = step.what, step.task, step.gap
        step = step.cause
    add(what, task, gap.value, 0.0)
    return tuple(reversed(pieces))
