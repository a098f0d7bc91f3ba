"""chip_swimlane_records.json: when each core and each thread of the runtime did what, in ticks of the device's counter.

Schema: simpler docs/dfx/chip-swimlane-profiling.md section 3.2 and src/common/platform/shared/host/
chip_swimlane_collector.cpp. Queue depths are sampled as in the runtime (simpler: src/a2a3/runtime/
tensormap_and_ringbuffer/runtime/scheduler/scheduler_dispatch.cpp, phase_start_shared): see `_Depths`.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from ascend_model.timeline import BlockSpan, Machine, Timeline
from pto_sim.report.dfx.identities import Identities

FILE_NAME = "dfx_outputs/chip_swimlane_records.json"
CLOCK_HZ = 50_000_000
"""The a2a3 system counter: 20 ns (simpler: docs/dfx/chip-swimlane-profiling.md)."""
ORIGIN_TICKS = 1000
"""The counter when the run starts: readers take 0 for a missing time."""
LEVELS = (1, 2, 3, 4)
MIN_RESOLVE_TICKS = CLOCK_HZ // 1_000_000
"""The runtime leaves out phases of resolving that took less than 1 us."""
SAMPLED_PHASES = frozenset({"complete", "dummy", "dispatch"})
"""Phases that sample the depths of the ready queues; the others have 0 there."""
_NO_DEPTHS = {"shared_at_start": [0, 0, 0], "shared_at_end": [0, 0, 0]}


def swimlane_text(timeline: Timeline, numbers: Identities, level: int) -> str:
    """The file's text at a level: 1 cores, 2 also the scheduler's view, 3 also its phases, 4 also the orchestrator."""
    return json.dumps(swimlane_records(timeline, numbers, level), separators=(",", ":")) + "\n"


def swimlane_records(timeline: Timeline, numbers: Identities, level: int) -> dict[str, Any]:
    """The document. Raises ValueError for another level."""
    machine = timeline.machine
    if level not in LEVELS or machine is None:
        raise ValueError(f"level {level} of a timeline with {machine}; expected one of {LEVELS} and a machine")
    cores = core_names(machine)
    metadata: dict[str, Any] = {
        "clock_freq_hz": CLOCK_HZ,
        "num_cores": len(cores),
        "core_types": [name[:3].lower() for name in cores],
    }
    document: dict[str, Any] = {"chip_swimlane_level": level, "metadata": metadata}
    rows = _core_rows(timeline, cores)
    document["aicore_tasks"] = [
        [core, numbers.task_ids[span.task], sequence, ticks(span.start_us), ticks(span.end_us),
         ticks(span.start_us) - ticks(span.received_us)]
        for core, sequence, span in rows
    ]  # fmt: skip
    if level >= 2:
        document["aicpu_tasks"] = [
            [core, sequence, ticks(span.dispatch_us), ticks(span.seen_us)] for core, sequence, span in rows
        ]
    if level >= 3:
        metadata["core_to_thread"] = [thread_of(name, machine) for name in cores]
        document["aicpu_scheduler_phases"] = _scheduler_phases(timeline, numbers, machine.scheduler_threads)
    if level >= 4:
        document["aicpu_orchestrator_phases"] = [_orchestrator_phases(timeline, numbers)]
    return document


def ticks(time_us: float) -> int:
    """A time of the run on the device's counter."""
    return ORIGIN_TICKS + round(time_us * CLOCK_HZ / 1e6)


def core_names(machine: Machine) -> list[str]:
    """Cores by their number: the AICs, then the AIVs."""
    return [f"AIC_{index}" for index in range(machine.clusters)] + [
        f"AIV_{index}" for index in range(machine.clusters * machine.aiv_per_cluster)
    ]


def thread_of(name: str, machine: Machine) -> int:
    """The scheduler thread that owns a core's cluster."""
    kind, _, number = name.partition("_")
    cluster = int(number) if kind == "AIC" else int(number) // machine.aiv_per_cluster
    return cluster % machine.scheduler_threads


def _core_rows(timeline: Timeline, cores: list[str]) -> list[tuple[int, int, BlockSpan]]:
    """Blocks with their core and their number on it, which counts from 1 in the order of starting."""
    index = {name: number for number, name in enumerate(cores)}
    count = [0] * len(cores)
    rows = []
    for span in sorted(timeline.blocks, key=lambda span: (span.start_us, span.task, span.block)):
        core = index[span.core]
        count[core] += 1
        rows.append((core, count[core], span))
    return rows


def _scheduler_phases(timeline: Timeline, numbers: Identities, threads: int) -> list[list[dict[str, Any]]]:
    """Records of each thread. loop_iter counts the records of a thread; a run of resolutions is one record."""
    phases: dict[str, list[dict[str, Any]]] = {f"scheduler {index}": [] for index in range(threads)}
    depths = {thread: _Depths() for thread in phases}
    dummies = {span.task for span in timeline.tasks if span.kind == "DUMMY"}
    for step in timeline.runtime_phases:
        if step.thread not in phases:
            continue
        records, kind = phases[step.thread], step.kind
        times = {"start_cycles": ticks(step.start_us), "end_cycles": ticks(step.end_us)}
        before = records[-1] if records else {}
        if kind == "resolve":
            depths[step.thread].resolved(step.ready)
        if kind == "resolve" == before.get("kind") and before["end_cycles"] == times["start_cycles"]:
            before["end_cycles"] = times["end_cycles"]
            before["tasks_processed"] += 1
            continue
        if kind == "complete" and step.task in dummies:
            marker = {"kind": "dummy_task", **times, "loop_iter": len(records), "tasks_processed": 1}
            records.append({**marker, "task_id": numbers.task_ids[step.task], **_NO_DEPTHS})
            kind = "dummy"
        record: dict[str, Any] = {"kind": kind, **times, "loop_iter": len(records), "tasks_processed": step.count}
        if kind == "dispatch":
            record.update(pop_hit=1, pop_miss=0)
        records.append({**record, **_NO_DEPTHS})
        if kind in SAMPLED_PHASES:
            depths[step.thread].ended(records[-1], step.ready)
    return [[record for record in records if _kept(record)] for records in phases.values()]


class _Depths:
    """The ready queues as one thread samples them, [AIC, AIV, MIX].

    A phase starts with what the thread's phase before it ended with. What a completion makes ready is in the queues
    when it ends: its consumers are told in it.
    """

    def __init__(self) -> None:
        self._now = [0, 0, 0]
        self._completion: dict[str, Any] | None = None

    def ended(self, record: dict[str, Any], ready: Sequence[int]) -> None:
        """A sampled phase is over."""
        record["shared_at_start"], self._now = self._now, list(ready)
        record["shared_at_end"] = self._now
        self._completion = record if record["kind"] != "dispatch" else None

    def resolved(self, ready: Sequence[int]) -> None:
        """The completion before told another consumer."""
        if self._completion is not None:
            self._completion["shared_at_end"] = self._now = list(ready)


def _kept(record: dict[str, Any]) -> bool:
    return record["kind"] != "resolve" or record["end_cycles"] - record["start_cycles"] >= MIN_RESOLVE_TICKS


def _orchestrator_phases(timeline: Timeline, numbers: Identities) -> list[dict[str, Any]]:
    """One record for each submission."""
    records: list[dict[str, Any]] = []
    for step in timeline.runtime_phases:
        if step.task is None or (step.thread, step.kind) != ("orchestrator", "submit"):
            continue
        records.append(
            {
                "submit_idx": len(records),
                "task_id": numbers.task_ids[step.task],
                "start_cycles": ticks(step.start_us),
                "end_cycles": ticks(step.end_us),
            }
        )
    return records
