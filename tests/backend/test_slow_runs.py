"""Runs that are too slow for the runtime's watchdogs: a chip with a clock of 18 Hz, and kernels that read or do not."""

import numpy as np
import pytest

from pto_sim import language as pl
from pto_sim.backend import SimBackend
from pto_sim.program.options import RunOptions

N = 32


@pl.jit(auto_scope=False)
def decides_on_the_host(x: pl.Tensor[[1, N], pl.FP32], out: pl.Out[pl.Tensor[[1, N], pl.FP32]]):
    flag = pl.create_tensor([1, N], dtype=pl.FP32)
    with pl.at(level=pl.Level.CORE_GROUP, name_hint="first"):
        flag[:, :] = pl.mul(x[:, :], 2.0)
    with pl.at(level=pl.Level.CORE_GROUP, name_hint="second"):
        flag[:, :] = pl.add(flag[:, :], x[:, :])
    if pl.read(flag, [0, 0]) > 0.0:
        with pl.at(level=pl.Level.CORE_GROUP, name_hint="third"):
            out[:, :] = pl.add(flag[:, :], x[:, :])


@pl.jit(auto_scope=False)
def decides_on_the_device(x: pl.Tensor[[1, N], pl.FP32], out: pl.Out[pl.Tensor[[1, N], pl.FP32]]):
    flag = pl.create_tensor([1, N], dtype=pl.FP32)
    with pl.at(level=pl.Level.CORE_GROUP, name_hint="first"):
        flag[:, :] = pl.mul(x[:, :], 2.0)
    with pl.at(level=pl.Level.CORE_GROUP, name_hint="second"):
        flag[:, :] = pl.add(flag[:, :], x[:, :])
    with pl.at(level=pl.Level.CORE_GROUP, name_hint="third"):
        out[:, :] = pl.add(flag[:, :], x[:, :])


@pl.jit(auto_scope=False)
def overwrites(x: pl.Tensor[[1, N], pl.FP32], out: pl.Out[pl.Tensor[[1, N], pl.FP32]]):
    flag = pl.create_tensor([1, N], dtype=pl.FP32)
    with pl.at(level=pl.Level.CORE_GROUP, name_hint="first"):
        flag[:, :] = pl.mul(x[:, :], 2.0)
    with pl.at(level=pl.Level.CORE_GROUP, name_hint="second"):
        out[:, :] = pl.add(flag[:, :], x[:, :])
    pl.write(flag, [0, 0], 1.0)


@pytest.fixture
def run(tmp_path):
    def run(kernel, core_hz):
        chip = tmp_path / "slow.toml"
        number = f'{{ value = {core_hz}, unit = "Hz", status = "assumed", source = "a slow clock" }}'
        chip.write_text(f'extends = "a2a3"\nname = "slow"\ndescription = "slow"\n[clock]\ncore_hz = {number}\n')
        x = np.ones((1, N), np.float32)
        return SimBackend().run(kernel, (x, np.zeros_like(x)), RunOptions(chip=str(chip)))

    return run


def test_an_orchestration_that_waits_more_than_15_s_ends_in_error_8(run):
    done = run(decides_on_the_host, 18)
    assert done.outputs == {} and done.fault.code == "PTO908" and done.fault.runtime_name == "TENSOR_WAIT_TIMEOUT"
    assert "test_slow_runs.py:20: the orchestration reads data of task 'second'" in done.fault.rule
    state = done.fault.ring_state
    assert (state["completed"], state["submitted"], state["running"]) == (2, 3, 1)  # the allocation and the first
    assert any(wait["who"] == "orchestrator" for wait in state["waits"])
    assert done.fault_samples


def test_without_the_read_the_same_clock_will_do(run):
    done = run(decides_on_the_device, 18)
    assert done.fault is None and (done.outputs["out"] == 4).all()
    assert run(decides_on_the_host, 1.85e9).fault is None


def test_a_task_of_more_than_10_s_ends_in_error_100(run):
    done = run(decides_on_the_device, 10)
    assert done.fault.code == "PTO100" and done.fault.ring_state["sub_class"] == "S1:running-stalled"
    assert "task first (id 1) still runs on AIV_0" in done.fault.rule


def test_a_task_after_a_read_is_submitted_when_the_data_is_there(run):
    done = run(decides_on_the_host, 1.85e9)
    tasks = {task.name: task for task in done.timeline.tasks}
    assert tasks["third"].submit_us > tasks["second"].end_us
    free = {task.name: task for task in run(decides_on_the_device, 1.85e9).timeline.tasks}
    assert free["third"].submit_us < free["second"].start_us


def test_a_write_waits_for_everyone_who_uses_the_allocation(run):
    """The batch that owns the tensor is held by both tasks."""
    assert run(overwrites, 1.85e9).fault is None
    done = run(overwrites, 18)
    assert done.fault is not None and done.fault.runtime_code == 8
    assert "the orchestration overwrites data of task 'alloc_0'" in done.fault.rule
    assert "has waited for its consumers" in done.fault.rule
