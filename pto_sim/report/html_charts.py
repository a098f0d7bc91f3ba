"""The drawings of the HTML page, as inline SVG. Colours are the page's CSS variables."""

from __future__ import annotations

import math
from collections.abc import Sequence
from html import escape

from ascend_model.timeline import HeapReading, PathStep, PipeUse, TaskSpan, Timeline
from pto_sim.report.model import HeapReport
from pto_sim.report.summary import ring_rows
from pto_sim.report.units import bytes_text, share_text, us_text

WIDTH, LABEL = 1060, 190
ROW = 22
BUSY = "busy"  # the reason of a path step that is work on a core
MAX_BLOCKS = 6000  # more rectangles make the page slow to open; trace.json holds them all
KIND_COLOURS = {"AIC": "--cube", "AIV": "--vector", "MIX": "--mixed"}
READING_COLOURS = {"max_lag": "--lag", "prompt": "--prompt", "simulated": "--simulated"}
IDLE_COLOURS = tuple(f"--w{i}" for i in range(7))


def key(entries: Sequence[tuple[str, str]]) -> str:
    """A legend: (label, CSS variable) pairs."""
    items = (f'<span><i style="background:var({colour})"></i>{escape(label)}</span>' for label, colour in entries)
    return f'<div class="key">{"".join(items)}</div>'


def _svg(height: float, body: list[str], title: str) -> str:
    return f'<svg viewBox="0 0 {WIDTH} {height:.0f}" role="img" aria-label="{escape(title)}">{"".join(body)}</svg>'


def _rect(x: float, y: float, width: float, height: float, colour: str, title: str, opacity: float = 1.0) -> str:
    fade = f' fill-opacity="{opacity}"' if opacity < 1 else ""
    return (
        f'<rect x="{x:.2f}" y="{y:.1f}" width="{max(width, 0.6):.2f}" height="{height:.1f}" '
        f'fill="var({colour})"{fade}><title>{escape(title)}</title></rect>'
    )


def _label(y: float, text: str) -> str:
    shown = text if len(text) <= 26 else text[:25] + "…"
    return f'<text x="{LABEL - 10}" y="{y:.1f}" text-anchor="end"><title>{escape(text)}</title>{escape(shown)}</text>'


def _time_axis(total_us: float, height: float) -> tuple[list[str], float]:
    """Grid lines at round times, and pixels per microsecond."""
    scale = (WIDTH - LABEL - 60) / total_us if total_us > 0 else 0.0
    step = 10 ** math.floor(math.log10(total_us / 4)) if total_us > 0 else 1.0
    step *= next((factor for factor in (1, 2, 5) if total_us / (step * factor) <= 8), 10)
    marks = []
    for i in range(int(total_us / step) + 1):
        x = LABEL + i * step * scale
        marks.append(f'<line class="grid" x1="{x:.1f}" y1="0" x2="{x:.1f}" y2="{height - 16:.0f}"/>')
        marks.append(f'<text class="m" x="{x:.1f}" y="{height - 3:.0f}" text-anchor="middle">{i * step:,.6g}</text>')
    marks.append(f'<text class="m" x="{WIDTH - 2}" y="{height - 3:.0f}" text-anchor="end">us</text>')
    return marks, scale


def task_chart(tasks: Sequence[TaskSpan], total_us: float) -> str:
    """One row a task: thin line from submission to readiness, pale bar until its first block starts, then its run."""
    rows = [task for task in tasks if task.kind in KIND_COLOURS]
    height = ROW * len(rows) + 24
    body, scale = _time_axis(total_us, height)
    for i, task in enumerate(rows):
        y, colour = ROW * i + 4, KIND_COLOURS[task.kind]
        submit, ready, start = (LABEL + t * scale for t in (task.submit_us, task.ready_us, task.start_us))
        title = (
            f"{task.name} ({task.kind}, {task.blocks} blocks): submitted {us_text(task.submit_us)}, ready "
            f"{us_text(task.ready_us)}, ran {us_text(task.start_us)} to {us_text(task.end_us)} us"
        )
        body.append(_label(y + 12, task.name))
        body.append(_rect(submit, y + 7, ready - submit, 1.5, colour, title, 0.6))
        body.append(_rect(ready, y + 4, start - ready, 8, colour, title, 0.3))
        body.append(_rect(start, y, (task.end_us - task.start_us) * scale, 15, colour, title))
        end = LABEL + task.end_us * scale
        took = us_text(task.end_us - task.start_us)
        body.append(f'<text class="m" x="{end + 5:.1f}" y="{y + 12:.1f}">{took}</text>')
    return _svg(height, body, "Tasks over time")


def core_chart(timeline: Timeline) -> str:
    """One thin row a core, one rectangle a block."""
    kinds = {task.task: task for task in timeline.tasks}
    cores = sorted({block.core for block in timeline.blocks}, key=core_order)
    pitch = 9 if len(cores) <= 80 else 4
    height = pitch * len(cores) + 32
    body, scale = _time_axis(timeline.total_us, height)
    top = {core: pitch * i + 6 for i, core in enumerate(cores)}
    body += [_label(y + 8, core) for core, y in top.items() if core.endswith("_0")]
    for block in timeline.blocks:
        task = kinds[block.task]
        title = (
            f"{task.name} block {block.block} on {block.core}: {us_text(block.start_us)} to {us_text(block.end_us)} us"
        )
        body.append(
            _rect(
                LABEL + block.start_us * scale,
                top[block.core],
                (block.end_us - block.start_us) * scale,
                pitch - 1.5,
                KIND_COLOURS.get(task.kind, "--other"),
                title,
            )
        )
    return _svg(height, body, "Blocks on cores over time")


def core_order(core: str) -> tuple[str, int]:
    """Sort key of a core name: kind, then number."""
    kind, _, number = core.rpartition("_")
    return kind, int(number) if number.isdigit() else 0


def pipe_chart(pipes: Sequence[PipeUse]) -> str:
    """One bar a pipe: busy, then idle by reason, as shares of its cycles."""
    reasons = idle_reasons(pipes)
    width, body = WIDTH - LABEL - 60, []
    for i, pipe in enumerate(pipes):
        y, x = ROW * i + 3, float(LABEL)
        body.append(_label(y + 12, pipe.pipe))
        parts = [("busy", pipe.busy_cycles, "--simulated")]
        parts += [(f"idle: {name}", pipe.idle_cycles.get(name, 0.0), colour) for name, colour in reasons]
        for name, cycles, colour in parts:
            if cycles > 0 and pipe.total_cycles > 0:
                length = width * cycles / pipe.total_cycles
                body.append(
                    _rect(x, y, length, 15, colour, f"{pipe.pipe} {name} {share_text(cycles, pipe.total_cycles)}")
                )
                x += length
        busy = share_text(pipe.busy_cycles, pipe.total_cycles)
        body.append(f'<text class="m" x="{WIDTH - 54}" y="{y + 12:.1f}">{busy}</text>')
    legend = key([("busy", "--simulated"), *((f"idle: {name}", colour) for name, colour in reasons)])
    return legend + _svg(ROW * len(pipes) + 6, body, "Pipe utilisation")


def idle_reasons(pipes: Sequence[PipeUse]) -> list[tuple[str, str]]:
    """Reasons that occur, largest first, each with its colour; reasons past the palette share its last colour."""
    totals: dict[str, float] = {}
    for pipe in pipes:
        for name, cycles in pipe.idle_cycles.items():
            totals[name] = totals.get(name, 0.0) + cycles
    names = sorted((name for name, cycles in totals.items() if cycles > 0), key=lambda name: (-totals[name], name))
    return [(name, IDLE_COLOURS[min(i, len(IDLE_COLOURS) - 1)]) for i, name in enumerate(names)]


def path_chart(steps: Sequence[PathStep], total_us: float) -> str:
    """The critical path as one strip: work is solid, waits and the runtime's steps are pale."""
    body, scale = _time_axis(total_us, 50)
    for step in steps:
        title = f"{step.what} ({step.reason}): {us_text(step.end_us - step.start_us)} us"
        opacity = 1.0 if step.reason == BUSY else 0.35
        body.append(
            _rect(LABEL + step.start_us * scale, 8, (step.end_us - step.start_us) * scale, 20, "--path", title, opacity)
        )
    return _svg(50, [*body, _label(22, "critical path")], "Critical path")


def ring_chart(heap: HeapReport) -> str:
    """High water of each ring under each reading, against the largest of them."""
    rows, body, y = ring_rows(heap), [], 2.0
    largest = max((value for _, _, high in rows for value in high.values()), default=0) or 1
    for ring, capacity, high in rows:
        body.append(_label(y + 12 + 9 * (len(high) - 1), f"ring {ring}"))
        for name, value in high.items():
            width = (WIDTH - LABEL - 240) * value / largest
            title = f"ring {ring} {name}: {value:,} of {capacity:,} bytes"
            body.append(_rect(LABEL, y, width, 14, READING_COLOURS[name], title))
            body.append(
                f'<text class="m" x="{LABEL + width + 6:.1f}" y="{y + 11:.1f}">{bytes_text(value)} '
                f"({share_text(value, capacity)} of {bytes_text(capacity)})</text>"
            )
            y += 18
        y += 8
    legend = key([(name, READING_COLOURS[name]) for name, _ in heap.readings()])
    return legend + _svg(y, body, "Ring heap high water")


def occupancy_chart(reading: HeapReading) -> str:
    """Live bytes (head minus tail) of each ring at each scope begin and end, in program order."""
    samples = reading.samples
    rings = sorted({int(str(sample["ring"])) for sample in samples})
    live = [(int(str(s["ring"])), int(str(s["heap_end"])) - int(str(s["heap_start"]))) for s in samples]
    largest, pitch, body = max((value for _, value in live), default=0) or 1, 74, []
    step = (WIDTH - LABEL - 80) / max(len(samples), 1)
    for row, ring in enumerate(rings):
        base = pitch * row + 60
        body.append(_label(base - 20, f"ring {ring}"))
        body.append(f'<line class="grid" x1="{LABEL}" y1="{base}" x2="{WIDTH - 80}" y2="{base}"/>')
        current, points = 0, [f"{LABEL},{base}"]
        for i, (sample_ring, value) in enumerate(live):
            current = value if sample_ring == ring else current
            y = base - 52 * current / largest
            points += [f"{LABEL + i * step:.1f},{y:.1f}", f"{LABEL + (i + 1) * step:.1f},{y:.1f}"]
        points.append(f"{LABEL + len(live) * step:.1f},{base}")
        peak = max(value for sample_ring, value in live if sample_ring == ring)
        body.append(
            f'<polygon points="{" ".join(points)}" fill="var({READING_COLOURS[reading.reading]})" fill-opacity="0.75">'
            f"<title>ring {ring}: at most {bytes_text(peak)} live at a sample</title></polygon>"
        )
        body.append(f'<text class="m" x="{WIDTH - 74}" y="{base - 40}">{bytes_text(peak)}</text>')
    return _svg(pitch * len(rings) + 6, body, "Live bytes by ring")
