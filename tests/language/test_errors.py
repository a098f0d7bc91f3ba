"""Every rejected kernel says the rule, the author's line, the values and what to do instead."""

import inspect

import ml_dtypes
import numpy as np
import pytest

import pto_sim.language as pl
from pto_sim.engine import run_kernel
from pto_sim.program.errors import InputError, KernelError, PtoError, UnsupportedError
from pto_sim.program.options import RunOptions

F32 = pl.Tensor[[8, 16], pl.FP32]
X = np.ones((8, 16), np.float32)


def rejects(kernel, code, *parts, args=None, kind=KernelError):
    """Run a bad kernel; its error has `code`, contains `parts` and names the line marked `# bad`."""
    with pytest.raises(kind) as caught:
        run_kernel(kernel, [X, X.copy()] if args is None else args, RunOptions(), [])
    error = caught.value
    assert isinstance(error, PtoError) and error.code == code
    for part in parts:
        assert part in str(error)
    assert error.hint
    lines, start = inspect.getsourcelines(kernel.function)
    marked = [start + i for i, line in enumerate(lines) if "# bad" in line]
    if marked:
        assert error.site is not None
        assert (error.site.file, error.site.line) == (__file__, marked[0])


@pl.jit(auto_scope=False)
def unequal_shapes(x: F32, out: pl.Out[F32]):
    for _ in pl.spmd(2):
        out[0:8, 0:16] = pl.add(x[0:8, 0:16], x[0:4, 0:16])  # bad


def test_unequal_shapes():
    rejects(unequal_shapes, "PTO202", "[8, 16] and [4, 16]")


@pl.jit(auto_scope=False)
def outside(x: F32, out: pl.Out[F32]):
    for i in pl.spmd(4):
        out[i : i + 1, 0:16] = x[i + 5 : i + 6, 0:16]  # bad


def test_a_read_outside_a_tensor_names_the_block():
    rejects(outside, "PTO203", "axis 0: [8, 9) of 8, block 3")


ROWS = pl.dynamic("ROWS")
DYNAMIC = pl.Tensor[[ROWS, 16], pl.FP32]


@pl.jit(auto_scope=False)
def past_a_dynamic_end(x: DYNAMIC, out: pl.Out[F32]):
    for _ in pl.spmd(1):
        rows = x[0:16, 0:16]  # bad
        out[0:8, 0:16] = rows[0:8, 0:16]


@pl.jit(auto_scope=False)
def up_to_a_dynamic_end(x: DYNAMIC, out: pl.Out[F32]):
    for _ in pl.spmd(1):
        rows = pl.slice(x, [16, 16], [0, 0], clamp=True)
        out[0:8, 0:16] = pl.mul(rows, 2.0)[0:8, 0:16]


def test_rows_past_a_dynamic_end_are_an_error_although_none_of_them_is_stored():
    rejects(past_a_dynamic_end, "PTO203", "a load", "axis 0: [0, 16) of 8", "clamp=True")


def test_the_hint_of_a_load_past_the_end_holds():
    x = np.arange(128, dtype=np.float32).reshape(8, 16)
    result = run_kernel(up_to_a_dynamic_end, [x, np.zeros_like(x)], RunOptions(), [])
    np.testing.assert_array_equal(result.outputs["out"], 2 * x)


@pl.jit(auto_scope=False)
def too_large(x: F32, out: pl.Out[F32]):
    for _ in pl.spmd(2):
        t = pl.full([256, 256], dtype=pl.FP32, value=0.0)  # bad
        out[0:1, 0:16] = t[0:1, 0:16]


def test_a_tile_over_capacity():
    rejects(too_large, "PTO301", "UB (Vec)", "262144 bytes", "188416")


@pl.jit(auto_scope=False)
def misplaced(x: F32, out: pl.Out[F32]):
    y = pl.add(x, x)  # bad
    for _ in pl.spmd(2):
        out[0:8, 0:16] = y


def test_compute_outside_a_task():
    rejects(misplaced, "PTO204", "pl.add belongs in the body of a task")


@pl.jit(auto_scope=False)
def misspelt(x: F32, out: pl.Out[F32]):
    for _ in pl.spmd(2):
        out[0:8, 0:16] = pl.maximun(x[0:8, 0:16], 0.0)  # bad


def test_an_unknown_name_suggests_the_nearest():
    rejects(misspelt, "PTO201", "did you mean pl.maximum?")


@pl.jit(auto_scope=False)
def not_modelled(x: F32, out: pl.Out[F32]):
    for _ in pl.spmd(2):
        out[0:8, 0:16] = pl.matmul_mx(x, x, x, x)  # bad


def test_a_construct_that_is_not_modelled_is_named():
    rejects(not_modelled, "PTO001", "pl.matmul_mx", kind=UnsupportedError)


@pl.jit(auto_scope=False)
def wrong_store_type(x: F32, out: pl.Out[pl.Tensor[[8, 16], pl.BF16]]):
    for _ in pl.spmd(2):
        out[0:8, 0:16] = x[0:8, 0:16]  # bad


def test_a_store_needs_the_tensors_type():
    rejects(wrong_store_type, "PTO202", "FP32", "BF16", args=[X, X.astype(ml_dtypes.bfloat16)])


@pl.jit(auto_scope=False)
def use_after_scope(x: F32, out: pl.Out[F32]):
    with pl.scope():
        s = pl.create_tensor([8, 16], dtype=pl.FP32)
        for i in pl.spmd(8):
            s[i : i + 1, 0:16] = x[i : i + 1, 0:16]
    for i in pl.spmd(8):
        out[i : i + 1, 0:16] = s[i : i + 1, 0:16]  # bad


def test_use_after_scope():
    rejects(use_after_scope, "PTO101", "'s' is used after its scope closed", "created at")


@pl.jit
def scope_under_auto(x: F32, out: pl.Out[F32]):
    with pl.scope():  # bad
        for i in pl.spmd(8):
            out[i : i + 1, 0:16] = x[i : i + 1, 0:16]


def test_scope_needs_auto_scope_off():
    rejects(scope_under_auto, "PTO207", "auto_scope=False")


@pl.jit(auto_scope=False)
def identity(x: F32, out: pl.Out[F32]):
    for i in pl.spmd(8):
        out[i : i + 1, 0:16] = x[i : i + 1, 0:16]


@pytest.mark.parametrize(
    ("args", "part"),
    [
        ([X.astype(np.float16), X.copy()], "element type FP16, expected FP32"),
        ([X[:4], X.copy()], "axis 0: 4 against 8"),
        ([X.reshape(-1), X.copy()], "rank 1"),
        ([X.astype(np.float64), X.copy()], "float64, which the language does not have"),
        ([X], "takes 2 arguments"),
        ([[1.0], X.copy()], "must be an array"),
    ],
)
def test_wrong_arguments(args, part):
    with pytest.raises(InputError, match="PTO010") as caught:
        run_kernel(identity, args, RunOptions(), [])
    assert part in str(caught.value) and caught.value.hint


def test_outputs_may_be_left_out():
    np.testing.assert_array_equal(identity(X), X)
    out = np.zeros_like(X)
    assert identity(X, out) is None
    np.testing.assert_array_equal(out, X)


@pl.jit(auto_scope=False)
def writes_input(x: F32, out: pl.Out[F32]):
    for i in pl.spmd(8):
        x[i : i + 1, 0:16] = pl.full([1, 16], dtype=pl.FP32, value=7.0)
    for i in pl.spmd(8):
        out[i : i + 1, 0:16] = x[i : i + 1, 0:16]


def test_the_device_works_on_its_own_copy_of_an_input():
    mine = X.copy()
    np.testing.assert_array_equal(writes_input(mine), np.full((8, 16), 7.0, np.float32))
    np.testing.assert_array_equal(mine, X)


@pl.jit(auto_scope=False)
def partly_written(x: F32, out: pl.Out[F32]):
    for i in pl.spmd(3):
        out[i : i + 1, 0:8] = x[i : i + 1, 0:8]


def test_written_elements_are_known():
    result = run_kernel(partly_written, [X, X.copy()], RunOptions(), [])
    mask = np.zeros((8, 16), bool)
    mask[:3, :8] = True
    np.testing.assert_array_equal(result.written["out"], mask)
    assert not result.outputs["out"][~mask].any()
