"""Specs: initial values, scalar ranges, and what they refuse."""

import ml_dtypes
import numpy as np
import pytest

from pto_sim import language as pl
from pto_sim.golden import ScalarSpec, TensorSpec
from pto_sim.program.errors import InputError, UnsupportedError


def made(init_value, dtype=np.float32, seed=0):
    return TensorSpec("x", [2, 3], dtype, init_value).create_tensor(seed)


def test_initial_values():
    assert (made(None) == 0).all() and (made(2.5) == 2.5).all() and (made(7, np.int8) == 7).all()
    values = np.arange(6.0).reshape(2, 3)
    np.testing.assert_array_equal(made(values), values)
    np.testing.assert_array_equal(made(lambda: values), values)
    np.testing.assert_array_equal(made(values.tolist()), values)
    assert made(values).dtype == np.float32 and made(values.T.copy().T).flags.c_contiguous


def test_callable_with_a_seed_gets_it():
    def init(seed):
        return np.full((2, 3), seed)

    assert (made(init, seed=11) == 11).all()


@pytest.mark.parametrize("dtype", [pl.BF16, ml_dtypes.bfloat16, "bfloat16", np.dtype(ml_dtypes.bfloat16)])
def test_bf16_has_several_spellings(dtype):
    assert made(1.0, dtype).dtype == ml_dtypes.bfloat16


@pytest.mark.parametrize("dtype", [np.float64, np.complex64, "no type", pl.FP4, object])
def test_types_without_tensors(dtype):
    with pytest.raises(InputError, match=r"PTO014.*TensorSpec 'x'"):
        made(None, dtype)


def test_wrong_shape_and_kind():
    with pytest.raises(ValueError, match=r"\[2, 3\], init_value has \[3, 2\]"):
        made(np.zeros((3, 2)))
    with pytest.raises(TypeError, match="gives str"):
        made(lambda: "text")


def test_output_with_a_value_is_also_an_input():
    assert TensorSpec("x", [1], np.int8).is_input
    assert not TensorSpec("x", [1], np.int8, is_output=True).is_input
    assert TensorSpec("x", [1], np.int8, 0, is_output=True).is_input


@pytest.mark.parametrize("resident", [0, 3, "stacked"])
def test_resident_tensors_are_not_simulated(resident):
    with pytest.raises(UnsupportedError, match="resident="):
        TensorSpec("x", [1], np.int8, resident=resident)


@pytest.mark.parametrize("resident", [True, -1, "elsewhere"])
def test_resident_without_a_meaning(resident):
    with pytest.raises(ValueError, match="resident="):
        TensorSpec("x", [1], np.int8, resident=resident)
    TensorSpec("x", [1], np.int8, resident=False)


@pytest.mark.parametrize(
    ("dtype", "value", "number"),
    [
        (np.int8, -128, -128),
        (np.uint8, 255, 255),
        (np.int64, 2**63 - 1, 2**63 - 1),
        (np.bool_, True, True),
        (np.float32, 0.1, float(np.float32(0.1))),
        (np.float16, 1, 1.0),
        (ml_dtypes.bfloat16, 1.00390625, 1.0),  # 1 + 2^-8: half way, to even
        (np.int32, np.int32(5), 5),
    ],
)
def test_scalars_are_kept_as_their_type(dtype, value, number):
    spec = ScalarSpec("s", dtype, value)
    assert spec.value.dtype == dtype and spec.value.shape == ()
    assert spec.to_python() == number and type(spec.to_python()) is type(number)


@pytest.mark.parametrize(
    ("dtype", "value"),
    [
        (np.int8, 128),
        (np.int8, -129),
        (np.uint8, -1),
        (np.int32, 1.0),
        (np.int32, True),
        (np.bool_, 1),
        (np.float32, False),
        (np.float32, "1"),
        (np.int16, 1),
        (np.int32, np.int64(5)),
        (np.int32, np.zeros(1, np.int32)),
    ],
)
def test_scalars_that_do_not_fit(dtype, value):
    with pytest.raises(ValueError, match="ScalarSpec 's'"):
        ScalarSpec("s", dtype, value)


def test_a_spec_in_torch_makes_a_torch_tensor():
    torch = pytest.importorskip("torch")
    made = TensorSpec("x", [2, 3], torch.bfloat16, 1.5).create_tensor()
    assert made.dtype is torch.bfloat16 and made.tolist() == [[1.5] * 3] * 2


def test_init_values_of_other_libraries_are_taken():
    values = memoryview(np.arange(6, dtype=np.float32).reshape(2, 3))
    assert TensorSpec("x", [2, 3], np.float32, values).create_tensor().tolist() == [[0, 1, 2], [3, 4, 5]]
