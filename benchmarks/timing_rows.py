"""Predicted beside published times of four upstream examples: `python -m benchmarks.timing_rows [--chip NAME]`.

Rows C1, C2: GEMM 3072^3 and 6144^3, one kernel on 24 AIC (pto-isa: kernels/manual/a2a3/gemm_performance).
C10: mean execution time of a block of the serial score_mat stage (pypto-lib: commit 1dd087a6). C11: 500 + 500
alternating tasks through the on-device runtime (simpler: tests/st/a2a3/tensormap_and_ringbuffer/
alternating_matmul_add, case 1; threads of simpler 694 and 1575).

No number of the model was fitted to these rows, but C1 and C2 are no blind test: the numbers marked `derived`
in the chip file (L2 bandwidth, load and drain rates, extract startup) are arithmetic on the busy shares of this
GEMM example and of the convolution beside it, and the prediction of both rows is their L2 bound itself.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np

from ascend_model.chip import simulate
from ascend_model.chipspec import ChipSpec, list_chips, load_chip
from ascend_model.core import BlockTiming, time_block
from ascend_model.memory import BlockDemand, SharedMemory, block_demand, first_touch_share
from ascend_model.roofline import roofline, work_of
from ascend_model.workload import InstructionStream, Submit, Task, Workload
from benchmarks.timing_streams import add_group_stream, gemm_core_stream, matmul_group_stream, score_mat_serial_stream


@dataclass(frozen=True)
class Row:
    """One published time. clusters: how many the example uses. pipe_shares: published busy share by pipe, or none."""

    label: str
    title: str
    published_us: float
    clusters: int
    workload: Callable[[], Workload]
    predict: Callable[[Workload, ChipSpec], float]
    pipe_shares: tuple[tuple[str, float], ...] = ()


def one_task(name: str, kind: str, stream: InstructionStream, blocks: int, unique_nbytes: tuple[int, int]) -> Workload:
    """A workload of a single task whose blocks all run `stream`."""
    block_streams = np.zeros(blocks, dtype=np.int32)
    task = Task(id=0, name=name, kind=kind, block_streams=block_streams, gm_unique_nbytes=unique_nbytes)
    return Workload(streams=(stream,), tasks=(task,), events=(Submit(0),), name=name)


def gemm_workload(side: int) -> Workload:
    """A side^3 product on 24 AIC, 4 by m and 6 by n."""
    stream = gemm_core_stream(side // 4, side // 6, side)
    return one_task(f"gemm_{side}", "AIC", stream, 24, (2 * side * side * 2, side * side * 4))


def score_mat_workload() -> Workload:
    """Eight blocks, each with a query, 16 pages and their table entries of its own."""
    blocks, pages = 8, 16
    read = blocks * (64 * 128 + pages * (128 * 128 + 4))
    return one_task("score_mat", "AIC", score_mat_serial_stream(), blocks, (read, blocks * pages * 128 * 64 * 4))


def alternating_workload(pairs: int = 500) -> Workload:
    """`pairs` AIC and `pairs` AIV tasks in turn, without dependencies; each has two inputs and one output."""
    group_bytes = 4 * 128 * 128 * 4
    tasks = tuple(
        Task(
            id=i,
            name=("matmul", "add")[i % 2],
            kind=("AIC", "AIV")[i % 2],
            block_streams=np.array([i % 2], dtype=np.int32),
            tensor_args=3,
            gm_unique_nbytes=(2 * group_bytes, group_bytes),
        )
        for i in range(2 * pairs)
    )
    streams = (matmul_group_stream(), add_group_stream())
    return Workload(streams, tasks, tuple(Submit(task.id) for task in tasks), name="alternating_matmul_add")


def launch_together(workload: Workload, spec: ChipSpec) -> tuple[float, BlockTiming]:
    """Microseconds until the last block of a one-task workload ends when all start at once, without a runtime."""
    (task,) = workload.tasks
    (stream,) = workload.streams
    timing = time_block(stream, spec)
    blocks = len(task.block_streams)
    read, write = task.gm_unique_nbytes
    shares = (
        first_touch_share(read, blocks * timing.gm_read_bytes),
        first_touch_share(write, blocks * timing.gm_write_bytes),
    )
    return run_fluid([block_demand(timing, spec, *shares)] * blocks, spec), timing


def run_fluid(demands: Iterable[BlockDemand], spec: ChipSpec) -> float:
    """Microseconds until the last of the blocks ends when all start at once and share the memory."""
    memory = SharedMemory(spec)
    for key, demand in enumerate(demands):
        memory.join(key, demand, 0.0)
    now_us = 0.0
    while (following := memory.next_end()) is not None:
        now_us, key = following
        memory.leave(key, now_us)
    return now_us


def kernel_us(workload: Workload, spec: ChipSpec) -> float:
    """Time of a kernel that is launched directly on all its cores."""
    return launch_together(workload, spec)[0]


def runtime_us(workload: Workload, spec: ChipSpec) -> float:
    """Time of a task graph under the on-device runtime."""
    return simulate(workload, spec).total_us


ROWS = (
    Row(
        "C1",
        "GEMM 3072^3, 24 AIC",
        206.7,
        24,
        lambda: gemm_workload(3072),
        kernel_us,
        (("M", 79.0), ("MTE1", 62.0), ("MTE2", 90.9), ("FIXP", 5.8)),
    ),
    Row(
        "C2",
        "GEMM 6144^3, 24 AIC",
        1506.0,
        24,
        lambda: gemm_workload(6144),
        kernel_us,
        (("M", 86.7), ("MTE1", 68.1), ("MTE2", 95.2), ("FIXP", 3.1)),
    ),
    Row("C10", "score_mat serial, 8 AIC, mean block", 10.315, 8, score_mat_workload, kernel_us),
    Row("C11", "500 matmul + 500 add tasks", 780.5, 24, alternating_workload, runtime_us),
)
"""Published values; where upstream gives a range (C10: 10.29 to 10.34, C11: 772 to 789) its middle."""


def busy_shares(row: Row, workload: Workload, spec: ChipSpec) -> dict[str, float]:
    """Predicted busy share of each pipe in percent of the predicted time, for a directly launched kernel."""
    total_us, timing = launch_together(workload, spec)
    return {use.pipe.split(".")[1]: 100 * use.busy_cycles * spec.cycle_us / total_us for use in timing.pipes}


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--chip", default="a2a3", help=f"one of {', '.join(list_chips())}, or a .toml file")
    spec = load_chip(parser.parse_args().chip)
    print(f"chip {spec.name}: {spec['clock.core_hz'] / 1e9:g} GHz, {spec.clusters} clusters, {spec.content_hash[:12]}")
    print(f"{'row':4} {'what':36} {'predicted':>10} {'published':>10} {'error':>8} {'roofline':>9}   us")
    for row in ROWS:
        workload = row.workload()
        predicted = row.predict(workload, spec)
        bound = roofline(work_of(workload, spec), spec, row.clusters)
        error = 100 * (predicted / row.published_us - 1)
        print(
            f"{row.label:4} {row.title:36} {predicted:10.2f} {row.published_us:10.2f} {error:+7.1f}% "
            f"{bound.total_us:9.2f}   (cube {bound.cube_us:.1f}, vector {bound.vector_us:.1f}, "
            f"HBM {bound.hbm_us:.1f}, L2 {bound.l2_us:.1f})"
        )
        if row.pipe_shares:
            shares = busy_shares(row, workload, spec)
            pairs = ", ".join(f"{pipe} {shares[pipe]:.1f}% ({published}%)" for pipe, published in row.pipe_shares)
            print(f"     busy, predicted (published): {pairs}")


if __name__ == "__main__":
    main()
