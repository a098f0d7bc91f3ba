"""pmu.csv: busy cycles of each pipe for every block on every core.

Schema: simpler docs/dfx/pmu-profiling.md. Only event type 2, PIPE_UTILIZATION, has a model; there is no instruction
cache in it, so its two counters are 0.
"""

from __future__ import annotations

import csv
import io

from ascend_model.timeline import Timeline
from pto_sim.report.dfx.identities import Identities
from pto_sim.report.dfx.swimlane import core_names, thread_of

FILE_NAME = "dfx_outputs/pmu.csv"
EVENT_TYPE = 2
_PIPES = {"vec": "V", "cube": "M", "scalar": "S", "mte1": "MTE1", "mte2": "MTE2", "mte3": "MTE3"}
_COLUMNS = (
    "thread_id", "core_id", "task_id", "func_id", "core_type", "pmu_total_cycles",
    *(f"{name}_busy_cycles" for name in _PIPES), "icache_miss", "icache_req", "event_type",
)  # fmt: skip


def pmu_text(timeline: Timeline, numbers: Identities) -> str:
    """The file's text, a row for each block on each core in order of time. pmu_total_cycles counts what the block
    waited for the memory that it shares with others, too."""
    machine = timeline.machine
    if machine is None:
        raise ValueError("the timeline does not say its machine")
    lanes = {name: index for index, name in enumerate(core_names(machine))}
    out = io.StringIO()
    rows = csv.writer(out, lineterminator="\n")
    rows.writerow(_COLUMNS)
    for span in sorted(timeline.blocks, key=lambda span: (span.seen_us, lanes[span.core])):
        vector = span.core.startswith("AIV")
        kernels = numbers.kernel_ids[span.task]
        total = round((span.end_us - span.start_us) * machine.core_hz / 1e6)
        busy = [round(span.busy_cycles.get(pipe, 0)) for pipe in _PIPES.values()]
        rows.writerow(
            [thread_of(span.core, machine), lanes[span.core], f"0x{numbers.task_ids[span.task]:016x}",
             kernels[1] if vector else kernels[0], int(vector), total, *busy, 0, 0, EVENT_TYPE]
        )  # fmt: skip
    return out.getvalue()
