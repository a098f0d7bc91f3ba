"""Gathers and scatters as kernels call them: forms, arguments, errors at the author's line."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import pto_sim.language as pl
from pto_sim.engine.run import run_kernel
from pto_sim.program.errors import KernelError
from pto_sim.program.options import RunOptions

RNG = np.random.default_rng(5)
X = RNG.standard_normal((8, 16)).astype(np.float32)
BLOCK = pl.Level.CORE_GROUP


def outputs(kernel: Any, *arrays: np.ndarray, numerics: str = "a2a3") -> dict[str, np.ndarray]:
    return run_kernel(kernel, list(arrays), RunOptions(numerics=numerics), []).outputs


@pl.jit
def scatters(
    x: pl.Tensor[[8, 16], pl.FP32], index: pl.Tensor[[8, 4], pl.INT32], src: pl.Tensor[[8, 4], pl.FP32],
    half: pl.Tensor[[8, 8], pl.FP32], kept: pl.Out[pl.Tensor[[8, 16], pl.FP32]],
    columns: pl.Out[pl.Tensor[[8, 16], pl.FP32]], cleared: pl.Out[pl.Tensor[[8, 16], pl.FP32]],
):  # fmt: skip
    with pl.at(level=BLOCK):
        kept[:] = pl.scatter(x, dim=-1, index=index, src=src)
        columns[:] = pl.scatter(half, mask_pattern=pl.tile.MaskPattern.P1010, dst=x)
        tile, odd = pl.load(x, [0, 0], [8, 16]), pl.load(half, [0, 0], [8, 8])
        pl.store(pl.tile.scatter_mask(tile, odd, pl.tile.MaskPattern.P1010), [0, 0], cleared)


def test_the_tensor_forms_keep_what_they_do_not_write():
    index = RNG.integers(0, 16, (8, 4)).astype(np.int32)
    src, half = (RNG.standard_normal(shape).astype(np.float32) for shape in ((8, 4), (8, 8)))
    found = outputs(scatters, X, index, src, half, *(np.zeros_like(X) for _ in range(3)))
    expected = X.copy()
    for k in range(4):
        expected[np.arange(8), index[:, k]] = src[:, k]
    np.testing.assert_array_equal(found["kept"], expected)
    expected = X.copy()
    expected[:, 1::2] = half
    np.testing.assert_array_equal(found["columns"], expected)
    expected[:, 0::2] = 0
    np.testing.assert_array_equal(found["cleared"], expected)


@pl.jit
def updates(
    x: pl.Tensor[[8, 16], pl.FP32], index: pl.Tensor[[2, 2], pl.INT32], src: pl.Tensor[[4, 16], pl.FP32],
    a: pl.Out[pl.Tensor[[8, 16], pl.FP32]], b: pl.Out[pl.Tensor[[8, 16], pl.FP32]],
):  # fmt: skip
    with pl.at(level=BLOCK):
        a[:] = pl.scatter_update(x, -2, index, src)
        tile = pl.load(x, [0, 0], [8, 16])
        places, rows = pl.load(index, [0, 0], [2, 2]), pl.load(src, [0, 0], [4, 16])
        pl.store(pl.tile.scatter_update(tile, dim=-2, index=places, src=rows), [0, 0], b)


def test_rows_by_index_in_both_dialects():
    index, src = np.array([[7, 0], [7, 3]], np.int32), RNG.standard_normal((4, 16)).astype(np.float32)
    expected = X.copy()
    for k, row in enumerate([7, 0, 7, 3]):
        expected[row] = src[k]
    found = outputs(updates, X, index, src, np.zeros_like(X), np.zeros_like(X))
    np.testing.assert_array_equal(found["a"], expected)
    np.testing.assert_array_equal(found["b"], expected)


@pl.jit
def tables(
    pool: pl.Tensor[[32, 16], pl.FP32], index: pl.Tensor[[1, 8], pl.INT32], rows: pl.Out[pl.Tensor[[8, 16], pl.FP32]],
    elements: pl.Out[pl.Tensor[[1, 8], pl.FP32]], scattered: pl.InOut[pl.Tensor[[8, 16], pl.FP32]],
):  # fmt: skip
    with pl.at(level=BLOCK):
        at = pl.load(index, [0, 0], [1, 8])
        pl.store(pl.mgather(pool, at, gather_oob="clamp"), [0, 0], rows)
        picked = pl.tile.mgather(pool, at, coalesce="elem", gather_oob="zero")
        pl.store(picked, [0, 0], elements)
        scattered = pl.mscatter(picked, pl.tile.arange(100, [1, 8]), scattered)


def test_tables_in_gm():
    pool = RNG.standard_normal((32, 16)).astype(np.float32)
    index = np.array([[0, 31, 32, -1, 5, 5, 512, 17]], np.int32)
    before = RNG.standard_normal((8, 16)).astype(np.float32)
    found = outputs(tables, pool, index, np.zeros((8, 16), np.float32), np.zeros((1, 8), np.float32), before.copy())
    np.testing.assert_array_equal(found["rows"], pool[[0, 31, 31, 31, 5, 5, 31, 17]])
    elements = np.where((index >= 0) & (index < 512), pool.reshape(-1)[index.clip(0, 511)], 0)
    np.testing.assert_array_equal(found["elements"], elements)
    expected = before.reshape(-1)
    expected[100:108] = elements
    np.testing.assert_array_equal(found["scattered"].reshape(-1), expected)


@pl.jit
def l1_table(
    pool: pl.Tensor[[32, 16], pl.FP32], index: pl.Tensor[[1, 16], pl.INT32], eye: pl.Tensor[[16, 16], pl.FP32],
    out: pl.Out[pl.Tensor[[16, 16], pl.FP32]],
):  # fmt: skip
    with pl.at(level=BLOCK):
        rows = pl.mgather(pool, index, target_memory=pl.Mem.Mat)
        pl.store(pl.matmul(pl.load(eye, [0, 0], [16, 16], target_memory=pl.Mem.Mat), rows), [0, 0], out)


def test_a_gather_into_l1_feeds_a_product():
    pool, index = RNG.standard_normal((32, 16)).astype(np.float32), RNG.permutation(32)[None, :16].astype(np.int32)
    found = outputs(l1_table, pool, index, np.eye(16, dtype=np.float32), np.zeros((16, 16), np.float32))
    np.testing.assert_array_equal(found["out"], pool[index[0]])


@pl.jit
def pages(
    pool: pl.Tensor[[32, 16], pl.FP32], index: pl.Tensor[[1, 5], pl.INT32], pages_: pl.Tensor[[4], pl.INT32],
    out: pl.Out[pl.Tensor[[8, 8], pl.FP32]],
):  # fmt: skip
    with pl.at(level=BLOCK):
        rows = pl.paged_gather(pool, index, pages_, block_size=8, size=8, max_indices=8, space=pl.Mem.Vec, col_off=4)
        out[0:5, :] = rows[0:5, :]


def test_rows_of_a_paged_pool():
    pool, index = RNG.standard_normal((32, 16)).astype(np.float32), np.array([[0, 9, 31, 8, 17]], np.int32)
    table = np.array([2, 0, 3, 1], np.int32)
    found = outputs(pages, pool, index, table, np.zeros((8, 8), np.float32))
    physical = table[index[0] // 8] * 8 + index[0] % 8
    np.testing.assert_array_equal(found["out"][:5], pool[physical, 4:12])


@pl.jit
def matches(
    x: pl.Tensor[[8, 16], pl.FP32], found: pl.Out[pl.Tensor[[8, 8], pl.INT32]],
    count: pl.Out[pl.Tensor[[1, 8], pl.UINT32]],
):  # fmt: skip
    with pl.at(level=BLOCK):
        where, many = pl.gather(x, kvalue=2.0, cmp_mode="eq", out_cols=8, offset=3, count_dtype=pl.UINT32)
        found[:] = where
        count[:] = many


def test_positions_by_comparison():
    x = np.zeros((8, 16), np.float32)
    x[:, 3], x[5, [1, 9]] = 2, 2
    found = outputs(matches, x, np.zeros((8, 8), np.int32), np.zeros((1, 8), np.uint32))
    assert found["count"].tolist() == [[1, 1, 1, 1, 1, 3, 1, 1]]
    assert found["found"][5, :3].tolist() == [4, 6, 12]
    assert (found["found"][[0, 1, 7], 0] == 6).all()


@pl.jit
def leading_axes(
    x: pl.Tensor[[4, 3, 8], pl.FP32], index: pl.Tensor[[2, 3, 8], pl.INT32], out: pl.Out[pl.Tensor[[2, 3, 8], pl.FP32]]
):
    with pl.at(level=BLOCK):
        out[:] = pl.gather(x, dim=-3, index=index)


def test_a_gather_along_the_first_axis():
    x, index = RNG.standard_normal((4, 3, 8)).astype(np.float32), RNG.integers(0, 4, (2, 3, 8)).astype(np.int32)
    found = outputs(leading_axes, x, index, np.zeros((2, 3, 8), np.float32))
    np.testing.assert_array_equal(found["out"], np.take_along_axis(x, index, 0))


@pytest.mark.parametrize("numerics", ["a2a3", "cpu-sim"])
@pytest.mark.parametrize("value", [16, -1])
def test_a_scatter_outside_its_destination_is_an_error_in_both_profiles(numerics: str, value: int):
    index = np.zeros((8, 4), np.int32)
    index[2, 3] = value
    arrays = [X, index, np.zeros((8, 4), np.float32), np.zeros((8, 8), np.float32), X.copy(), X.copy(), X.copy()]
    with pytest.raises(KernelError) as caught:
        outputs(scatters, *arrays, numerics=numerics)
    text = str(caught.value)
    assert caught.value.code == "PTO205" and f"scatter index {value} at [2, 3]" in text
    assert "test_gathers_scatters.py" in text


def test_a_table_without_bounds_mode_is_an_error():
    @pl.jit
    def outside(
        pool: pl.Tensor[[4, 8], pl.FP32], i: pl.Tensor[[1, 8], pl.INT32], out: pl.Out[pl.Tensor[[8, 8], pl.FP32]]
    ):
        with pl.at(level=BLOCK):
            pl.store(pl.mgather(pool, pl.load(i, [0, 0], [1, 8])), [0, 0], out)

    index = np.array([[0, 1, 2, 3, 4, 0, 0, 0]], np.int32)
    with pytest.raises(KernelError, match=r"gather index 4 at \[0, 4\] .* outside 0..3"):
        outputs(outside, np.zeros((4, 8), np.float32), index, np.zeros((8, 8), np.float32))


WRONG = [
    ("mask_pattern=9, dst=x", "no such mask pattern"),
    ("mask_pattern=1", "an index or a pattern"),
    ("dim=0, index=index, src=src", "along the last axis"),
]


@pytest.mark.parametrize(("arguments", "text"), WRONG)
def test_wrong_forms_of_a_scatter(arguments: str, text: str, tmp_path: Any):
    source = (
        "import pto_sim.language as pl\n@pl.jit\n"
        "def k(x: pl.Tensor[[8, 16], pl.FP32], index: pl.Tensor[[8, 4], pl.INT32],\n"
        "      src: pl.Tensor[[8, 4], pl.FP32], out: pl.Out[pl.Tensor[[8, 16], pl.FP32]]):\n"
        f"    with pl.at(level=pl.Level.CORE_GROUP):\n        out[:] = pl.scatter(x, {arguments})\n"
    )
    path = tmp_path / "wrong.py"
    path.write_text(source)
    space: dict[str, Any] = {}
    exec(compile(source, str(path), "exec"), space)
    index, src = np.zeros((8, 4), np.int32), np.zeros((8, 4), np.float32)
    with pytest.raises(KernelError, match=text):
        outputs(space["k"], X, index, src, np.zeros_like(X))


@pl.jit
def gathered_from_a_part(
    x: pl.Tensor[[8, 16], pl.FP32], index: pl.Tensor[[8, 8], pl.INT32], out: pl.Out[pl.Tensor[[8, 8], pl.FP32]]
):
    with pl.at(level=pl.Level.CORE_GROUP):
        part = pl.slice(x, [8, 16], [0, 0], valid_shape=[8, 10])
        out[:] = pl.gather(part, dim=-1, index=index[:, :])


def test_a_gather_reads_a_partly_valid_source_where_its_index_points():
    x, index = RNG.standard_normal((8, 16)).astype(np.float32), RNG.integers(0, 10, (8, 8)).astype(np.int32)
    out = np.zeros((8, 8), np.float32)
    gathered_from_a_part(x, index, out)
    np.testing.assert_array_equal(out, np.take_along_axis(x, index, axis=1))


@pl.jit
def gathered_by_a_part(
    x: pl.Tensor[[8, 16], pl.FP32], index: pl.Tensor[[8, 8], pl.INT32], out: pl.Out[pl.Tensor[[8, 8], pl.FP32]]
):
    with pl.at(level=pl.Level.CORE_GROUP):
        part = pl.slice(index, [8, 8], [0, 0], valid_shape=[5, 8])
        out[:] = pl.gather(x[:, :], dim=-1, index=part)


def test_a_gather_needs_its_whole_index():
    with pytest.raises(KernelError, match="reads its whole index"):
        gathered_by_a_part(np.zeros((8, 16), np.float32), np.zeros((8, 8), np.int32), np.zeros((8, 8), np.float32))
