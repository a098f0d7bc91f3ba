"""What the steps of the runtime's AICPU threads cost: the `runtime` section of a chip, in microseconds."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields

from ascend_model.chipspec import ChipSpec, ChipSpecError

_GRID_PER_US = 2.0**20


def grid_us(duration_us: float) -> float:
    """Rounds a duration up to a multiple of 2**-20 us (about 1 ps).

    Such times add and subtract without rounding in float64 (up to 2**33 us), so the pieces of a run add up
    to its total exactly.
    """
    return math.ceil(duration_us * _GRID_PER_US) / _GRID_PER_US


@dataclass(frozen=True, kw_only=True)
class RuntimeCosts:
    """Costs in microseconds, rounded up to the time grid. Meaning and source of each are in the chip file."""

    scheduler_threads: int
    submit_us: float
    user_code_us: float
    alloc_us: float
    scope_end_us: float
    dispatch_us: float
    complete_us: float
    resolve_us: float
    publish_us: float
    poll_us: float
    sync_start_drain_us: float
    doorbell_us: float
    pickup_us: float
    finish_us: float
    first_task_us: float


def runtime_costs(spec: ChipSpec) -> RuntimeCosts:
    """The costs of a chip. Raises ChipSpecError for a number that is missing, unknown or not in us."""
    section = spec.section("runtime")
    known = [field.name for field in fields(RuntimeCosts)]
    for name in known:
        unit = "count" if name == "scheduler_threads" else "us"
        if name not in section:
            raise ChipSpecError(f"{spec.file}: lacks runtime.{name}; write it, or extend a chip that has it")
        if section[name].unit != unit:
            raise ChipSpecError(f"{spec.file}: runtime.{name} has unit {section[name].unit!r}; allowed: {unit}")
    unknown = sorted(set(section) - set(known))
    if unknown:
        raise ChipSpecError(f"{spec.file}: unknown number 'runtime.{unknown[0]}'; allowed: {', '.join(known)}")
    if section["scheduler_threads"].value < 1:
        raise ChipSpecError(f"{spec.file}: runtime.scheduler_threads must be at least 1")
    times = {name: grid_us(section[name].value) for name in known if name != "scheduler_threads"}
    return RuntimeCosts(scheduler_threads=int(section["scheduler_threads"].value), **times)
