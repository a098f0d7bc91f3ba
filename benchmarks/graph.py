"""A graph of 100,000 tasks from source to findings, with and without the checks: wall seconds by stage, and memory.

Each iteration of the kernel opens a scope, allocates a tensor, fills it in one task and reads it in another: a graph of
three tasks an iteration, chained through one output. Every figure comes from a process of its own.
"""

from __future__ import annotations

from benchmarks.single_thread import pin

pin()

import json
import subprocess
import sys
from typing import Any

import numpy as np

import pto_sim.language as pl
from benchmarks.measure import peak_rss_bytes
from pto_sim.backend import select
from pto_sim.program.options import RunOptions

TASKS = 100_000
TASKS_OF_ITERATION = 3
T = pl.Tensor[[8, 16], pl.INT32]


def chain(iterations: int) -> Any:
    """The kernel with that many iterations."""

    @pl.jit(auto_scope=False)
    def kernel(x: T, out: pl.InOut[T]):
        for _ in pl.range(iterations):
            with pl.scope():
                s = pl.create_tensor([8, 16], dtype=pl.INT32)
                with pl.at(level=pl.Level.CORE_GROUP):
                    s[:, :] = pl.add(x[:, :], 1)
                with pl.at(level=pl.Level.CORE_GROUP):
                    out[:, :] = pl.add(out[:, :], s[:, :])
        return out

    return kernel


def run_one(checks: bool) -> dict[str, Any]:
    """Figures of one run in this process, after a small one that loads what Numba has compiled."""
    x = np.ones((8, 16), np.int32)
    options, sim = RunOptions(checks=checks), select("sim")
    sim.run(chain(10), [x, np.zeros_like(x)], options)
    done = sim.run(chain(-(-TASKS // TASKS_OF_ITERATION)), [x, np.zeros_like(x)], options)
    assert done.fault is None and done.lowered is not None and not done.findings
    return {
        "tasks": len(done.lowered.workload.tasks),
        "wall_s": done.host_wall_s,
        "stage_wall_s": done.stage_wall_s,
        "peak_rss_bytes": peak_rss_bytes(),
    }


def main() -> dict[str, Any]:
    """Run both in child processes and print a line for each."""
    figures = {}
    for name in ("checks", "no checks"):
        command = [sys.executable, "-m", "benchmarks.graph", name]
        figures[name] = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
        one = figures[name]
        stages = ", ".join(f"{stage} {seconds:.1f}" for stage, seconds in one["stage_wall_s"].items())
        print(
            f"{one['tasks']} tasks, {name}: {one['wall_s']:.1f} s ({stages}), {one['peak_rss_bytes'] / 2**30:.2f} GiB"
        )
    print(f"checks / no checks: {figures['checks']['wall_s'] / figures['no checks']['wall_s']:.2f}")
    return figures


if __name__ == "__main__":
    json.dump(run_one(sys.argv[1] == "checks"), sys.stdout)
