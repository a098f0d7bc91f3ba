"""A chip whose runtime steps cost round numbers, so that a schedule can be worked out by hand."""

from __future__ import annotations

from collections.abc import Iterable

from ascend_model.chipspec import ChipSpec, load_chip
from ascend_model.isa import Core
from ascend_model.timeline import PathStep, Timeline
from ascend_model.workload import InstructionStream
from tests.ascend_model.laws import scalar

COSTS_US = {
    "user_code_us": 1.0,
    "submit_us": 2.0,
    "alloc_us": 1.0,
    "dispatch_us": 4.0,
    "publish_us": 0.25,
    "complete_us": 2.0,
    "resolve_us": 0.5,
    "poll_us": 0.5,
    "sync_start_drain_us": 8.0,
    "doorbell_us": 0.25,
    "pickup_us": 0.25,
    "finish_us": 1.0,
}
"""Every other step is free. A task's n-th submission ends at 3 n; a block starts 0.5 after its dispatch ends; it is
seen 1 after its end, polled for 0.5 a core, and its task completed in 2 more."""


def round_chip(threads: int = 1) -> ChipSpec:
    """The chip a2a3 with `COSTS_US` and so many scheduler threads."""
    chip = load_chip("a2a3")
    for name in chip.section("runtime"):
        value = threads if name == "scheduler_threads" else COSTS_US.get(name, 0.0)
        chip = chip.replace_value(f"runtime.{name}", value)
    return chip


def lasting(duration_us: float, *cores: Core) -> InstructionStream:
    """A stream that computes for so long on each of the cores (an AIV if none is named)."""
    return scalar(cores or (Core.AIV0,), round(duration_us * 1850))


def steps(timeline: Timeline, kind: str, task: int | None = None) -> list[PathStep]:
    """The steps of one kind that the scheduler threads took, for one task or all."""
    phases: Iterable[PathStep] = timeline.runtime_phases
    return [step for step in phases if step.kind == kind and task in (None, step.task)]


def spans(taken: list[PathStep]) -> list[tuple[float, float]]:
    """Start and end of steps, to the nanosecond."""
    return [(round(step.start_us, 3), round(step.end_us, 3)) for step in taken]
