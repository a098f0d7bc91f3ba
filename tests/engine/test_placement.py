"""A tensor assembled into another in orchestration: its tasks write the window, and it is not allocated."""

from __future__ import annotations

import numpy as np

import pto_sim.language as pl
from pto_sim.engine.run import run_kernel
from pto_sim.program.options import RunOptions

CORE = pl.Level.CORE_GROUP


@pl.jit
def placed(x: pl.Tensor[[16, 32], pl.FP32], out: pl.Out[pl.Tensor[[32, 64], pl.FP32]]):
    part = pl.create_tensor([16, 32], dtype=pl.FP32)
    for b in pl.spmd(2, name_hint="first"):
        part[b * 8 : b * 8 + 8, :] = pl.add(x[b * 8 : b * 8 + 8, :], 1.0)
    with pl.at(level=CORE, name_hint="second"):
        part[0:4, 8:16] = pl.neg(x[0:4, 8:16])
    out = pl.assemble(out, part, [16, 32])
    with pl.at(level=CORE, name_hint="third"):
        part[15:16, :] = x[0:1, :]


def test_every_task_writes_the_window() -> None:
    x = np.arange(512, dtype=np.float32).reshape(16, 32)
    result = run_kernel(placed, [x, np.zeros((32, 64), np.float32)], RunOptions(), [])
    expected = x + 1
    expected[0:4, 8:16] = -x[0:4, 8:16]
    expected[15] = x[0]
    np.testing.assert_array_equal(result.outputs["out"][16:, 32:], expected)
    mask = np.zeros((32, 64), bool)
    mask[16:, 32:] = True
    np.testing.assert_array_equal(result.written["out"], mask)
    program = result.program
    number = [tensor.name for tensor in program.tensors].index("out")
    window = 16 * 64 + 32
    boxes = [[(a.offsets.tolist(), a.shape) for a in t.accesses if a.write] for t in program.tasks]
    assert all(a.tensor == number and a.strides == (64, 1) for t in program.tasks for a in t.accesses if a.write)
    assert boxes[0] == [([window, window + 8 * 64], (8, 32))]
    assert boxes[1] == [([window + 8], (4, 8))]
    assert boxes[2] == [([window + 15 * 64], (1, 32))]
    assert not [event for event in program.events if event.kind == "alloc"]


@pl.jit
def reshaped_first(x: pl.Tensor[[512], pl.FP32], out: pl.Out[pl.Tensor[[32, 64], pl.FP32]]):
    part = pl.create_tensor([16, 32], dtype=pl.FP32)
    flat = pl.reshape(part, [512])
    with pl.at(level=CORE):
        flat[0:512] = pl.neg(x[0:512])
    out = pl.assemble(out, part, [16, 32])


def test_boxes_that_the_window_does_not_have_leave_a_copy() -> None:
    x = np.arange(512, dtype=np.float32)
    result = run_kernel(reshaped_first, [x, np.zeros((32, 64), np.float32)], RunOptions(), [])
    np.testing.assert_array_equal(result.outputs["out"][16:, 32:], -x.reshape(16, 32))
    assert len([event for event in result.program.events if event.kind == "alloc"]) == 1
    assert int(result.written["out"].sum()) == 512


@pl.jit
def assigned(x: pl.Tensor[[16, 32], pl.FP32], out: pl.Out[pl.Tensor[[1, 32, 64], pl.FP32]]):
    with pl.at(level=CORE):
        part = pl.add(x, 1.0)
    out[:, 16:32, 32:64] = pl.reshape(part, [1, 16, 32])


def test_a_subscript_write_of_what_a_task_made_is_an_assemble() -> None:
    x = np.arange(512, dtype=np.float32).reshape(16, 32)
    result = run_kernel(assigned, [x, np.zeros((1, 32, 64), np.float32)], RunOptions(), [])
    np.testing.assert_array_equal(result.outputs["out"][0, 16:, 32:], x + 1)
    assert int(result.written["out"].sum()) == 512
