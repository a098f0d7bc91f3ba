"""`report.html`: one static page. It loads nothing, runs no script, and follows the reader's light or dark setting."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape

from ascend_model.timeline import HeapReading, Timeline
from pto_sim.report import html_charts, summary
from pto_sim.report.model import HeapReport, ProductReport, RunReport, TimeReport
from pto_sim.report.page_style import STYLE
from pto_sim.report.units import bytes_text, scope_text, share_text, us_text

_NUMBER, _TEXT, _CODE = "n", "", "code"


def report_html(report: RunReport, timeline: Timeline | None = None, samples: HeapReading | None = None) -> str:
    """The page of one run. `timeline` adds the blocks on cores, `samples` the live bytes of each ring."""
    parts = [_outcome(report)]
    if report.heap is not None:
        parts += ["<h2>Ring heap</h2>", _section(_heap(report.heap, samples))]
    if report.time is not None:
        parts += ["<h2>Time</h2>", _section(_time(report.time, timeline))]
    if report.products:
        parts += ["<h2>Matrix products and their L0 tiles</h2>", _section([_products(report)])]
    parts += ["<h2>Findings</h2>", _section(_findings(report))]
    title = escape(f"{report.kernel}: pto-sim run")
    return (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        f'<meta name="viewport" content="width=device-width,initial-scale=1"><title>{title}</title>'
        f"<style>\n{STYLE}</style></head><body><main>\n"
        + "\n".join(parts)
        + "\n<footer>trace.json in the same directory opens in ui.perfetto.dev. Bytes and times are simulated; "
        "host figures are of the machine that ran the simulation.</footer></main></body></html>\n"
    )


def _section(parts: Iterable[str]) -> str:
    return f"<section>{''.join(parts)}</section>"


def _table(head: Sequence[tuple[str, str]], rows: Iterable[Sequence[str]]) -> str:
    """head: (title, kind) with kind 'n' for numbers, 'code' for identifiers, '' for text. Cells are escaped."""
    titles = "".join(
        f'<th class="n">{escape(t)}</th>' if kind == _NUMBER else f"<th>{escape(t)}</th>" for t, kind in head
    )
    body = []
    for row in rows:
        cells = []
        for (_, kind), cell in zip(head, row, strict=True):
            text = f"<code>{escape(cell)}</code>" if kind == _CODE else escape(cell)
            cells.append(f'<td class="n">{text}</td>' if kind == _NUMBER else f"<td>{text}</td>")
        body.append(f"<tr>{''.join(cells)}</tr>")
    return f"<table><thead><tr>{titles}</tr></thead><tbody>{''.join(body)}</tbody></table>"


def _outcome(report: RunReport) -> str:
    good, line = summary.outcome(report)
    notice = ""
    if report.numerics == "fast":
        notice = '<p class="notice">numerics fast: BLAS order of operations, NOT bit-exact</p>'
    facts = "".join(f"<li><span>{escape(name)}</span>{escape(value)}</li>" for name, value in summary.facts(report))
    parts = [
        f"<h1>{escape(report.kernel)}</h1>",
        f'<div class="banner {"good" if good else "bad"}">{notice}',
        f"<strong>{'PASSED' if good else 'FAILED'}</strong>{escape(line)}",
        f'<ul class="facts">{facts}</ul></div>',
    ]
    if not good and report.error:
        parts.append(f"<h2>What failed</h2><section><pre>{escape(report.error)}</pre></section>")
    if report.runtime_error is not None:
        rows = [(name, str(value)) for name, value in report.runtime_error.ring_state.items()]
        parts.append("<h2>Ring state</h2>" + _section([_table([("field", _TEXT), ("value", _CODE)], rows)]))
    if report.outputs:
        rows_ = [(n, str(list(o.shape)), o.dtype, o.sha256) for n, o in report.outputs.items()]
        head = [("output", _TEXT), ("shape", _TEXT), ("dtype", _TEXT), ("sha256 of its bits", _CODE)]
        parts.append("<h2>Outputs</h2>" + _section([_table(head, rows_)]))
    return "\n".join(parts)


def _heap(heap: HeapReport, samples: HeapReading | None) -> Iterable[str]:
    yield f"<h3>High water by ring (pipe slots {escape(heap.pipe_slots)}, scope depth {heap.max_scope_depth})</h3>"
    yield html_charts.ring_chart(heap)
    frames = ", ".join(f"{name} {bytes_text(reading.frame_residency_bytes)}" for name, reading in heap.readings())
    yield f"<p>Frame residency: {frames}</p>"
    if samples is not None and samples.samples:
        yield f"<h3>Live bytes at each scope begin and end ({escape(samples.reading)})</h3>"
        yield html_charts.occupancy_chart(samples)
    head = [
        ("scope", _CODE),
        ("depth", _NUMBER),
        ("ring", _NUMBER),
        ("times", _NUMBER),
        ("alloc", _NUMBER),
        ("high water", _NUMBER),
        ("residency", _NUMBER),
    ]
    for i, (name, reading) in enumerate(heap.readings()):
        rows = [
            (
                scope_text(row.site),
                str(row.depth),
                str(row.ring),
                str(row.instances),
                bytes_text(row.alloc_bytes),
                bytes_text(row.high_water_bytes),
                bytes_text(row.residency_bytes),
            )
            for row in summary.scope_rows(reading)
        ]
        state = " open" if i == 0 else ""
        yield f"<details{state}><summary>By scope ({name})</summary>{_table(head, rows)}</details>"


def _time(time: TimeReport, timeline: Timeline | None) -> Iterable[str]:
    yield f"<h3>Tasks, {us_text(time.total_us)} us on {escape(time.chip)}</h3>"
    yield html_charts.key([(kind, colour) for kind, colour in html_charts.KIND_COLOURS.items()])
    yield html_charts.task_chart(time.per_task, time.total_us)
    yield html_charts.path_chart(time.critical_path, time.total_us)
    if timeline is not None and 0 < len(timeline.blocks) <= html_charts.MAX_BLOCKS:
        yield "<h3>Blocks on cores</h3>" + html_charts.core_chart(timeline)
    elif timeline is not None and timeline.blocks:
        yield f"<p>{len(timeline.blocks)} blocks are too many to draw here; trace.json has them.</p>"
    yield "<h3>Pipes over the whole run</h3>" + html_charts.pipe_chart(time.pipes)
    yield "<h3>By task</h3>" + _task_table(time)
    head = [("critical path", _TEXT), ("reason", _TEXT), ("steps", _NUMBER), ("us", _NUMBER), ("share", _NUMBER)]
    rows = [
        (row.what, row.reason, str(row.steps), us_text(row.us), share_text(row.us, time.total_us))
        for row in summary.path_shares(time)
    ]
    yield "<h3>What the critical path is made of</h3>" + _table(head, rows)


def _task_table(time: TimeReport) -> str:
    head = [
        ("task", _TEXT),
        ("kind", _TEXT),
        ("blocks", _NUMBER),
        ("submitted", _NUMBER),
        ("ready", _NUMBER),
        ("start us", _NUMBER),
        ("end us", _NUMBER),
        ("core us", _NUMBER),
        ("busiest pipes", _TEXT),
    ]
    rows = [
        (
            task.name,
            task.kind,
            str(task.blocks),
            us_text(task.submit_us),
            us_text(task.ready_us),
            us_text(task.start_us),
            us_text(task.end_us),
            us_text(task.core_busy_us),
            summary.busiest_pipes(task, 3),
        )
        for task in time.per_task
    ]
    return _table(head, rows)


def _products(report: RunReport) -> str:
    head = [
        ("site", _CODE),
        ("M x K x N", _TEXT),
        ("dtype", _TEXT),
        ("tile m x k x n", _TEXT),
        ("K blocks", _NUMBER),
    ]
    rows = [(row.site, *_product_cells(row), str(row.k_blocks)) for row in report.products]
    return _table(head, rows)


def _product_cells(row: ProductReport) -> tuple[str, str, str]:
    shape, tile = summary.product_extents(row)
    return shape, row.dtype, tile


def _findings(report: RunReport) -> Iterable[str]:
    if not report.findings:
        yield "<p>None.</p>"
        return
    yield "<table><thead><tr><th>code</th><th>severity</th><th>site</th><th>message</th></tr></thead><tbody>"
    for finding in sorted(report.findings, key=lambda f: (summary.SEVERITY_ORDER[f.severity], f.code, f.site)):
        more = "".join(
            f"<br>{label}: {escape(text)}"
            for label, text in (("other", finding.other), ("allocated", finding.allocation), ("instead", finding.hint))
            if text
        )
        yield (
            f'<tr><td class="w"><code>{escape(finding.code)}</code></td><td class="{escape(finding.severity)}">'
            f"{escape(finding.severity)}</td><td><code>{escape(finding.site)}</code></td>"
            f"<td><b>{escape(finding.title)}</b>: {escape(finding.message)}{more}</td></tr>"
        )
    yield "</tbody></table>"
