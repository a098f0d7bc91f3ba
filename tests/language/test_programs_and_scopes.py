"""Programs of device functions alone, results as tuples, values that leave their task by name, bare yields."""

from __future__ import annotations

import numpy as np
import pytest

import pto_sim.language as pl
from pto_sim.engine.run import run_kernel
from pto_sim.program.errors import KernelError
from pto_sim.program.options import RunOptions

CORE = pl.Level.CORE_GROUP
SHAPE = pl.Tensor[[8, 16], pl.FP32]
X = np.arange(128, dtype=np.float32).reshape(8, 16)


@pl.program
class DeviceOnly:
    @pl.function(type=pl.FunctionType.InCore)
    def negate(self, x: SHAPE, out: pl.Out[SHAPE]) -> SHAPE:
        return pl.store(pl.neg(pl.load(x, [0, 0], [8, 16])), [0, 0], out)


def test_a_device_function_alone_is_one_task() -> None:
    out = np.zeros_like(X)
    DeviceOnly(X, out)
    np.testing.assert_array_equal(out, -X)
    tasks = run_kernel(DeviceOnly.entry, [X, out], RunOptions(), []).program.tasks
    assert [(task.name, task.blocks) for task in tasks] == [("negate", 1)]


@pl.program
class OfOneVectorCore:
    @pl.function(type=pl.FunctionType.AIV)
    def negate(self, x: SHAPE, out: pl.Out[SHAPE]) -> SHAPE:
        return pl.store(pl.neg(pl.load(x, [0, 0], [8, 16])), [0, 0], out)


@pl.program
class OfBothVectorCores:
    @pl.function(type=pl.FunctionType.AIV, attrs={"split": pl.SplitMode.UP_DOWN})
    def negate(self, x: SHAPE, out: pl.Out[SHAPE]) -> SHAPE:
        return pl.store(pl.neg(pl.load(x, [0, 0], [8, 16])), [0, 0], out)


@pl.program
class OfTheCube:
    @pl.function(type=pl.FunctionType.AIC)
    def negate(self, x: pl.Tensor[[16, 16], pl.FP32], out: pl.Out[pl.Tensor[[16, 16], pl.FP32]]):
        left = pl.load(x, [0, 0], [16, 16], target_memory=pl.Mem.Mat)
        return pl.store(pl.matmul(left, left), [0, 0], out)


@pytest.mark.parametrize("program", [OfOneVectorCore, OfBothVectorCores])
def test_a_vector_function_alone_is_one_task(program: object) -> None:
    out = np.zeros_like(X)
    program(X, out)  # type: ignore[operator]
    np.testing.assert_array_equal(out, -X)


def test_a_cube_function_alone_is_one_task() -> None:
    x, out = 3 * np.eye(16, dtype=np.float32), np.zeros((16, 16), np.float32)
    OfTheCube(x, out)
    np.testing.assert_array_equal(out, 9 * np.eye(16))
    tasks = run_kernel(OfTheCube.entry, [x, out], RunOptions(), []).program.tasks
    assert [(task.name, task.blocks) for task in tasks] == [("negate", 1)]


@pl.program
class TwoResults:
    @pl.function(type=pl.FunctionType.InCore)
    def both(self, x: SHAPE, a: pl.Out[SHAPE], b: pl.Out[SHAPE]) -> tuple[SHAPE, SHAPE]:
        t = pl.load(x, [0, 0], [8, 16])
        first = pl.store(pl.add(t, 1.0), [0, 0], a)
        second = pl.store(pl.mul(t, 2.0), [0, 0], b)
        return first, second

    @pl.function(type=pl.FunctionType.Orchestration)
    def main(self, x: SHAPE, out: pl.Out[SHAPE]) -> SHAPE:
        a: SHAPE = pl.create_tensor([8, 16], dtype=pl.FP32)
        b: SHAPE = pl.create_tensor([8, 16], dtype=pl.FP32)
        pair = self.both(x, a, b)
        more = pair[0]
        c: SHAPE = pl.create_tensor([8, 16], dtype=pl.FP32)
        more, out = self.both(more, c, out)
        return out


def test_results_are_a_tuple() -> None:
    out = np.zeros_like(X)
    TwoResults(X, out)
    np.testing.assert_array_equal(out, (X + 1) * 2)


@pl.jit
def handed_on(x: SHAPE, out: pl.Out[SHAPE]):
    with pl.at(level=CORE, name_hint="first"):
        twice = pl.add(x, x)
    with pl.at(level=CORE, name_hint="second"):
        out[:, :] = pl.add(twice, x)


def test_a_value_used_after_its_task_is_an_output_of_it() -> None:
    result = run_kernel(handed_on, [X, np.zeros_like(X)], RunOptions(), [])
    np.testing.assert_array_equal(result.outputs["out"], 3 * X)
    program = result.program
    assert [tensor.name for tensor in program.tensors] == ["x", "out", "twice"]
    kinds = [event.kind for event in program.events if event.kind in ("alloc", "task")]
    assert kinds == ["alloc", "task", "task"]
    assert [(arg.tensor, arg.reads, arg.writes) for arg in program.tasks[0].args] == [
        (0, True, False),
        (2, False, True),
    ]


@pl.jit
def tile_handed_on(x: SHAPE, out: pl.Out[SHAPE]):
    with pl.at(level=CORE):
        t = pl.load(x, [0, 0], [8, 16])
    with pl.at(level=CORE):
        pl.store(t, [0, 0], out)


def test_a_tile_does_not_leave_its_task_by_name() -> None:
    with pytest.raises(KernelError) as caught:
        tile_handed_on(X, X.copy())
    assert caught.value.code == "PTO102"


@pl.jit
def one_value(x: SHAPE, out: pl.Out[SHAPE]):
    with pl.at(level=CORE):
        t = pl.load(x, [0, 0], [8, 16])
        for _, (acc,) in pl.range(3, init_values=(t,)):
            (last,) = pl.yield_(pl.add(acc, 1.0))
        if pl.read(x, [0, 0]) == 0.0:
            last = pl.add(last, 1.0)
            pl.yield_()
        else:
            pl.yield_()
        pl.store(last, [0, 0], out)


def test_one_yielded_value_may_be_bound_as_a_tuple() -> None:
    out = np.zeros_like(X)
    one_value(X, out)
    np.testing.assert_array_equal(out, X + 4)


@pl.jit
def summed(x: pl.Tensor[[6, 16], pl.FP16], out: pl.Out[pl.Tensor[[2, 16], pl.FP16]]):
    with pl.at(level=CORE):
        t = pl.load(x, [0, 0], [6, 16])
        pl.store(pl.tile.col_sum(t, pl.create_tile([6, 16], dtype=pl.FP16)), [0, 0], out)
        pl.store(pl.tile.col_sum(t), [1, 0], out)


@pytest.mark.parametrize(("profile", "with_scratch"), [("a2a3", 2052), ("cpu-sim", 2048)])
def test_the_scratch_tile_of_a_column_sum_decides_its_order(profile: str, with_scratch: int) -> None:
    """FP16 from 2048 on holds even numbers: 2048 + 1 is 2048, but 1 + 1 first makes 2, twice."""
    column = np.array([2048, 0, 1, 1, 1, 1], np.float16)
    x = np.repeat(column[:, None], 16, axis=1)
    result = run_kernel(summed, [x, np.zeros((2, 16), np.float16)], RunOptions(numerics=profile), [])
    np.testing.assert_array_equal(result.outputs["out"][:, 0], [with_scratch, 2048])


@pl.jit
def after_a_loop(x: SHAPE, n: pl.Scalar[pl.INT32], out: pl.Out[SHAPE]):
    with pl.at(level=CORE):
        for i in pl.range(n):
            last = pl.add(pl.load(x, [0, 0], [8, 16]), pl.cast(i, pl.INT32))
        if pl.read(x, [0, 1]) > 0.0:
            last = pl.add(last, 10.0)
        pl.store(last, [0, 0], out)


def test_a_name_of_a_loop_is_used_after_it() -> None:
    out = np.zeros_like(X)
    after_a_loop(X, 3, out)
    np.testing.assert_array_equal(out, X + 12)
    with pytest.raises(KernelError, match="has no value here") as caught:
        after_a_loop(X, 0, out)
    assert caught.value.code == "PTO217"
    assert "test_programs_and_scopes.py" in str(caught.value)


@pl.jit.incore
def described(x: pl.Tensor, out: pl.Out[pl.Tensor]):
    """Its attributes come first."""
    pl.func_attr({"split": pl.SplitMode.UP_DOWN, "stationary": x})
    out[:, :] = pl.neg(x[:, :])
    return out


@pl.jit
def calls_described(x: SHAPE, out: pl.Out[SHAPE]):
    out = described(x, out)


def test_function_attributes_follow_the_text() -> None:
    result = run_kernel(calls_described, [X, np.zeros_like(X)], RunOptions(), [])
    np.testing.assert_array_equal(result.outputs["out"], -X)


@pl.program
class Flags:
    @pl.function(type=pl.FunctionType.InCore)
    def shift(self, x: SHAPE, first: pl.Scalar[pl.BOOL], step: pl.Scalar[pl.FP32], out: pl.Out[SHAPE]) -> SHAPE:
        t = pl.load(x, [0, 0], [8, 16])
        if first:
            r = pl.store(pl.add(t, step), [0, 0], out)
        else:
            r = pl.store(pl.sub(t, step), [0, 0], out)
        return r

    @pl.function(type=pl.FunctionType.Orchestration)
    def main(self, x: SHAPE, n: pl.Scalar[pl.INT64], out: pl.Out[SHAPE]) -> SHAPE:
        if n == 0:
            first = pl.yield_(1)
        else:
            first = pl.yield_(0)
        out = self.shift(x, first, 2, out)
        return out


def test_scalars_take_the_type_of_their_parameter() -> None:
    for n, expected in ((0, X + 2), (5, X - 2)):
        out = np.zeros_like(X)
        Flags(X, n, out)
        np.testing.assert_array_equal(out, expected)


@pl.jit
def narrowed_view(x: SHAPE, out: pl.Out[SHAPE]):
    part = pl.slice(x, [8, 16], [0, 0], valid_shape=[5, 12])
    lower = pl.slice(part, [4, 16], [4, 0])
    with pl.at(level=CORE):
        out = pl.assemble(out, pl.neg(lower), [4, 0])


def test_loads_read_no_more_than_a_view_has() -> None:
    result = run_kernel(narrowed_view, [X, np.zeros_like(X)], RunOptions(), [])
    mask = np.zeros((8, 16), bool)
    mask[4:5, :12] = True
    np.testing.assert_array_equal(result.written["out"], mask)
    np.testing.assert_array_equal(result.outputs["out"][mask], -X[mask])


VALID = pl.dynamic("VALID")


@pl.program
class Views:
    @pl.function(type=pl.FunctionType.InCore)
    def of_valid(
        self, x: pl.Tensor[[8, 16], pl.FP32, pl.TensorView(valid_shape=[8, VALID])], out: pl.Out[SHAPE]
    ) -> SHAPE:
        return pl.store(pl.add(pl.load(x, [0, 0], [8, 16]), pl.cast(VALID * 1, pl.FP32)), [0, 0], out)

    @pl.function(type=pl.FunctionType.InCore)
    def of_all(self, x: SHAPE, out: pl.Out[SHAPE]) -> SHAPE:
        return pl.store(pl.neg(pl.load(x, [0, 0], [8, 16])), [0, 0], out)

    @pl.function(type=pl.FunctionType.Orchestration)
    def main(self, x: SHAPE, a: pl.Out[SHAPE], b: pl.Out[SHAPE]) -> tuple[SHAPE, SHAPE]:
        part = pl.slice(x, [8, 16], [0, 0], valid_shape=[8, 10])
        a = self.of_valid(part, a)
        b = self.of_all(part, b)
        return a, b


def test_a_function_knows_the_valid_shape_that_its_annotation_names() -> None:
    result = run_kernel(Views.entry, [X, np.zeros_like(X), np.zeros_like(X)], RunOptions(), [])
    mask = np.zeros((8, 16), bool)
    mask[:, :10] = True
    np.testing.assert_array_equal(result.written["a"], mask)
    np.testing.assert_array_equal(result.outputs["a"][mask], X[mask] + 10)
    np.testing.assert_array_equal(result.outputs["b"], -X)
