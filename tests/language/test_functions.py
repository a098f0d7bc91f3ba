"""Forms of functions and of calls: dynamic dimensions, named operands, defaults, recursion."""

from __future__ import annotations

import ctypes

import numpy as np
import pytest

import pto_sim.language as pl
from pto_sim.engine import run_kernel
from pto_sim.program.errors import InputError, KernelError, UnsupportedError
from pto_sim.program.options import RunOptions

CORE = pl.Level.CORE_GROUP
M, N = pl.dynamic("M"), pl.dynamic("N")


def _ramp(*shape: int) -> np.ndarray:
    return np.arange(np.prod(shape), dtype=np.float32).reshape(shape)


@pl.jit.incore
def named_operands(x: pl.Tensor, out: pl.Out[pl.Tensor]):
    t = pl.load(tensor=x, offsets=[0, 0], shapes=[8, 16])
    total = pl.row_sum(t, tmp_tile=pl.tile.create(shape=[8, 16], dtype=pl.FP32))
    t = pl.tile.row_expand_sub(tile=t, row_vec=total)
    t = pl.tile.maximum(lhs=t, rhs=pl.tile.exp(tile=pl.tile.full(shape=[8, 16], dtype=pl.FP32, value=0.0)))
    return pl.store(t, offsets=[0, 0], output_tensor=out)


@pl.jit
def calls_named(x: pl.Tensor, out: pl.Out[pl.Tensor]):
    out = named_operands(x, out=out)
    return out


def test_operands_may_be_named_as_the_vendor_names_them() -> None:
    x = _ramp(8, 16)
    out = np.zeros_like(x)
    calls_named(x, out)
    np.testing.assert_array_equal(out, np.maximum(x - x.sum(1, keepdims=True), 1.0))


@pl.jit
def halves(x: pl.Tensor[[M * 2, N], pl.FP32], out: pl.Out[pl.Tensor[[M * 2, N], pl.FP32]]):
    with pl.at(level=CORE):
        pl.store(pl.add(pl.load(x, [0, 0], [x.shape[0], N]), pl.cast(N * 2, pl.FP32)), [0, 0], out)


def test_a_dimension_may_be_a_formula_and_is_a_number_in_the_body() -> None:
    x = _ramp(8, 16)
    out = np.zeros_like(x)
    halves(x, out)
    np.testing.assert_array_equal(out, x + 32)


@pl.jit
def two_extents(x: pl.Tensor[[M], pl.FP32], out: pl.Out[pl.Tensor[[M, N], pl.FP32]]):
    y = pl.reshape(x, [8, 16])
    with pl.at(level=CORE):
        out[:, :] = pl.neg(y[:, :])


def test_arguments_that_share_a_dimension_are_not_compared() -> None:
    # pypto: tests/st/runtime/control_flow/test_dyn_orch_shape.py, DynOrchReshapeAddTestCase.
    x = _ramp(8, 16)
    out = np.zeros_like(x)
    two_extents(x.reshape(-1), out)
    np.testing.assert_array_equal(out, -x)


@pl.jit
def far_dimension(x: pl.Tensor[[16], pl.FP32], out: pl.Out[pl.Tensor[[16], pl.FP32]]):
    with pl.at(level=CORE):
        out[0:N] = x[0:N]


def test_a_dimension_that_no_argument_gives_is_an_error() -> None:
    with pytest.raises(KernelError, match="no extent here") as caught:
        far_dimension(_ramp(16), _ramp(16))
    assert caught.value.code == "PTO206"


@pl.jit
def turned(x: pl.Tensor[[8, 16], pl.FP32], out: pl.Out[pl.Tensor[[16, 8], pl.FP32]]):
    view = pl.transpose(x, axis1=0, axis2=1)
    with pl.at(level=CORE):
        out[:, :] = view[:, :]


def test_a_tensor_is_transposed_as_a_view_in_orchestration() -> None:
    x, out = _ramp(8, 16), np.zeros((16, 8), np.float32)
    turned(x, out)
    np.testing.assert_array_equal(out, x.T)


@pl.jit
def words(x: pl.Tensor[[8, 8], pl.UINT32], out: pl.Out[pl.Tensor[[8, 8], pl.UINT32]]):
    with pl.at(level=CORE):
        out[:, :] = pl.shr(x[:, :], 1)


def test_signed_words_stand_for_unsigned_ones() -> None:
    x, out = np.full((8, 8), -2, np.int32), np.zeros((8, 8), np.int32)
    words(x, out)
    np.testing.assert_array_equal(out, np.full((8, 8), 0x7FFFFFFF, np.int32))


@pl.jit
def scaled(x: pl.Tensor, n: pl.Scalar[pl.INT32] = 3, out: pl.Out[pl.Tensor] = None):
    with pl.at(level=CORE):
        out[:, :] = pl.mul(x[:, :], pl.cast(n, pl.FP32))


@pytest.mark.parametrize(
    ("named", "factor"), [({}, 3), ({"n": 5}, 5), ({"n": ctypes.c_int32(7)}, 7), ({"n": np.int64(2)}, 2)]
)
def test_arguments_by_name_and_by_default(named: dict[str, object], factor: int) -> None:
    x = _ramp(8, 16)
    out = np.zeros_like(x)
    scaled(x, out=out, **named)
    np.testing.assert_array_equal(out, x * factor)


@pytest.mark.parametrize("named", [{"n": pl.RUNTIME}, {"k": 1}, {"x": 1}])
def test_a_name_that_fits_no_parameter_is_an_error(named: dict[str, object]) -> None:
    with pytest.raises(InputError) as caught:
        scaled(_ramp(8, 16), out=_ramp(8, 16), **named)
    assert caught.value.code == "PTO010"


@pl.jit.inline
def ping(x: pl.Tensor, out: pl.Tensor):
    return pong(x, out)


@pl.jit.inline
def pong(x: pl.Tensor, out: pl.Tensor):
    return ping(x, out)


@pl.jit
def loops_forever(x: pl.Tensor, out: pl.Out[pl.Tensor]):
    ping(x, out)


def test_a_function_that_calls_itself_is_an_error() -> None:
    with pytest.raises(KernelError, match="calls itself") as caught:
        loops_forever(_ramp(8, 16), _ramp(8, 16))
    assert caught.value.code == "PTO211"


def test_a_layout_other_than_row_major_is_refused() -> None:
    with pytest.raises(UnsupportedError, match="layout dn"):
        pl.Tensor[[8, 16], pl.FP32, pl.TensorView(layout=pl.TensorLayout.DN)]


@pl.jit.inline
def fills_a_slot(x: pl.Tensor[[4, 8], pl.FP32], y: pl.Tensor[[4, 8], pl.FP32], slots: pl.Array[1, pl.TASK_ID]):
    with pl.at(level=pl.Level.CORE_GROUP, name_hint="copy") as tid:
        y[0:4, 0:8] = x[0:4, 0:8]
    slots[0] = pl.system.task_dummy(deps=[tid])
    return y


@pl.jit
def passes_an_array(x: pl.Tensor[[4, 8], pl.FP32], y: pl.Out[pl.Tensor[[4, 8], pl.FP32]]):
    slots = pl.array.create(1, pl.TASK_ID)
    y = fills_a_slot(x, y, slots)
    return y


def test_an_inline_function_takes_an_array_of_its_caller():
    x = np.arange(32, dtype=np.float32).reshape(4, 8)
    run = run_kernel(passes_an_array, [x, np.zeros_like(x)], RunOptions(), [])
    np.testing.assert_array_equal(run.outputs["y"], x)
    assert [task.form for task in run.program.tasks] == ["at", "dummy"]
