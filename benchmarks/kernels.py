"""The three decode sparse-attention kernels at flash size, beside a BLAS program and their NumPy reference.

Each kernel runs in a process of its own, so that its peak memory is its own, with BLAS on one thread. "execute" gives
values and the recorded Program; "whole run" adds lowering, heap readings, simulated time and findings, which is what
`pto-sim run` does. The BLAS program and the reference compute the same output from the same inputs; all are compared.
"""

from __future__ import annotations

from benchmarks.single_thread import pin

pin()

import argparse
import json
import subprocess
import sys
import time
from importlib import import_module
from typing import Any

import numpy as np

from benchmarks import blas_attention
from benchmarks.measure import measure, peak_rss_bytes
from pto_sim.backend import select
from pto_sim.engine import run_kernel
from pto_sim.program.events import Observer
from pto_sim.program.model import TaskRecord
from pto_sim.program.options import RunOptions

KERNELS = {"csa": "decode_sparse_attn", "swa": "decode_sparse_attn_swa", "hca": "decode_sparse_attn_hca"}
STAGE = "qk_pv"
REPEATS = 3


class TaskWalls(Observer):
    """Wall seconds by task name."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self._start: dict[int, tuple[str, float]] = {}

    def on_task_begin(self, task: int, name: str, blocks: int) -> None:
        self._start[task] = (name, time.perf_counter())

    def on_task_end(self, task: int, record: TaskRecord) -> None:
        name, start = self._start.pop(task)
        self.seconds[name] = self.seconds.get(name, 0.0) + time.perf_counter() - start


def inputs_of(module: Any) -> dict[str, np.ndarray]:
    """Arguments of a kernel by name, in parameter order; outputs are zeros."""
    fixtures = import_module("sparse_attn_fixtures")
    fixture = fixtures.Fixture(topk=module.TOPK, compress_ratio=module.DEFAULT_COMPRESS_RATIO)
    return {
        spec.name: spec.create_tensor(0) if spec.is_input else np.zeros(tuple(spec.shape), spec.numpy_dtype)
        for spec in fixtures.tensor_specs(fixture)
    }


def execute(kernel: Any, arguments: list[np.ndarray], options: RunOptions) -> dict[str, float]:
    """Wall seconds by task; runs the kernel without lowering or timing."""
    walls = TaskWalls()
    run_kernel(kernel, arguments, options, observers=(walls,))
    return walls.seconds


def wrong_share(actual: np.ndarray, expected: np.ndarray) -> float:
    """Share of elements outside the kernels' tolerance, 1e-4 + |expected| / 128."""
    a, e = actual.astype(np.float64), expected.astype(np.float64)
    return float(np.mean(np.abs(a - e) > 1e-4 + np.abs(e) / 128))


def run_one(name: str) -> dict[str, Any]:
    """All figures of one kernel."""
    import_module("kernels.dsv4")
    module = import_module(f"kernels.dsv4.{KERNELS[name]}")
    arguments = inputs_of(module)
    values, options = list(arguments.values()), RunOptions()
    sim = select("sim")
    whole = measure(lambda: sim.run(module.sparse_attn_test, values, options), REPEATS)
    executed = measure(lambda: execute(module.sparse_attn_test, values, options), REPEATS)
    rss = peak_rss_bytes()  # before the peers allocate theirs
    blas = measure(lambda: blas_attention.sparse_attention(arguments), REPEATS)
    kv, bias = blas_attention.gather(arguments)
    stage = measure(lambda: blas_attention.qk_pv(blas_attention.Case(arguments["q"], kv, bias)), REPEATS)
    golden = dict(arguments)
    reference = measure(lambda: import_module("sparse_attn_reference").golden_sparse_attn(golden), 1)
    output = whole.result.outputs["attn_out"]
    return {
        "whole_run_s": whole.best_s,
        "first_run_s": whole.first_s,
        "execute_s": executed.best_s,
        "task_s": executed.result,
        "stage_s": executed.result[STAGE],
        "backend_stage_s": whole.result.stage_wall_s,
        "peak_rss_bytes": rss,
        "blas_s": blas.best_s,
        "blas_stage_s": stage.best_s,
        "reference_s": reference.best_s,
        "wrong_share_against_blas": wrong_share(output, blas.result),
        "wrong_share_against_reference": wrong_share(output, golden["attn_out"]),
    }


def run() -> dict[str, dict[str, Any]]:
    """Figures of every kernel, each from a process of its own."""
    figures = {}
    for name in KERNELS:
        command = [sys.executable, "-m", "benchmarks.kernels", "--one", name]
        finished = subprocess.run(command, capture_output=True, text=True)
        if finished.returncode:
            raise RuntimeError(f"{' '.join(command)} failed:\n{finished.stderr}")
        figures[name] = json.loads(finished.stdout.splitlines()[-1])
    return figures


def print_table(figures: dict[str, dict[str, Any]]) -> None:
    """Seconds, ratios, memory."""
    print("decode sparse attention at flash size: 128 tokens, 64 heads; seconds, warm Numba cache, one BLAS thread")
    rows = (
        ("whole run (values, heap, time, findings)", "whole_run_s", 1, ".2f"),
        ("execute (values and Program)", "execute_s", 1, ".2f"),
        ("BLAS program", "blas_s", 1, ".2f"),
        ("NumPy reference", "reference_s", 1, ".2f"),
        (f"{STAGE} in the kernel", "stage_s", 1, ".3f"),
        (f"{STAGE} in the BLAS program", "blas_stage_s", 1, ".3f"),
        ("peak memory, MiB", "peak_rss_bytes", 2.0**-20, ".0f"),
        ("share outside tolerance, against BLAS", "wrong_share_against_blas", 1, ".1e"),
        ("share outside tolerance, against reference", "wrong_share_against_reference", 1, ".1e"),
    )
    print(f"  {'':44s}" + "".join(f"{name:>10s}" for name in figures))
    for title, key, factor, form in rows:
        print(f"  {title:44s}" + "".join(f"{row[key] * factor:10{form}}" for row in figures.values()))
    for title, over, under in (
        ("whole run / NumPy reference", "whole_run_s", "reference_s"),
        ("execute / BLAS program", "execute_s", "blas_s"),
        (f"{STAGE} / BLAS program's", "stage_s", "blas_stage_s"),
    ):
        print(f"  {title:44s}" + "".join(f"{row[over] / row[under]:9.1f}x" for row in figures.values()))


def main() -> dict[str, dict[str, Any]]:
    """Print and return the figures of all kernels."""
    figures = run()
    print_table(figures)
    return figures


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--one", choices=KERNELS, help="run this kernel here and print its figures as JSON")
    chosen = parser.parse_args().one
    if chosen:
        print(json.dumps(run_one(chosen)))
    else:
        main()
