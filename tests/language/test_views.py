"""Views of tensors, windows of partly valid tiles, placements in annotations."""

from __future__ import annotations

import ml_dtypes
import numpy as np
import pytest

import pto_sim.language as pl
from pto_sim.engine import run_kernel
from pto_sim.program.errors import KernelError
from pto_sim.program.options import RunOptions

RNG = np.random.default_rng(6)
BLOCK = pl.Level.CORE_GROUP


@pl.jit
def flattened(x: pl.Tensor[[2, 8, 16], pl.FP32], out: pl.Out[pl.Tensor[[16, 16], pl.FP32]]):
    rows = pl.tensor.view(x, [16, 16])
    with pl.at(level=BLOCK):
        across = pl.tensor.view(rows, layout=pl.DN)
        out[:] = pl.add(rows, across)


def test_a_view_under_another_shape_and_layout():
    x, out = RNG.standard_normal((2, 8, 16)).astype(np.float32), np.zeros((16, 16), np.float32)
    flattened(x, out)
    rows = x.reshape(16, 16)
    np.testing.assert_array_equal(out, rows + rows.T)


@pl.jit
def column_major(x: pl.Tensor[[4, 8], pl.FP32], out: pl.Out[pl.Tensor[[2, 16], pl.FP32]]):
    with pl.at(level=BLOCK):
        out[:] = pl.tensor.view(x, [2, 16], layout=pl.DN)


def test_shape_and_layout_together_read_the_memory_column_by_column():
    x, out = np.arange(32, dtype=np.float32).reshape(4, 8), np.zeros((2, 16), np.float32)
    column_major(x, out)
    np.testing.assert_array_equal(out, np.arange(32).reshape(16, 2).T)


@pl.jit
def bits_in_place(x: pl.Tensor[[8, 8], pl.FP32], out: pl.InOut[pl.Tensor[[8, 8], pl.FP32]]):
    with pl.at(level=BLOCK):
        words = pl.reinterpret_view(x, pl.INT32)
        words[0:4, :] = pl.full([4, 8], pl.INT32, 0x3F800000)
        out[:] = pl.reinterpret_view(words, pl.FP32)


def test_the_bits_of_a_tensor_are_those_of_a_tile_that_it_is_loaded_to():
    """pypto: op_conversion_registry.cpp, tensor.reinterpret_view becomes tile.reinterpret_view: x stays as it is."""
    x = RNG.standard_normal((8, 8)).astype(np.float32)
    before, out = x.copy(), np.zeros_like(x)
    run = run_kernel(bits_in_place, [x, out], RunOptions(), [])
    np.testing.assert_array_equal(run.outputs["out"][:4], 1.0)
    np.testing.assert_array_equal(run.outputs["out"][4:], x[4:])
    np.testing.assert_array_equal(x, before)
    assert not any(access.write for access in run.program.tasks[0].accesses if access.tensor == 0)


@pl.jit
def narrower(x: pl.Tensor[[8, 8], pl.FP32], out: pl.Out[pl.Tensor[[8, 16], pl.INT16]]):
    with pl.at(level=BLOCK):
        out[:] = pl.reinterpret_view(x, pl.INT16)


def test_a_tensor_is_read_under_a_narrower_type():
    x, out = RNG.standard_normal((8, 8)).astype(np.float32), np.zeros((8, 16), np.int16)
    narrower(x, out)
    np.testing.assert_array_equal(out, x.view(np.int16))


@pl.jit
def wider(x: pl.Tensor[[4, 3, 16], pl.BF16], out: pl.Out[pl.Tensor[[12, 8], pl.INT32]]):
    for i in pl.spmd(4, name_hint="copy"):
        words = pl.reinterpret_view(x, pl.INT32, shape=[12, 8])
        out[3 * i : 3 * i + 3, 0:8] = words[3 * i : 3 * i + 3, 0:8]


def test_a_tensor_is_read_under_a_wider_type_and_loaded_whole():
    x, out = RNG.integers(0, 2**16, (4, 3, 16), np.uint16).view(ml_dtypes.bfloat16), np.zeros((12, 8), np.int32)
    run = run_kernel(wider, [x, out], RunOptions(), [])
    np.testing.assert_array_equal(run.outputs["out"], x.reshape(12, 16).view(np.int32))
    read = next(access for access in run.program.tasks[0].accesses if not access.write)
    assert (set(read.offsets), read.shape, read.strides) == ({0}, (4, 3, 16), (48, 16, 1))


@pl.jit
def window_of_a_view(x: pl.Tensor[[8, 32], pl.BF16], out: pl.Out[pl.Tensor[[8, 8], pl.INT32]]):
    part = x[:, 5:21]
    with pl.at(level=BLOCK):
        out[:] = pl.reinterpret_view(part, pl.INT32)


def test_a_window_is_packed_when_it_is_loaded():
    x, out = RNG.integers(0, 2**16, (8, 32), np.uint16), np.zeros((8, 8), np.int32)
    window_of_a_view(x.view(ml_dtypes.bfloat16), out)
    np.testing.assert_array_equal(out, np.ascontiguousarray(x[:, 5:21]).view(np.int32))


@pl.jit
def column(x: pl.Tensor[[16, 1], pl.FP32], out: pl.Out[pl.Tensor[[32, 1], pl.INT16]]):
    with pl.at(level=BLOCK):
        pl.store(pl.reinterpret_view(pl.load(x, [0, 0], [16, 1]), pl.INT16), [0, 0], out)


def test_a_column_is_contiguous_along_its_rows():
    x, out = RNG.standard_normal((16, 1)).astype(np.float32), np.zeros((32, 1), np.int16)
    column(x, out)
    np.testing.assert_array_equal(out, x.view(np.int16).reshape(32, 1))


@pl.jit
def partly_valid(
    x: pl.Tensor[[8, 16], pl.BF16], columns: pl.Scalar[pl.INT64], out: pl.InOut[pl.Tensor[[8, 8], pl.INT32]]
):
    with pl.at(level=BLOCK):
        tile = pl.load(x, [0, 0], [8, 16], valid_shape=[5, columns])
        pl.store(pl.reinterpret_view(tile, pl.INT32), [0, 0], out)


def test_the_valid_part_is_counted_in_the_new_elements():
    x, out = RNG.integers(0, 2**16, (8, 16), np.uint16), np.full((8, 8), 7, np.int32)
    partly_valid(x.view(ml_dtypes.bfloat16), 6, out)
    expected = np.full((8, 8), 7, np.int32)
    expected[:5, :3] = x.view(np.int32)[:5, :3]
    np.testing.assert_array_equal(out, expected)
    with pytest.raises(KernelError, match="a partly valid tile keeps its axes"):
        partly_valid(x.view(ml_dtypes.bfloat16), 7, out)


@pl.jit
def collapsed(
    x: pl.Tensor[[2, 4, 16], pl.FP32], count: pl.Scalar[pl.INT64], out: pl.InOut[pl.Tensor[[8, 16], pl.FP32]]
):
    part = pl.slice(x, [2, 4, 16], [0, 0, 0], valid_shape=[1, count, 16])
    with pl.at(level=BLOCK):
        rows = pl.tensor.view(part, [8, 16], [count, 16])
        tile = pl.load(rows, [0, 0], [8, 16])
        pl.store(tile, [0, 0], out)


def test_a_partly_valid_tensor_collapses_with_its_valid_shape():
    """Rows 0..2 of the first matrix are rows 0..2 of the view; a store writes no more."""
    x, out = RNG.standard_normal((2, 4, 16)).astype(np.float32), np.full((8, 16), 7, np.float32)
    collapsed(x, 3, out)
    np.testing.assert_array_equal(out[:3], x[0, :3])
    assert (out[3:] == 7).all()


@pl.jit
def wrongly_collapsed(
    x: pl.Tensor[[2, 4, 16], pl.FP32],
    valid: pl.Scalar[pl.INT64],
    named: pl.Scalar[pl.INT64],
    out: pl.InOut[pl.Tensor[[8, 16], pl.FP32]],
):
    part = pl.slice(x, [2, 4, 16], [0, 0, 0], valid_shape=[2, valid, 16])
    with pl.at(level=BLOCK):
        if named > 0:
            rows = pl.tensor.view(part, [8, 16], [named, 16])
            pl.store(pl.load(rows, [0, 0], [8, 16]), [0, 0], out)
        else:
            whole = pl.tensor.view(part, [8, 16])
            pl.store(pl.load(whole, [0, 0], [8, 16]), [0, 0], out)


@pytest.mark.parametrize(
    ("valid", "named", "rule"),
    [
        (3, 6, "collapses the leading axes"),  # rows 3 and 7 lie between valid ones
        (3, 9, "lies within it"),
        (3, 0, "names its valid_shape"),
        (4, 7, "names its valid_shape, any other view does not"),  # all of the tensor is valid
    ],
)
def test_a_collapse_keeps_the_valid_part_a_box(valid, named, rule):
    with pytest.raises(KernelError, match=rule):
        wrongly_collapsed(np.zeros((2, 4, 16), np.float32), valid, named, np.zeros((8, 16), np.float32))


@pl.jit
def no_request(x: pl.Tensor[[8, 8], pl.FP32], out: pl.Out[pl.Tensor[[8, 8], pl.FP32]]):
    rows = pl.tensor.view(x)
    with pl.at(level=BLOCK):
        out[:] = pl.add(rows, 0.0)


def test_a_view_says_what_it_is():
    with pytest.raises(KernelError, match="a shape or a layout"):
        no_request(np.zeros((8, 8), np.float32), np.zeros((8, 8), np.float32))


@pl.jit
def window_of_a_part(x: pl.Tensor[[16, 32], pl.FP32], out: pl.InOut[pl.Tensor[[8, 32], pl.FP32]]):
    with pl.at(level=BLOCK):
        part = pl.load(x, [0, 0], [16, 32], valid_shape=[11, 20])
        pl.store(pl.tile.extract(part, 8, 0, [8, 32], target_memory=pl.Mem.Vec), [0, 0], out)


def test_a_window_is_valid_only_where_its_tile_is():
    """Rows 8..10 and columns 0..19 of the window hold data; a store writes no more."""
    x, out = RNG.standard_normal((16, 32)).astype(np.float32), np.full((8, 32), 7, np.float32)
    window_of_a_part(x, out)
    expected = np.full((8, 32), 7, np.float32)
    expected[:3, :20] = x[8:11, :20]
    np.testing.assert_array_equal(out, expected)


@pl.jit
def repeated(x: pl.Tensor[[4, 1, 8], pl.FP32], out: pl.Out[pl.Tensor[[4, 3, 8], pl.FP32]]):
    with pl.at(level=BLOCK):
        out = pl.expand_clone(x, out)


def test_expand_clone_writes_its_target():
    x, out = RNG.standard_normal((4, 1, 8)).astype(np.float32), np.zeros((4, 3, 8), np.float32)
    repeated(x, out)
    np.testing.assert_array_equal(out, np.repeat(x, 3, axis=1))


SLOTS = pl.MemRef("ub", slots=2)


@pl.jit
def placed(x: pl.Tensor[[16, 16], pl.FP32], out: pl.Out[pl.Tensor[[16, 16], pl.FP32]]):
    with pl.at(level=BLOCK):
        for i in pl.range(2):
            a: pl.Tile[[8, 16], pl.FP32, pl.MemRef("ub", slots=2)[i % 2], pl.Mem.Vec] = pl.load(x, [i * 8, 0], [8, 16])
            b: pl.Tile[[8, 16], pl.FP32, SLOTS[0], pl.TileView(valid_shape=[8, 16])] = pl.add(a, a)
            pl.store(b, [i * 8, 0], out)


def test_placements_change_no_value():
    x, out = RNG.standard_normal((16, 16)).astype(np.float32), np.zeros((16, 16), np.float32)
    placed(x, out)
    np.testing.assert_array_equal(out, x + x)
    with pytest.raises(KernelError, match="2 slots"):
        SLOTS[2]


@pl.jit
def four_bits(x: pl.Tensor[[8, 32], pl.FP16], out: pl.Out[pl.Tensor[[8, 32], pl.FP16]]):
    with pl.at(level=BLOCK):
        out[:] = pl.cast(pl.cast(x, pl.INT4), pl.FP16)  # bad


@pl.jit
def four_bit_buffer(x: pl.Tensor[[8, 32], pl.FP16], out: pl.Out[pl.Tensor[[8, 32], pl.FP16]]):
    with pl.at(level=BLOCK):
        pl.create_tile([8, 32], dtype=pl.INT4)  # bad


@pytest.mark.parametrize("kernel", [four_bits, four_bit_buffer])
def test_a2a3_holds_no_elements_of_four_bits(kernel):
    with pytest.raises(KernelError, match="no buffers of INT4: it cannot load or store 4-bit elements"):
        kernel(np.zeros((8, 32), np.float16), np.zeros((8, 32), np.float16))
