"""Loops without end: told at once, or after a number of turns; and loops that are long but end."""

import numpy as np
import pytest

from pto_sim import language as pl
from pto_sim.engine import run_kernel
from pto_sim.program.errors import KernelError
from pto_sim.program.options import RunOptions

N = 32
Row = pl.Tensor[[1, N], pl.FP32]


def run(kernel, limit, start=0.0):
    x = np.full((1, N), start, np.float32)
    return run_kernel(kernel, (x, np.zeros_like(x)), RunOptions(loop_limit=limit), [])


@pl.jit(auto_scope=False)
def until_written(x: Row, out: pl.InOut[Row]):
    """The condition reads what the loop's task writes: the element grows by 1 in each turn."""
    while pl.read(out, [0, 0]) < 9.0:
        with pl.at(level=pl.Level.CORE_GROUP, name_hint="step"):
            out[:, :] = pl.add(out[:, :], 1.0)


@pl.jit(auto_scope=False)
def until_never(x: Row, out: pl.InOut[Row]):
    while pl.read(x, [0, 0]) < 9.0:
        with pl.at(level=pl.Level.CORE_GROUP, name_hint="step"):
            out[:, :] = pl.add(out[:, :], 1.0)


@pl.jit(auto_scope=False)
def carried(x: Row, out: pl.Out[Row]):
    with pl.at(level=pl.Level.CORE_GROUP, name_hint="spin"):
        row = pl.load(x, [0, 0], [1, N])
        for (n,) in pl.while_(init_values=(pl.read(x, [0, 0]),)):
            pl.cond(n < 9.0)
            row = pl.add(row, 1.0)
            n = pl.yield_(n + 1.0)
        pl.store(row, [0, 0], out)


@pl.jit(auto_scope=False)
def left_by_break(x: Row, out: pl.Out[Row]):
    with pl.at(level=pl.Level.CORE_GROUP, name_hint="spin"):
        row = pl.load(x, [0, 0], [1, N])
        n = 0
        while True:
            row = pl.add(row, 1.0)
            n = n + 1
            if n == 9:
                break
        pl.store(row, [0, 0], out)


@pytest.mark.parametrize("kernel", [until_written, carried, left_by_break])
def test_a_loop_of_nine_turns_ends_within_nine(kernel):
    assert (run(kernel, 9).outputs["out"] == 9).all()


@pytest.mark.parametrize(("kernel", "where"), [(until_written, "orchestration"), (carried, "task 'spin'")])
def test_eight_turns_are_not_enough_for_nine(kernel, where):
    with pytest.raises(KernelError) as caught:
        run(kernel, 8)
    assert caught.value.code == "PTO265" and "after 8 turns" in caught.value.values and where in caught.value.values
    assert "--loop-limit" in caught.value.hint


def test_a_condition_that_no_task_changes_is_told_with_its_line():
    with pytest.raises(KernelError) as caught:
        run(until_never, 50)
    assert caught.value.code == "PTO265" and caught.value.site.line == 30
    assert caught.value.site.file.endswith("test_turns.py")


def test_a_condition_that_is_false_at_first_is_no_loop():
    assert (run(until_never, 50, start=9.0).outputs["out"] == 0).all()
