"""Loops without end: told at once, or after a number of turns; and loops that are long but end."""

import numpy as np
import pytest

from pto_sim import language as pl
from pto_sim.engine import run_kernel
from pto_sim.program.errors import KernelError
from pto_sim.program.options import RunOptions

N = 32
Row = pl.Tensor[[1, N], pl.FP32]


def run(kernel, limit=None, start=0.0):
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


@pl.jit(auto_scope=False)
def skipped(x: Row, out: pl.InOut[Row]):
    """A counter that goes past what the condition asks for: it changes in every turn, and the loop never ends."""
    n = 1
    while n != 0:
        with pl.at(level=pl.Level.CORE_GROUP, name_hint="step"):
            out[:, :] = pl.add(out[:, :], 1.0)
        n = n + 2


def test_a_loop_that_launches_tasks_ends_after_4000_turns_unless_a_limit_is_given():
    with pytest.raises(KernelError) as caught:
        run(skipped)
    assert "after 4000 turns that launched tasks" in caught.value.values
    with pytest.raises(KernelError, match="after 4100 turns"):
        run(skipped, 4100)


def loops(outer, inner, task=False):
    """Nested pl.range of so many turns, around a task or in one."""

    @pl.jit(auto_scope=False)
    def around(x: Row, out: pl.InOut[Row]):
        for _ in pl.range(outer):
            for _ in pl.range(inner):
                with pl.at(level=pl.Level.CORE_GROUP, name_hint="step"):
                    out[:, :] = pl.add(out[:, :], 1.0)

    @pl.jit(auto_scope=False)
    def inside(x: Row, out: pl.InOut[Row]):
        with pl.at(level=pl.Level.CORE_GROUP, name_hint="step"):
            row = pl.load(x, [0, 0], [1, N])
            for _ in pl.range(outer):
                for _ in pl.range(inner):
                    row = pl.add(row, 1.0)
            pl.store(row, [0, 0], out)

    return inside if task else around


@pytest.mark.parametrize(
    ("kernel", "limit", "values"),
    [
        (loops(10**9, 2), None, "in the orchestration: 1000000000 turns; the limit is 1000000"),
        (loops(1001, 1000), None, "in the orchestration: 1000 turns, in loops of 1001 turns; the limit is 1000000"),
        (loops(11, 2), 1, "in the orchestration: 11 turns; the limit is 10"),
        (loops(10**5, 10**5, task=True), None, "in task 'step': 100000 turns, in loops of 100000 turns; the limit is"),
        (loops(2, 501, task=True), 1, "in task 'step': 501 turns, in loops of 2 turns; the limit is 1000"),
    ],
)
def test_for_loops_of_too_many_turns_are_told_before_they_begin(kernel, limit, values):
    with pytest.raises(KernelError) as caught:
        run(kernel, limit)
    assert caught.value.code == "PTO265" and values in caught.value.values and "--loop-limit" in caught.value.hint


def test_loops_one_after_the_other_do_not_add_up():
    @pl.jit(auto_scope=False)
    def twice(x: Row, out: pl.InOut[Row]):
        for _ in pl.range(2):
            for _ in pl.range(5):
                with pl.at(level=pl.Level.CORE_GROUP, name_hint="step"):
                    row = pl.load(out, [0, 0], [1, N])
                    for _ in pl.range(500):
                        row = pl.add(row, 1.0)
                    pl.store(row, [0, 0], out)

    assert (run(twice, 1).outputs["out"] == 5000).all()
