"""From the results of a run to its report."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence

import numpy as np

from ascend_model.timeline import HeapReading, Timeline
from pto_sim.program.errors import RuntimeFault
from pto_sim.program.findings import Finding
from pto_sim.report.model import (
    READINGS,
    REPORT_VERSION,
    HeapReport,
    HostReport,
    OutputReport,
    ProductReport,
    ReadingReport,
    RingReport,
    RunReport,
    RuntimeErrorReport,
    TimeReport,
)
from pto_sim.report.output_hash import output_sha256


def build_report(
    *,
    kernel: str,
    backend: str,
    numerics: str,
    variant: str,
    pipe_slots: str,
    passed: bool,
    compared: bool,
    error: str | None,
    fault: RuntimeFault | None,
    outputs: Mapping[str, np.ndarray],
    written: Mapping[str, np.ndarray | None],
    heap: Mapping[str, HeapReading],
    timeline: Timeline | None,
    findings: Sequence[Finding],
    products: Sequence[ProductReport] = (),
    wall_s: float,
) -> RunReport:
    """Assemble the report of one run. After a fault, `passed` is False and `outputs` is empty whatever is given."""
    if fault is not None:
        passed, outputs = False, {}
    return RunReport(
        version=REPORT_VERSION,
        kernel=kernel,
        backend=backend,
        numerics=numerics,
        variant=variant,
        passed=passed,
        compared=compared,
        error=error,
        runtime_error=_runtime_error(fault),
        outputs={name: _output(array, written.get(name)) for name, array in outputs.items()},
        heap=_heap(heap, pipe_slots),
        time=_time(timeline),
        findings=tuple(findings),
        products=tuple(products),
        host=HostReport(wall_s=round(wall_s, 6), peak_rss_bytes=peak_rss_bytes()),
    )


def peak_rss_bytes() -> int:
    """Peak resident memory of this process in bytes; 0 where the operating system does not tell."""
    try:
        import resource
    except ImportError:  # not on Windows
        return 0
    unit = 1 if sys.platform == "darwin" else 1024  # getrusage(2): kilobytes on Linux, bytes on macOS
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def _runtime_error(fault: RuntimeFault | None) -> RuntimeErrorReport | None:
    if fault is None:
        return None
    return RuntimeErrorReport(fault.runtime_code, fault.runtime_name, fault.rule, dict(fault.ring_state))


def _output(array: np.ndarray, written: np.ndarray | None) -> OutputReport:
    count = int(array.size if written is None else np.count_nonzero(written))
    return OutputReport(output_sha256(array, written), tuple(int(n) for n in array.shape), array.dtype.name, count)


def _heap(readings: Mapping[str, HeapReading], pipe_slots: str) -> HeapReport | None:
    if not readings:
        return None
    depth = max(reading.max_scope_depth for reading in readings.values())
    return HeapReport(pipe_slots, depth, *(_reading(readings.get(name)) for name in READINGS))


def _reading(reading: HeapReading | None) -> ReadingReport | None:
    if reading is None:
        return None
    rings = {str(ring): RingReport(*row) for ring, row in sorted(reading.rings.items())}
    return ReadingReport(rings, reading.scopes, reading.frame_residency_bytes)


def _time(timeline: Timeline | None) -> TimeReport | None:
    if timeline is None:
        return None
    return TimeReport(timeline.total_us, timeline.tasks, timeline.critical_path, timeline.chip, timeline.pipes)
