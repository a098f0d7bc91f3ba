"""The report as terminal tables: outcome first, then heap, then time, then findings."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console, Group, RenderableType
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from pto_sim.report import summary
from pto_sim.report.model import HeapReport, ProductReport, RunReport, TimeReport
from pto_sim.report.units import bytes_text, scope_text, share_text, site_text, us_text

_PATH_ROWS = 8
_PRODUCT_ROWS = 24
_FULL_REPORTS = 8
_SEVERITY_STYLE = {"error": "bold red", "warning": "yellow", "info": "dim"}


def print_report(report: RunReport, console: Console) -> None:
    """Print every part of `report` that has something in it."""
    console.print(outcome_panel(report))
    if report.heap is not None:
        for part in heap_tables(report.heap):
            console.print(part)
    if report.time is not None:
        for part in time_tables(report.time):
            console.print(part)
    if report.products:
        console.print(products_table(report.products))
    console.print(findings_table(report))


def print_reports(reports: list[RunReport], console: Console) -> None:
    """Print some reports in full; of many, such as those of a test file, one row each and the failed ones in full."""
    if len(reports) <= _FULL_REPORTS:
        for report in reports:
            print_report(report, console)
        return
    table = Table(title=f"{len(reports)} kernel runs (in full: --out, --json)", title_justify="left")
    for column in ("kernel", "outcome", "time", "findings"):
        table.add_column(column)
    for report in reports:
        codes = sorted({finding.code for finding in report.findings if finding.severity != "info"})
        time = us_text(report.time.total_us) if report.time is not None else "-"
        table.add_row(report.kernel, "passed" if report.passed else "FAILED", time, ", ".join(codes) or "none")
    console.print(table)
    for report in reports:
        if not report.passed:
            console.print(outcome_panel(report))
            console.print(findings_table(report))


def outcome_panel(report: RunReport) -> RenderableType:
    """Passed or not, why, and the hashes of the outputs."""
    good, line = summary.outcome(report)
    head = Text("PASSED  " if good else "FAILED  ", style="bold green" if good else "bold red")
    head.append(line, style="default")
    parts: list[RenderableType] = []
    if report.numerics == "fast":  # design: a run that is not bit-exact says so in its first line
        parts.append(Text("numerics fast: BLAS order of operations, NOT bit-exact", style="bold yellow"))
    parts += [head, Text("   ".join(f"{name} {value}" for name, value in summary.facts(report)), style="dim")]
    if not good and report.error:
        parts += _error_text(report)
    if report.outputs:
        parts.append(_outputs_table(report))
    return Panel(Group(*parts), border_style="green" if good else "red")


def _error_text(report: RunReport) -> list[RenderableType]:
    """The lines of the error that the outcome line does not already show."""
    assert report.error is not None
    lines = report.error.splitlines()[0 if report.runtime_error else 1 :]
    return [Text("\n".join(lines))] if lines else []


def _outputs_table(report: RunReport) -> Table:
    table = Table("output", "shape", "dtype", box=None, header_style="dim", pad_edge=False)
    table.add_column("sha256", overflow="fold")
    for name, row in report.outputs.items():
        table.add_row(name, str(list(row.shape)), row.dtype, row.sha256)
    return table


def heap_tables(heap: HeapReport) -> list[RenderableType]:
    """Ring high water by reading, then scopes of the first reading that was taken."""
    readings = heap.readings()
    rings = Table(
        title=f"Ring heap: high water (pipe slots {heap.pipe_slots}, scope depth {heap.max_scope_depth})",
        title_justify="left",
    )
    rings.add_column("ring")
    rings.add_column("capacity", justify="right")
    for name, _ in readings:
        rings.add_column(name, justify="right")
    for ring, capacity, high in summary.ring_rows(heap):
        rings.add_row(ring, bytes_text(capacity), *(bytes_text(high.get(name, 0)) for name, _ in readings))
    rings.add_section()
    rings.add_row("frame", "residency", *(bytes_text(reading.frame_residency_bytes) for _, reading in readings))
    return [rings, *(_scope_table(name, heap) for name, _ in readings[:1])]


def _scope_table(name: str, heap: HeapReport) -> Table:
    table = Table(title=f"Heap by scope (reading {name})", title_justify="left")
    table.add_column("scope")
    for title in ("ring", "alloc", "high water", "residency"):
        table.add_column(title, justify="right")
    for row in summary.scope_rows(getattr(heap, name)):
        times = f" ({row.instances} times)" if row.instances > 1 else ""
        figures = (row.alloc_bytes, row.high_water_bytes, row.residency_bytes)
        scope = "  " * row.depth + site_text(scope_text(row.site)) + times
        table.add_row(scope, str(row.ring), *(bytes_text(figure) for figure in figures))
    return table


def time_tables(time: TimeReport) -> list[RenderableType]:
    """Tasks in start order, use of the chip's pipes, and what the critical path is made of."""
    return [_task_table(time), _pipe_table(time), _path_table(time)]


def _task_table(time: TimeReport) -> Table:
    table = Table(title=f"Time: {us_text(time.total_us)} us on {time.chip}", title_justify="left")
    table.add_column("task")
    table.add_column("kind")
    for title in ("blocks", "start us", "end us", "core us"):
        table.add_column(title, justify="right")
    table.add_column("busiest pipes")
    for task in time.per_task:
        if task.kind in ("ALLOC", "DUMMY"):
            continue  # they run on no core
        table.add_row(
            task.name,
            task.kind,
            str(task.blocks),
            us_text(task.start_us),
            us_text(task.end_us),
            us_text(task.core_busy_us),
            summary.busiest_pipes(task),
        )
    return table


def _pipe_table(time: TimeReport) -> Table:
    table = Table(title="Pipes over the whole run", title_justify="left")
    table.add_column("pipe")
    table.add_column("busy", justify="right")
    table.add_column("mostly idle for")
    for pipe in time.pipes:
        if not pipe.busy_cycles:
            continue
        table.add_row(pipe.pipe, share_text(pipe.busy_cycles, pipe.total_cycles), summary.main_idle_reason(pipe))
    return table


def _path_table(time: TimeReport) -> Table:
    table = Table(title="Critical path", title_justify="left")
    table.add_column("what")
    table.add_column("reason")
    table.add_column("us", justify="right")
    table.add_column("share", justify="right")
    shares = summary.path_shares(time)
    for row in shares[:_PATH_ROWS]:
        table.add_row(row.what, row.reason, us_text(row.us), share_text(row.us, time.total_us))
    if rest := shares[_PATH_ROWS:]:
        us = sum(row.us for row in rest)
        table.add_row(f"{len(rest)} more", "", us_text(us), share_text(us, time.total_us))
    return table


def products_table(products: Sequence[ProductReport]) -> RenderableType:
    """The matrix products and how each is cut for L0."""
    table = Table(title="Matrix products and their L0 tiles", title_justify="left")
    for title in ("site", "M x K x N", "dtype", "tile m x k x n", "K blocks"):
        # The line at the end of a site tells two products of one kernel apart, so it is never cut off.
        table.add_column(title, justify="right" if title == "K blocks" else "left", overflow="fold")
    for row in products[:_PRODUCT_ROWS]:
        shape, tile = summary.product_extents(row)
        table.add_row(site_text(row.site), shape, row.dtype, tile, str(row.k_blocks))
    if len(products) > _PRODUCT_ROWS:
        table.add_row(f"{len(products) - _PRODUCT_ROWS} more in report.json", "", "", "", "")
    return table


def findings_table(report: RunReport) -> RenderableType:
    """Findings, the gravest first."""
    if not report.findings:
        return Text("Findings: none")
    table = Table(title="Findings", title_justify="left")
    for title in ("code", "severity", "site", "message"):
        table.add_column(title, overflow="fold")
    for finding in sorted(report.findings, key=lambda f: (summary.SEVERITY_ORDER[f.severity], f.code, f.site)):
        more = (("other", finding.other), ("allocated", finding.allocation), ("instead", finding.hint))
        lines = [f"{finding.title}: {finding.message}", *(f"{label}: {text}" for label, text in more if text)]
        severity = Text(finding.severity, style=_SEVERITY_STYLE[finding.severity])
        # Text, because a message such as deps=[id] is no markup of rich's.
        table.add_row(finding.code, severity, site_text(finding.site), Text("\n".join(lines)))
    return table
