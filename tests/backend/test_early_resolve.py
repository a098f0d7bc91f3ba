"""allow_early_resolve in a kernel: the same bits, and a consumer that starts sooner unless something prevents it."""

import numpy as np
import pytest

from pto_sim import language as pl
from pto_sim.backend import SimBackend
from pto_sim.program.options import RunOptions

N = 32
Row = pl.Tensor[[1, N], pl.FP32]
Gate = pl.Tensor[[1, 8], pl.INT32]


@pl.jit(auto_scope=False)
def flagged(x: Row, out: pl.Out[Row]):
    half = pl.create_tensor([1, N], dtype=pl.FP32)
    with pl.at(level=pl.Level.CORE_GROUP, name_hint="first", allow_early_resolve=True):
        half[:, :] = pl.mul(x[:, :], 0.5)
    with pl.at(level=pl.Level.CORE_GROUP, name_hint="second"):
        out[:, :] = pl.add(half[:, :], x[:, :])


@pl.jit(auto_scope=False)
def plain(x: Row, out: pl.Out[Row]):
    half = pl.create_tensor([1, N], dtype=pl.FP32)
    with pl.at(level=pl.Level.CORE_GROUP, name_hint="first"):
        half[:, :] = pl.mul(x[:, :], 0.5)
    with pl.at(level=pl.Level.CORE_GROUP, name_hint="second"):
        out[:, :] = pl.add(half[:, :], x[:, :])


@pl.jit(auto_scope=False)
def predicated(x: Row, go: Gate, out: pl.Out[Row]):
    half = pl.create_tensor([1, N], dtype=pl.FP32)
    with pl.at(level=pl.Level.CORE_GROUP, name_hint="first", allow_early_resolve=True):
        half[:, :] = pl.mul(x[:, :], 0.5)
    for _ in pl.spmd(1, name_hint="second", predicate=pl.read(go, [0, 0]) > 0):
        out[:, :] = pl.add(half[:, :], x[:, :])


@pl.jit.incore
def add_rows(a: Row, b: Row, out: pl.Out[Row]):
    out[:, :] = pl.add(a[:, :], b[:, :])
    return out


@pl.jit(auto_scope=False)
def submitted(x: Row, go: Gate, out: pl.Out[Row]):
    half = pl.create_tensor([1, N], dtype=pl.FP32)
    with pl.at(level=pl.Level.CORE_GROUP, name_hint="first", allow_early_resolve=True):
        half[:, :] = pl.mul(x[:, :], 0.5)
    out, _ = pl.submit(add_rows, half, x, out, predicate=pl.read(go, [0, 0]) > 0)


def run(kernel):
    x = np.ones((1, N), np.float32)
    gates = [np.ones((1, 8), np.int32)] if "go" in kernel.param_names else []
    done = SimBackend().run(kernel, (x, *gates, np.zeros_like(x)), RunOptions())
    assert done.fault is None and (done.outputs["out"] == 1.5).all()
    return {task.name: task for task in done.timeline.tasks}, done.timeline


def test_the_consumer_starts_a_doorbell_after_it_is_ready():
    tasks, timeline = run(flagged)
    assert [step.task for step in timeline.runtime_phases if step.kind == "early_dispatch"] == [tasks["second"].task]
    assert tasks["second"].start_us - tasks["second"].ready_us == pytest.approx(0.005 + 0.14, abs=1e-4)


@pytest.mark.parametrize(("kernel", "name"), [(plain, "second"), (predicated, "second"), (submitted, "add_rows")])
def test_without_the_flag_or_with_a_predicate_it_is_dispatched_when_ready(kernel, name):
    tasks, timeline = run(kernel)
    assert not [step for step in timeline.runtime_phases if step.kind == "early_dispatch"]
    assert tasks[name].start_us - tasks[name].ready_us > 1.0
