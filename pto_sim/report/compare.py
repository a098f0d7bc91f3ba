"""Two runs side by side: the bits of their outputs, ring heap, time and findings."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from rich.console import Console
from rich.table import Table
from rich.text import Text

from pto_sim.report.model import OutputReport, RunReport
from pto_sim.report.units import bytes_text, site_text, us_text


@dataclass(frozen=True)
class Row:
    """One compared figure: what it is, both values as text, and how they relate."""

    what: str
    left: str
    right: str
    verdict: str


@dataclass(frozen=True)
class Comparison:
    """same_bits: both runs have the same outputs with the same shape, dtype, written elements and hash."""

    same_bits: bool
    outputs: tuple[Row, ...]
    heap: tuple[Row, ...]
    time: tuple[Row, ...]
    findings: tuple[Row, ...]


def compare_runs(left: RunReport, right: RunReport) -> Comparison:
    """Compare two reports. A run without outputs (it failed) is never the same as anything."""
    outputs = _output_rows(left, right)
    same = bool(outputs) and all(row.verdict == "same bits" for row in outputs)
    return Comparison(same, outputs, _heap_rows(left, right), _time_rows(left, right), _finding_rows(left, right))


def _output_rows(left: RunReport, right: RunReport) -> tuple[Row, ...]:
    rows = []
    for name in sorted(left.outputs.keys() | right.outputs.keys()):
        a, b = left.outputs.get(name), right.outputs.get(name)
        if a is None or b is None:
            verdict = "only in one run"
        elif (a.shape, a.dtype) != (b.shape, b.dtype):
            verdict = "another shape or dtype"
        elif a.written_elements != b.written_elements:
            verdict = "other elements written"
        else:
            verdict = "same bits" if a.sha256 == b.sha256 else "DIFFERENT BITS"
        rows.append(Row(name, _output_text(a), _output_text(b), verdict))
    return tuple(rows)


def _output_text(output: OutputReport | None) -> str:
    return f"{output.dtype}{list(output.shape)} {output.sha256[:12]}" if output else "-"


def _heap_rows(left: RunReport, right: RunReport) -> tuple[Row, ...]:
    figures: tuple[dict[str, int], dict[str, int]] = ({}, {})
    for report, found in zip((left, right), figures, strict=True):
        for name, reading in report.heap.readings() if report.heap else []:
            for ring, row in reading.rings.items():
                found[f"{name}: ring {ring} high water"] = row.high_water_bytes
            found[f"{name}: frame residency"] = reading.frame_residency_bytes
    return _number_rows(*figures, bytes_text)


def _time_rows(left: RunReport, right: RunReport) -> tuple[Row, ...]:
    figures: tuple[dict[str, float], dict[str, float]] = ({}, {})
    for report, found in zip((left, right), figures, strict=True):
        if report.time is None:
            continue
        found["total us"] = report.time.total_us
        for task in report.time.per_task:
            if task.kind not in ("ALLOC", "DUMMY"):
                key = f"{task.name} core us"
                found[key] = found.get(key, 0.0) + task.core_busy_us
    return _number_rows(*figures, us_text)


def _number_rows(
    left: Mapping[str, float], right: Mapping[str, float], text: Callable[[float], str]
) -> tuple[Row, ...]:
    rows = []
    for name in [*left, *(name for name in right if name not in left)]:
        a, b = left.get(name), right.get(name)
        if not a and not b:
            continue  # a ring that neither run used
        verdict = "same" if a == b else f"{100 * (b - a) / a:+.1f}%" if a and b is not None else "changed"
        shown = ["-" if value is None else text(value) for value in (a, b)]
        rows.append(Row(name, shown[0], shown[1], verdict))
    return tuple(rows)


def _finding_rows(left: RunReport, right: RunReport) -> tuple[Row, ...]:
    sides = [{(f.code, site_text(f.site)): f.severity for f in report.findings} for report in (left, right)]
    rows = []
    for key in sorted(sides[0].keys() | sides[1].keys()):
        a, b = (side.get(key, "-") for side in sides)
        rows.append(Row(" ".join(key), a, b, "same" if a == b else "changed"))
    return tuple(rows)


def print_comparison(comparison: Comparison, names: tuple[str, str], console: Console) -> None:
    """Outcome first, then one table for each part that has rows."""
    style = "bold green" if comparison.same_bits else "bold red"
    text = "SAME BITS in every output" if comparison.same_bits else "THE OUTPUTS DIFFER"
    console.print(Text(text if comparison.outputs else "NO OUTPUTS to compare: a run failed", style=style))
    parts = {
        "Outputs": comparison.outputs,
        "Ring heap": comparison.heap,
        "Time": comparison.time,
        "Findings": comparison.findings,
    }
    for title, rows in parts.items():
        if rows:
            table = Table(title=title, title_justify="left")
            table.add_column("")
            for name in names:
                table.add_column(name, justify="right", overflow="fold")
            table.add_column("")
            for row in rows:
                table.add_row(row.what, row.left, row.right, row.verdict)
            console.print(table)
