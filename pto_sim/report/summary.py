"""The rows that every renderer shows, computed once: scopes by site, tasks with their busiest pipes, path shares."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from ascend_model.timeline import PathStep, PipeUse, ScopeReading, TaskSpan
from pto_sim.report.model import HeapReport, ProductReport, ReadingReport, RunReport, TimeReport
from pto_sim.report.units import seconds_text, us_text

SEVERITY_ORDER = {"error": 0, "warning": 1, "info": 2}


@dataclass(frozen=True)
class ScopeRow:
    """All instances of one scope: sums of nothing, the largest value of each counter, in bytes."""

    site: str
    depth: int
    ring: int
    instances: int
    alloc_bytes: int
    high_water_bytes: int
    residency_bytes: int


@dataclass(frozen=True)
class PathShare:
    """How much of the critical path one task or runtime step takes for one reason."""

    what: str
    reason: str
    steps: int
    us: float


def outcome(report: RunReport) -> tuple[bool, str]:
    """Whether the run is good, and the one line that says so."""
    if report.runtime_error is not None:
        error = report.runtime_error
        return False, f"runtime error {error.code} {error.name}: no outputs"
    if not report.passed:
        return False, report.error.splitlines()[0] if report.error else "failed"
    return True, "outputs agree with the golden" if report.compared else "ran to the end (no golden to compare with)"


def product_extents(row: ProductReport) -> tuple[str, str]:
    """Extents of a product, with its batch, and of its L0 tile with the operand that stays there."""
    batch = f"{row.batch} x " if row.batch > 1 else ""
    held = "" if row.stationary == "output" else f", {row.stationary.upper()} held"
    return f"{batch}{row.m} x {row.k} x {row.n}", f"{row.tile_m} x {row.tile_k} x {row.tile_n}{held}"


def facts(report: RunReport) -> list[tuple[str, str]]:
    """Label and value of the figures that stand under the outcome."""
    rows = [
        ("kernel", report.kernel),
        ("numerics", report.numerics),
        ("scopes", report.variant),
        ("backend", report.backend),
    ]
    if report.time is not None:
        rows.append(("simulated", f"{us_text(report.time.total_us)} us on {report.time.chip}"))
    rows.append(("host", f"{seconds_text(report.host.wall_s)}, peak {report.host.peak_rss_bytes / 2**30:.2f} GiB"))
    return rows


def ring_rows(heap: HeapReport) -> list[tuple[str, int, dict[str, int]]]:
    """(ring, capacity, high water by reading) of each ring that a reading used, all in bytes."""
    rows: dict[str, tuple[int, dict[str, int]]] = {}
    for name, reading in heap.readings():
        for ring, figures in reading.rings.items():
            rows.setdefault(ring, (figures.capacity_bytes, {}))[1][name] = figures.high_water_bytes
    return [(ring, capacity, high) for ring, (capacity, high) in sorted(rows.items()) if any(high.values())]


def scope_rows(reading: ReadingReport) -> list[ScopeRow]:
    """Scopes of one reading by (site, depth, ring), outermost first, in order of their first instance."""
    groups: dict[tuple[str, int, int], list[ScopeReading]] = {}
    for scope in reading.scopes:
        groups.setdefault((scope.site, scope.depth, scope.ring), []).append(scope)
    rows = [
        ScopeRow(
            site,
            depth,
            ring,
            len(group),
            max(s.alloc_bytes for s in group),
            max(s.high_water_bytes for s in group),
            max(s.residency_bytes for s in group),
        )
        for (site, depth, ring), group in groups.items()
    ]
    return sorted(rows, key=lambda row: row.depth)


def busiest_pipes(task: TaskSpan, count: int = 2) -> str:
    """The most used pipes of a task, such as 'CUBE 81%, MTE2 40%'."""
    used = sorted((pipe for pipe in task.pipes if pipe.busy_cycles), key=_use, reverse=True)
    return ", ".join(f"{pipe.pipe} {100 * _use(pipe):.0f}%" for pipe in used[:count])


def _use(pipe: PipeUse) -> float:
    return pipe.busy_cycles / pipe.total_cycles if pipe.total_cycles else 0.0


def main_idle_reason(pipe: PipeUse) -> str:
    """The reason that accounts for most idle cycles of a pipe, or ''."""
    return max(pipe.idle_cycles, key=lambda name: pipe.idle_cycles[name]) if any(pipe.idle_cycles.values()) else ""


def path_shares(time: TimeReport) -> list[PathShare]:
    """The critical path by (what, reason), largest first. All blocks of a task count as the task."""
    names = {task.task: task.name for task in time.per_task}
    totals: dict[tuple[str, str], tuple[int, float]] = {}
    for step in time.critical_path:
        what = _path_name(step, names)
        count, us = totals.get((what, step.reason), (0, 0.0))
        totals[what, step.reason] = count + 1, us + step.end_us - step.start_us
    rows = [PathShare(what, reason, count, us) for (what, reason), (count, us) in totals.items()]
    return sorted(rows, key=lambda row: (-row.us, row.what, row.reason))


def _path_name(step: PathStep, names: Mapping[int, str]) -> str:
    """'qk_pv' for its blocks, 'scheduler: complete qk_pv' for the runtime's steps, whichever scheduler takes them."""
    thread, colon, work = step.what.partition(": ")
    if colon:
        return f"{thread.rstrip('0123456789 ')}: {work.split(' x')[0]}"
    return names.get(step.task, step.what) if step.task is not None else step.what
