"""merged_swimlane.json: the swimlane as a trace that Perfetto opens, with the lanes of simpler's swimlane_converter.

Processes: 1 the orchestrator, 2 the scheduler threads, 3 tasks as the schedulers see them (published to seen finished),
4 tasks on their cores (received to end). Arrows are dependencies. Source: simpler docs/dfx/chip-swimlane-profiling.md
section 3.3.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from ascend_model.timeline import BlockSpan, Timeline
from pto_sim.lowering import LoweredProgram
from pto_sim.report.dfx.identities import Identities
from pto_sim.report.dfx.swimlane import CLOCK_HZ, ORIGIN_TICKS, SAMPLED_PHASES, core_names, swimlane_records

FILE_NAME = "dfx_outputs/merged_swimlane.json"
ORCHESTRATOR, SCHEDULER, SCHEDULER_VIEW, WORKER_VIEW = 1, 2, 3, 4
_NAMES = {ORCHESTRATOR: "Orchestrator", SCHEDULER: "AICPU Scheduler", SCHEDULER_VIEW: "Scheduler View",
          WORKER_VIEW: "Worker View"}  # fmt: skip
_TICKS_PER_US = CLOCK_HZ / 1e6
_QUEUES = 3999


def merged_text(timeline: Timeline, lowered: LoweredProgram, numbers: Identities) -> str:
    """The file's text. Raises ValueError for a timeline that does not say its machine."""
    return json.dumps({"traceEvents": list(_events(timeline, lowered, numbers))}, separators=(",", ":")) + "\n"


def task_label(task: int, numbers: Identities) -> str:
    """(rXtY): ring and number within it, as the runtime's tools write a task."""
    identity = numbers.task_ids[task]
    return f"(r{identity >> 32}t{identity & 0xFFFFFFFF})"


def _events(timeline: Timeline, lowered: LoweredProgram, numbers: Identities) -> Iterator[dict[str, Any]]:
    machine = timeline.machine
    if machine is None:
        raise ValueError("the timeline does not say its machine")
    lanes = {name: index for index, name in enumerate(core_names(machine))}
    for pid, name in _NAMES.items():
        yield {"ph": "M", "name": "process_name", "pid": pid, "args": {"name": name}}
    for name, tid in lanes.items():
        for pid in (SCHEDULER_VIEW, WORKER_VIEW):
            yield {"ph": "M", "name": "thread_name", "pid": pid, "tid": tid, "args": {"name": name}}
    yield from _phases(timeline, numbers)
    for span in timeline.blocks:
        yield from _block(span, lanes[span.core], timeline, numbers)
    yield from _arrows(timeline, lowered, lanes)


def _phases(timeline: Timeline, numbers: Identities) -> Iterator[dict[str, Any]]:
    records = swimlane_records(timeline, numbers, 4)
    groups = ((SCHEDULER, "Sched", "aicpu_scheduler_phases"), (ORCHESTRATOR, "Orch", "aicpu_orchestrator_phases"))
    for pid, thread, key in groups:
        for tid, phases in enumerate(records[key]):
            yield {"ph": "M", "name": "thread_name", "pid": pid, "tid": tid, "args": {"name": f"{thread}_{tid}"}}
            for phase in phases:
                rest = {name: value for name, value in phase.items() if not name.endswith("_cycles")}
                start, end = (phase[f"{side}_cycles"] / _TICKS_PER_US for side in ("start", "end"))
                name = rest.pop("kind", "orch_submit")
                yield _slice(pid, tid, name, "phase", start, end, rest)
                if name in SAMPLED_PHASES:
                    yield _depths(rest["shared_at_end"], end)


def _depths(ready: list[int], at_us: float) -> dict[str, Any]:
    """The ready queues as a counter: one track, whichever thread has sampled them."""
    depths = dict(zip(("AIC", "AIV", "MIX"), ready, strict=True))
    return {"ph": "C", "pid": SCHEDULER, "tid": _QUEUES, "name": "shared_ready_queue", "cat": "queue", "ts": at_us,
            "args": depths}  # fmt: skip


def _block(span: BlockSpan, tid: int, timeline: Timeline, numbers: Identities) -> Iterator[dict[str, Any]]:
    task = timeline.tasks[span.task]
    kernels = numbers.kernel_ids[span.task]
    kernel = kernels[0] if span.core.startswith("AIC") else kernels[1]
    name = numbers.kernel_names[kernel] + task_label(span.task, numbers)
    args = {
        "taskId": numbers.task_ids[span.task],
        "block": span.block,
        "event-hint": f"{task.name} block {span.block} of {task.blocks}",
        "duration-us": span.end_us - span.received_us,
        "kernel-duration-us": span.end_us - span.start_us,
        "local_setup_us": span.start_us - span.received_us,
    }
    origin = ORIGIN_TICKS / _TICKS_PER_US
    yield _slice(WORKER_VIEW, tid, name, "event", origin + span.received_us, origin + span.end_us, args)
    yield _slice(SCHEDULER_VIEW, tid, name, "event", origin + span.dispatch_us, origin + span.seen_us, args)


def _slice(
    pid: int, tid: int, name: str, category: str, start_us: float, end_us: float, args: dict[str, Any]
) -> dict[str, Any]:
    return {"ph": "X", "pid": pid, "tid": tid, "name": name, "cat": category, "ts": start_us,
            "dur": end_us - start_us, "args": args}  # fmt: skip


def _arrows(timeline: Timeline, lowered: LoweredProgram, lanes: dict[str, int]) -> Iterator[dict[str, Any]]:
    """From the last block of a producer to the first block of each consumer."""
    first: dict[int, BlockSpan] = {}
    last: dict[int, BlockSpan] = {}
    for span in timeline.blocks:
        if span.task not in first or span.start_us < first[span.task].start_us:
            first[span.task] = span
        if span.task not in last or span.end_us > last[span.task].end_us:
            last[span.task] = span
    origin, count = ORIGIN_TICKS / _TICKS_PER_US, 0
    for task in lowered.workload.tasks:
        for edge in task.edges:
            if task.id not in first or edge.producer not in last:
                continue
            count += 1
            begin, end = last[edge.producer], first[task.id]
            flow = {"cat": "flow", "name": "dependency", "id": count, "pid": WORKER_VIEW}
            yield {**flow, "ph": "s", "tid": lanes[begin.core], "ts": origin + begin.end_us}
            yield {**flow, "ph": "f", "bp": "e", "tid": lanes[end.core], "ts": origin + end.start_us}
