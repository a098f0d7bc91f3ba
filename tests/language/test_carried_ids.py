"""Arrays of task ids and tensors that a loop carries under names of their own."""

import numpy as np

import pto_sim.language as pl
from pto_sim.engine import run_kernel
from pto_sim.program.options import RunOptions

T = pl.Tensor[[32, 16], pl.FP32]
X = np.arange(32 * 16, dtype=np.float32).reshape(32, 16)


@pl.program
class Phases:
    """Each phase waits for all tasks of the one before it, whose ids stand in an array that the loop hands on."""

    @pl.function(type=pl.FunctionType.InCore)
    def double(self, x: T, out: pl.Out[T], row: pl.Scalar[pl.INDEX]) -> T:
        t: pl.Tile[[8, 16], pl.FP32] = pl.load(x, [row, 0], [8, 16])
        return pl.store(pl.add(t, t), [row, 0], out)

    @pl.function(type=pl.FunctionType.Orchestration)
    def main(self, x: T, out: pl.Out[T]) -> T:
        with pl.manual_scope():
            ids = pl.array.create(2, pl.TASK_ID)
            for phase, (before,) in pl.range(2, init_values=(ids,)):
                after = pl.array.create(2, pl.TASK_ID)
                for part in pl.range(2):
                    out, tid = pl.submit(self.double, x, out, phase * 16 + part * 8, deps=[before])
                    after[part] = tid
                ids = pl.yield_(after)
        return out


@pl.program
class Carried:
    """A carried tensor that a call writes is another value in each iteration."""

    @pl.function(type=pl.FunctionType.InCore)
    def copy(self, x: T, row: pl.Scalar[pl.INDEX], out: pl.Out[T]) -> T:
        t: pl.Tile[[8, 16], pl.FP32] = pl.load(x, [row, 0], [8, 16])
        return pl.store(t, [row, 0], out)

    @pl.function(type=pl.FunctionType.Orchestration)
    def main(self, x: T, out: pl.Out[T]) -> T:
        for row, (part,) in pl.range(0, 32, 8, init_values=(out,)):
            written: T = self.copy(x, row, part)
            (out,) = pl.yield_(written)
        return out


def test_an_array_of_task_ids_is_carried() -> None:
    done = run_kernel(Phases.entry, [X, np.zeros_like(X)], RunOptions(), [])
    np.testing.assert_array_equal(done.outputs["out"], X + X)
    assert [sorted(task.explicit_deps) for task in done.program.tasks][2:] == [[0, 1], [0, 1]]


def test_a_carried_tensor_is_written_in_each_iteration() -> None:
    done = run_kernel(Carried.entry, [X, np.zeros_like(X)], RunOptions(), [])
    np.testing.assert_array_equal(done.outputs["out"], X)
