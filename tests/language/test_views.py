"""Views of tensors, windows of partly valid tiles, placements in annotations."""

from __future__ import annotations

import numpy as np
import pytest

import pto_sim.language as pl
from pto_sim.program.errors import KernelError, UnsupportedError

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
        words = pl.reinterpret_view(out, pl.INT32)
        words[0:4, :] = pl.full([4, 8], pl.INT32, 0x3F800000)


def test_writing_the_bits_of_a_tensor_writes_the_tensor():
    x = RNG.standard_normal((8, 8)).astype(np.float32)
    out = x.copy()
    bits_in_place(x, out)
    np.testing.assert_array_equal(out[:4], 1.0)
    np.testing.assert_array_equal(out[4:], x[4:])


@pl.jit
def narrower(x: pl.Tensor[[8, 8], pl.FP32], out: pl.Out[pl.Tensor[[8, 16], pl.INT16]]):
    with pl.at(level=BLOCK):
        out[:] = pl.reinterpret_view(x, pl.INT16)


def test_a_tensor_is_not_reinterpreted_under_another_width():
    with pytest.raises(UnsupportedError, match="from FP32 to INT16"):
        narrower(np.zeros((8, 8), np.float32), np.zeros((8, 16), np.int16))


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
