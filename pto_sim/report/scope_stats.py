"""`scope_stats.jsonl` version 6, as upstream's scope_stats_plot tool reads it.

Format: simpler docs/dfx/scope-stats.md. The first line describes the rings, then one record for each scope begin
and end, oldest first. Heap values are bytes, `offset + wraps * capacity`.
"""

from __future__ import annotations

import json

from ascend_model.timeline import HeapReading

FILE_NAME = "dfx_outputs/scope_stats/scope_stats.jsonl"
VERSION = 6
RINGS = 4
# Sizes of the runtime where nothing else is asked for. Source: simpler: src/a2a3/runtime/tensormap_and_ringbuffer/
# runtime/pto_runtime2_types.h
TASK_WINDOWS = (16384,) * RINGS
DEP_POOLS = (16384,) * RINGS
TENSORMAP = 65536
RECORD_KEYS = (
    "site",
    "phase",
    "depth",
    "ring",
    "task_window_start",
    "task_window_end",
    "heap_start",
    "heap_end",
    "dep_pool_start",
    "dep_pool_end",
    "tensormap",
)


def scope_stats_lines(
    reading: HeapReading,
    capacities_bytes: tuple[int, ...],
    *,
    fatal: bool = False,
    task_windows: tuple[int, ...] = TASK_WINDOWS,
    dep_pools: tuple[int, ...] = DEP_POOLS,
) -> list[str]:
    """The lines of the file, without line ends. `fatal`: the run stopped with a runtime error.

    capacities_bytes, task_windows, dep_pools: heap, slots and dependency edges of each ring.
    Raises ValueError if a sample lacks a key of the format.
    """
    meta = {
        "version": VERSION,
        "fatal": fatal,
        "dropped": 0,
        "total": len(reading.samples),
        "task_window_max": list(task_windows),
        "heap_max": list(capacities_bytes),
        "dep_pool_max": list(dep_pools),
        "tensormap_max": TENSORMAP,
    }
    return [_line(meta), *(_line(_record(sample)) for sample in reading.samples)]


def _record(sample: dict[str, object]) -> dict[str, object]:
    missing = [key for key in RECORD_KEYS if key not in sample]
    if missing:
        raise ValueError(f"scope sample without {', '.join(missing)}: {sample}")
    return {key: sample[key] for key in RECORD_KEYS}


def _line(values: dict[str, object]) -> str:
    return json.dumps(values, separators=(",", ":"))
