"""`trace.json`: the simulated timeline as Chrome trace events, which ui.perfetto.dev opens.

Processes: 1 the orchestrator, 2 the schedulers, 3 tasks (ready to end), 4 the cores, 5 the critical path; a counter
for each ring of the heap. Times are microseconds, as the format wants them.
Format: the Trace Event Format document of the Chromium project (X complete, M metadata, C counter, s/f flow).
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from ascend_model.timeline import PathStep, TaskSpan, Timeline

ORCHESTRATOR, SCHEDULERS, TASKS, CORES, PATH = 1, 2, 3, 4, 5
_PROCESS_NAMES = {
    ORCHESTRATOR: "orchestrator",
    SCHEDULERS: "schedulers",
    TASKS: "tasks",
    CORES: "cores",
    PATH: "critical path",
}

SCOPE_END = "orchestrator: end scope"  # the phase in which a scope's end is sampled

Event = dict[str, Any]


def trace_json(timeline: Timeline) -> str:
    """The whole file: an object with `traceEvents`, one event to a line."""
    events = [
        *_process_names(),
        *_runtime_events(timeline),
        *_task_events(timeline.tasks),
        *_block_events(timeline),
        *_path_events(timeline.critical_path),
        *_heap_counters(timeline),
    ]
    lines = ",\n".join(json.dumps(event, separators=(",", ":"), allow_nan=False) for event in events)
    chip = json.dumps(timeline.chip)
    return f'{{"displayTimeUnit":"ns","otherData":{{"chip":{chip}}},"traceEvents":[\n{lines}\n]}}\n'


def _process_names() -> Iterator[Event]:
    for process, name in _PROCESS_NAMES.items():
        yield {"ph": "M", "name": "process_name", "pid": process, "args": {"name": name}}
        yield {"ph": "M", "name": "process_sort_index", "pid": process, "args": {"sort_index": process}}


def _complete(process: int, thread: int, name: str, start: float, end: float, **args: object) -> Event:
    return {
        "ph": "X",
        "pid": process,
        "tid": thread,
        "name": name,
        "ts": start,
        "dur": max(end - start, 0.0),
        "args": args,
    }


def _thread_name(process: int, thread: int, name: str) -> Event:
    return {"ph": "M", "name": "thread_name", "pid": process, "tid": thread, "args": {"name": name}}


def _runtime_events(timeline: Timeline) -> Iterator[Event]:
    """Phases of the AICPU threads; a phase whose `what` starts with 'scheduler' belongs to the schedulers."""
    lanes: dict[str, int] = {}
    for phase in timeline.runtime_phases:
        lane, _, step = phase.what.partition(":")
        process = SCHEDULERS if lane.startswith("sched") else ORCHESTRATOR
        if lane not in lanes:
            lanes[lane] = len(lanes)
            yield _thread_name(process, lanes[lane], lane)
        yield _complete(
            process,
            lanes[lane],
            step.strip() or phase.reason,
            phase.start_us,
            phase.end_us,
            task=phase.task,
            reason=phase.reason,
        )
    if not timeline.runtime_phases:
        yield _thread_name(ORCHESTRATOR, 0, "submit")
        for task in timeline.tasks:
            yield {
                "ph": "i",
                "s": "t",
                "pid": ORCHESTRATOR,
                "tid": 0,
                "name": f"submit {task.name}",
                "ts": task.submit_us,
                "args": {"task": task.task},
            }


def _task_events(tasks: tuple[TaskSpan, ...]) -> Iterator[Event]:
    """Each task on the first lane that is free at its start, so that tasks which overlap are all visible."""
    free_at: list[float] = []
    for task in sorted(tasks, key=lambda span: (span.start_us, span.task)):
        lane = next((i for i, end in enumerate(free_at) if end <= task.start_us), len(free_at))
        if lane == len(free_at):
            free_at.append(0.0)
            yield _thread_name(TASKS, lane, f"lane {lane}")
        free_at[lane] = task.end_us
        pipes = {pipe.pipe: round(pipe.busy_cycles / pipe.total_cycles, 4) for pipe in task.pipes if pipe.total_cycles}
        yield _complete(
            TASKS,
            lane,
            task.name,
            task.start_us,
            task.end_us,
            task=task.task,
            kind=task.kind,
            blocks=task.blocks,
            submit_us=task.submit_us,
            ready_us=task.ready_us,
            core_busy_us=task.core_busy_us,
            pipe_busy=pipes,
        )


def _block_events(timeline: Timeline) -> Iterator[Event]:
    names = {task.task: task.name for task in timeline.tasks}
    lanes = {core: i for i, core in enumerate(sorted({block.core for block in timeline.blocks}, key=_core_order))}
    for core, lane in lanes.items():
        yield _thread_name(CORES, lane, core)
    for block in timeline.blocks:
        yield _complete(
            CORES,
            lanes[block.core],
            names.get(block.task, f"task {block.task}"),
            block.start_us,
            block.end_us,
            task=block.task,
            block=block.block,
        )


def _core_order(core: str) -> tuple[int, str]:
    kind, _, number = core.rpartition("_")
    return (int(number) if number.isdigit() else 0, kind)


def _path_events(steps: tuple[PathStep, ...]) -> Iterator[Event]:
    for step in steps:
        yield _complete(PATH, 0, step.what, step.start_us, step.end_us, reason=step.reason, task=step.task)


def _heap_counters(timeline: Timeline) -> Iterator[Event]:
    """Live bytes of each ring (head minus tail) at each scope end, when the orchestrator comes to it."""
    ends = [phase.start_us for phase in timeline.runtime_phases if phase.what == SCOPE_END]
    closing = [sample for sample in timeline.heap.samples if sample["phase"] == "end" and sample["depth"] != 0]
    if len(ends) != len(closing):
        return
    root = [sample for sample in timeline.heap.samples if sample["phase"] == "end" and sample["depth"] == 0]
    last = max(
        (phase.end_us for phase in timeline.runtime_phases if phase.what.startswith("orchestrator")), default=0.0
    )
    for sample, when in (*zip(closing, ends, strict=True), *((sample, last) for sample in root)):
        live = int(str(sample["heap_end"])) - int(str(sample["heap_start"]))
        name = f"heap ring {sample['ring']}"
        yield {"ph": "C", "pid": ORCHESTRATOR, "name": name, "ts": when, "args": {"live bytes": live}}
