"""A small hand-made run that every renderer is tested on. Its figures are chosen, not simulated."""

import dataclasses

import numpy as np
import pytest

from ascend_model.timeline import BlockSpan, HeapReading, PathStep, PipeUse, ScopeReading, TaskSpan, Timeline
from pto_sim.program.errors import RuntimeFault
from pto_sim.program.findings import Finding
from pto_sim.report.build import build_report

MIB = 1 << 20
CAPACITY = 256 * MIB


def sample(site, phase, depth, ring, tail, head):
    return {
        "site": site,
        "phase": phase,
        "depth": depth,
        "ring": ring,
        "task_window_start": 0,
        "task_window_end": 2,
        "heap_start": tail,
        "heap_end": head,
        "dep_pool_start": 1,
        "dep_pool_end": 1,
        "tensormap": 3,
    }


def reading(name, inner):
    scopes = (
        ScopeReading("kernels/k.py:12", 1, 1, inner, inner, inner),
        ScopeReading("kernels/k.py:30", 1, 1, inner // 2, inner + inner // 2, inner // 2),
        ScopeReading("kernels/k.py:30", 1, 1, inner // 4, inner + inner // 4, inner // 4),
        ScopeReading("(unknown):0", 0, 0, 2 * MIB, 2 * MIB, 2 * MIB),
    )
    samples = (
        sample("(unknown):0", "begin", 0, 0, 0, 0),
        sample("kernels/k.py:12", "begin", 1, 1, 0, 0),
        sample("kernels/k.py:12", "end", 1, 1, 0, inner),
        sample("kernels/k.py:30", "begin", 1, 1, 0, inner),
        sample("kernels/k.py:30", "end", 1, 1, 0, inner + inner // 2),
        sample("(unknown):0", "end", 0, 0, 0, 2 * MIB),
    )
    rings = {0: (CAPACITY, 2 * MIB), 1: (CAPACITY, inner + inner // 2), 2: (CAPACITY, 0), 3: (CAPACITY, 0)}
    return HeapReading(name, rings, scopes, samples, 2 * MIB, 1)


@pytest.fixture
def heap():
    return {
        "max_lag": reading("max_lag", 8 * MIB),
        "prompt": reading("prompt", 4 * MIB),
        "simulated": reading("simulated", 6 * MIB),
    }


@pytest.fixture
def timeline(heap):
    cube = PipeUse("M", 1000.0, 600.0, {"flag": 250.0, "no_work": 150.0})
    mte2 = PipeUse("MTE2", 1000.0, 400.0, {"bandwidth": 350.0, "issue": 250.0})
    vector = PipeUse("V", 1000.0, 250.0, {"cross_core": 750.0})
    tasks = (
        TaskSpan(0, "alloc", "ALLOC", 0, 0.5, 0.5, 0.5, 0.5, 0.0),
        TaskSpan(1, "gather", "AIV", 2, 1.0, 1.0, 2.0, 6.0, 8.0, (vector, mte2)),
        TaskSpan(2, "qk_pv", "MIX", 2, 2.0, 6.5, 7.0, 17.0, 20.0, (cube, mte2, vector)),
    )
    blocks = (
        BlockSpan(1, 0, "AIV_0", 2.0, 6.0),
        BlockSpan(1, 1, "AIV_1", 2.0, 6.0),
        BlockSpan(2, 0, "AIC_0", 7.0, 17.0),
        BlockSpan(2, 1, "AIC_1", 7.0, 16.0),
    )
    path = (
        PathStep("orchestrator", None, "submit", 0.0, 1.0),
        PathStep("dispatch", None, "runtime", 1.0, 2.0),
        PathStep("gather", 1, "busy", 2.0, 6.0),
        PathStep("dispatch", None, "runtime", 6.0, 7.0),
        PathStep("qk_pv", 2, "busy", 7.0, 17.0),
    )
    phases = (
        PathStep("orchestrator: submit alloc", 0, "submit", 0.0, 0.5),
        PathStep("scheduler 0: dispatch", 1, "dispatch", 1.0, 2.0),
        PathStep("orchestrator: end scope", None, "runtime", 0.5, 0.6),
        PathStep("orchestrator: end scope", None, "runtime", 0.8, 0.9),
    )
    return Timeline("a2a3", 17.0, tasks, blocks, path, (cube, mte2, vector), heap["simulated"], phases)


@pytest.fixture
def findings():
    return [
        Finding("PTO204", "input written", "info", "kernels/k.py:40", "kv is written with the bits it had"),
        Finding(
            "PTO201", "output partly written", "warning", "kernels/k.py:9", "out: 4 of 6 elements", hint="store all"
        ),
    ]


@pytest.fixture
def make_report(heap, timeline, findings):
    """Build the sample report with some arguments exchanged."""

    def make(**changes):
        values = {
            "kernel": "sparse_attn_test",
            "backend": "sim",
            "numerics": "a2a3",
            "variant": "written",
            "pipe_slots": "current",
            "passed": True,
            "compared": True,
            "error": None,
            "fault": None,
            "outputs": {"out": np.arange(6, dtype=np.float32).reshape(2, 3)},
            "written": {"out": None},
            "heap": heap,
            "timeline": timeline,
            "findings": findings,
            "wall_s": 1.25,
        }
        report = build_report(**{**values, **changes})
        host = dataclasses.replace(report.host, peak_rss_bytes=512 * MIB)  # the only figure of this machine
        return dataclasses.replace(report, host=host)

    return make


@pytest.fixture
def ring_fault():
    return RuntimeFault(
        2,
        "HEAP_RING_DEADLOCK",
        "the heap ring is full",
        hint="raise --ring-heap",
        values="requested_bytes=8388608, available_bytes=1024",
        ring_state={"ring": 1, "requested_bytes": 8388608, "available_bytes": 1024},
    )
