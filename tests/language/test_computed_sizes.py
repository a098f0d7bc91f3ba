"""Which buffers and launches the record marks as sized by their own statement list, from the compiler's rule."""

import numpy as np

import pto_sim.language as pl
from pto_sim.engine import run_kernel
from pto_sim.lowering import lower
from pto_sim.program.options import RunOptions

ROWS = pl.dynamic("ROWS")
TILE = 8


@pl.jit.inline
def doubled(x: pl.Tensor[[ROWS, 16], pl.FP32], y: pl.Tensor[[ROWS, 16], pl.FP32], tiles: pl.Scalar[pl.INDEX]):
    given = pl.create_tensor([tiles, 16], dtype=pl.FP32)
    rows = pl.tensor.dim(x, 0)
    padded = pl.max(rows, TILE)
    columns = 16
    whole = pl.create_tensor([padded, columns], dtype=pl.FP32)
    fixed = pl.create_tensor([TILE, columns], dtype=pl.FP32)
    for i in pl.spmd(rows // TILE, name_hint="computed"):
        whole[i * TILE : i * TILE + TILE, 0:16] = pl.mul(x[i * TILE : i * TILE + TILE, 0:16], 2.0)
    for start in pl.parallel(0, rows, TILE):
        inner = pl.create_tensor([padded, 16], dtype=pl.FP32)
        last = start + TILE
        outer = pl.create_tensor([last, 16], dtype=pl.FP32)
        for _ in pl.spmd(1, name_hint="constant"):
            tile = whole[start : start + TILE, 0:16]
            inner[0:TILE, 0:16] = tile
            outer[0:TILE, 0:16] = tile
            fixed[0:TILE, 0:16] = tile
            given[0:1, 0:16] = tile[0:1, 0:16]
            y[start : start + TILE, 0:16] = tile
    return y


@pl.jit
def kernel(x: pl.Tensor[[16, 16], pl.FP32], y: pl.Out[pl.Tensor[[16, 16], pl.FP32]]):
    tiles = pl.tensor.dim(x, 0) // TILE
    y = doubled(x, y, tiles)
    return y


def test_only_what_the_list_itself_computes_counts():
    x = np.arange(256, dtype=np.float32).reshape(16, 16)
    run = run_kernel(kernel, [x, np.zeros_like(x)], RunOptions(), [])
    np.testing.assert_array_equal(run.outputs["y"], 2 * x)
    marked = {info.name: info.computed_size for info in run.program.tensors if info.origin == "alloc"}
    assert marked == {"given": True, "whole": True, "fixed": False, "inner": False, "outer": True}
    assert {task.name: task.computed_blocks for task in run.program.tasks} == {"computed": True, "constant": False}


@pl.jit
def views(p: pl.InOut[pl.Tensor[[4, 8], pl.FP32]]):
    flat = pl.reshape(p, [1, 32])
    part = p[0:2, 0:8]
    for _ in pl.spmd(1, name_hint="flat"):
        flat[0:1, 0:32] = pl.full([1, 32], dtype=pl.FP32, value=1.0)
    for _ in pl.spmd(1, name_hint="part"):
        part[0:2, 0:8] = pl.full([2, 8], dtype=pl.FP32, value=2.0)
    for _ in pl.spmd(1, name_hint="whole"):
        p[0:1, 0:8] = pl.full([1, 8], dtype=pl.FP32, value=3.0)


def test_the_record_tells_a_buffer_a_slice_and_a_reshaped_view_apart():
    run = run_kernel(views, [np.zeros((4, 8), np.float32)], RunOptions(), [])
    aliases = {task.name: task.args[0].alias for task in run.program.tasks}
    assert aliases["flat"] == -1 and aliases["part"] > 0 and aliases["whole"] == 0
    np.testing.assert_array_equal(run.outputs["p"][:, 0], [3, 2, 1, 1])


@pl.jit
def repeated(x: pl.Tensor[[4, 8], pl.FP32], v: pl.Tensor[[4], pl.FP32], y: pl.Out[pl.Tensor[[4, 8], pl.FP32]]):
    with pl.at(level=pl.Level.CORE_GROUP, name_hint="repeat"):
        row = pl.reshape(pl.slice(v, [8], [0], valid_shape=[4]), [1, 8])
        y[0:4, 0:8] = pl.col_expand_add(x[0:4, 0:8], row)


def test_a_repeated_vector_may_be_partly_valid():
    """The result is as valid as the tile; columns beyond the vector come from the zeros that the load left."""
    x, v = np.ones((4, 8), np.float32), np.arange(4, dtype=np.float32)
    out = run_kernel(repeated, [x, v, np.zeros_like(x)], RunOptions(), []).outputs["y"]
    np.testing.assert_array_equal(out, 1 + np.array([0, 1, 2, 3, 0, 0, 0, 0], np.float32) * np.ones((4, 1)))


@pl.jit
def transposed_view(a: pl.Tensor[[16, 32], pl.FP32], y: pl.Out[pl.Tensor[[16, 16], pl.FP32]]):
    with pl.at(level=pl.Level.CORE_GROUP, name_hint="gram"):
        rows = pl.load(a, [0, 0], [16, 32], target_memory=pl.MemorySpace.Mat)
        pl.store(pl.matmul(rows, pl.tile.transpose_view(rows), out_dtype=pl.FP32), [0, 0], y)


def test_a_transposed_view_takes_no_memory_of_its_own():
    a = np.arange(512, dtype=np.float32).reshape(16, 32) % 7
    run = run_kernel(transposed_view, [a, np.zeros((16, 16), np.float32)], RunOptions(), [])
    np.testing.assert_array_equal(run.outputs["y"], a @ a.T)  # small integers: exact in FP32
    peaks = next(facts.onchip_peak_bytes for facts in lower(run.program).facts if facts.name == "gram")
    assert "vec" not in peaks and peaks["mat"] == 16 * 32 * 4


@pl.jit
def staged(x: pl.Tensor[[16, 16], pl.FP32], y: pl.Out[pl.Tensor[[16, 16], pl.FP32]]):
    for start in pl.parallel(0, 16, TILE):
        waiting = pl.create_tensor([TILE, 16], dtype=pl.FP32)
        used = pl.create_tensor([TILE, 16], dtype=pl.FP32)
        with pl.at(level=pl.Level.CORE_GROUP, name_hint="first"):
            used[0:TILE, 0:16] = pl.mul(x[start : start + TILE, 0:16], 3.0)
        with pl.at(level=pl.Level.CORE_GROUP, name_hint="second"):
            waiting[0:TILE, 0:16] = pl.neg(used[0:TILE, 0:16])
        y = pl.assemble(y, waiting, [start, 0])
    return y


def test_a_buffer_that_only_waits_to_be_placed_is_a_window_from_the_start():
    x = np.arange(256, dtype=np.float32).reshape(16, 16)
    run = run_kernel(staged, [x, np.zeros_like(x)], RunOptions(), [])
    np.testing.assert_array_equal(run.outputs["y"], -3 * x)
    names = [run.program.tensors[event.value].name for event in run.program.events if event.kind == "alloc"]
    assert names == ["used", "used"]
    written = [run.program.tensors[arg.tensor].name for task in run.program.tasks for arg in task.args if arg.writes]
    assert written == ["used", "y", "used", "y"]


@pl.jit
def four_axes(
    x: pl.Tensor[[2, 1, 4, 8], pl.FP32],
    g: pl.Tensor[[2, 1, 1, 8], pl.FP32],
    y: pl.Out[pl.Tensor[[2, 1, 4, 8], pl.FP32]],
):
    with pl.at(level=pl.Level.CORE_GROUP, name_hint="scale"):
        for k in pl.range(2):
            t = x[k : k + 1, :, :, :]
            column = pl.reshape(pl.row_sum(pl.mul(t, t)), [4, 1])
            y[k : k + 1, :, :, :] = pl.col_expand_mul(pl.row_expand_mul(t, column), g[k : k + 1, :, :, :])


def test_a_vector_is_repeated_over_a_tile_of_higher_rank():
    x = np.arange(64, dtype=np.float32).reshape(2, 1, 4, 8) % 5
    g = np.arange(16, dtype=np.float32).reshape(2, 1, 1, 8)
    out = run_kernel(four_axes, [x, g, np.zeros_like(x)], RunOptions(), []).outputs["y"]
    np.testing.assert_array_equal(out, x * (x * x).sum(-1, keepdims=True) * g)  # small integers: exact in FP32


@pl.jit
def across_tasks(
    a: pl.Tensor[[16, 32], pl.FP32], b: pl.Tensor[[32, 16], pl.FP32], y: pl.Out[pl.Tensor[[16, 16], pl.FP32]]
):
    with pl.at(level=pl.Level.CORE_GROUP, name_hint="product"):
        acc = pl.matmul(a[0:16, 0:16], b[0:16, 0:16], out_dtype=pl.FP32)
        inner = b[0:16, 0:16]
        acc = pl.matmul_acc(acc, a[0:16, 16:32], b[16:32, 0:16])
    with pl.at(level=pl.Level.CORE_GROUP, name_hint="finish"):
        inner = pl.neg(acc)
        y[0:16, 0:16] = inner
    return y


def test_a_value_that_leaves_its_task_is_stored_and_loaded():
    """pypto outlines a region with its live-out values as outputs (docs/en/dev/passes/08-outline_incore_scopes.md)."""
    a = np.arange(512, dtype=np.float32).reshape(16, 32) % 5
    b = np.arange(512, dtype=np.float32).reshape(32, 16) % 3
    run = run_kernel(across_tasks, [a, b, np.zeros((16, 16), np.float32)], RunOptions(), [])
    np.testing.assert_array_equal(run.outputs["y"], -(a @ b))  # small integers: exact in FP32
    program = run.program
    assert [info.name for info in program.tensors if info.origin == "alloc"] == ["acc"]
    uses = {t.name: {program.tensors[a.tensor].name: (a.reads, a.writes) for a in t.args} for t in program.tasks}
    assert uses["product"]["acc"] == (False, True) and uses["finish"]["acc"] == (True, False)
    assert [facts.kind for facts in lower(program).facts] == ["ALLOC", "AIC", "AIV"]


@pl.jit
def whole_with_partial(x: pl.Tensor[[1, 8], pl.FP32], y: pl.Out[pl.Tensor[[1, 8], pl.FP32]]):
    with pl.at(level=pl.Level.CORE_GROUP, name_hint="largest"):
        most = pl.full([1, 8], dtype=pl.FP32, value=-1.0)
        part = pl.slice(x, [1, 8], [0, 0], valid_shape=[1, 3])
        y[0:1, 0:8] = pl.maximum(most, part)


def test_the_first_operand_decides_what_is_valid():
    """Beyond its valid columns the second operand holds the zeros that its load left."""
    x = np.arange(1, 9, dtype=np.float32).reshape(1, 8)
    out = run_kernel(whole_with_partial, [x, np.zeros_like(x)], RunOptions(), []).outputs["y"]
    np.testing.assert_array_equal(out, [[1, 2, 3, 0, 0, 0, 0, 0]])


@pl.jit
def elements_over_a_fill(y: pl.Out[pl.Tensor[[1, 8], pl.INT32]]):
    with pl.at(level=pl.Level.CORE_GROUP, name_hint="map"):
        y[0:1, 0:8] = pl.full([1, 8], dtype=pl.INT32, value=-1)
        for i in pl.range(3):
            pl.write(y, [0, i], pl.cast(i * 2, pl.INT32))


def test_elements_are_written_over_a_first_store_of_the_whole_tensor():
    out = run_kernel(elements_over_a_fill, [np.zeros((1, 8), np.int32)], RunOptions(), []).outputs["y"]
    np.testing.assert_array_equal(out, [[0, 2, 4, -1, -1, -1, -1, -1]])
