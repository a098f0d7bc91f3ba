"""A product that other products alone read is cut with its output stationary.

[192, 128] x [128, 192] of BF16 has more elements than L0C holds. pypto (auto_tile_matmul_l0_pass.cpp) cuts it into
blocks of [192, 128] with all of K, A kept in L0A; for a result that stays in L1 it chooses again without keeping A, and
both operands of a block then share L0A and L0B with the next one: 64 of K at a time (l0_tile_chooser.cpp).
"""

from __future__ import annotations

from typing import Any

import ml_dtypes
import numpy as np
import pytest

import pto_sim.language as pl
from pto_sim.engine import run_kernel
from pto_sim.lowering.cube_ops import cube_steps, matmul_shape
from pto_sim.program.options import RunOptions

A = pl.Tensor[[192, 128], pl.BF16]
B = pl.Tensor[[128, 192], pl.BF16]
E = pl.Tensor[[192, 16], pl.BF16]
OUT = pl.Tensor[[192, 16], pl.FP32]
WIDE = pl.Tensor[[192, 192], pl.FP32]
BLOCK = pl.Level.CORE_GROUP


@pl.jit
def by_name(a: A, b: B, e: E, out: pl.Out[OUT], wide: pl.Out[WIDE]):
    with pl.at(level=BLOCK):
        c = pl.matmul(a, b, out_dtype=pl.FP32)
        d = pl.cast(c, pl.BF16, mode="rint")
        out[:] = pl.matmul(d, e, out_dtype=pl.FP32)


@pl.jit
def in_one_expression(a: A, b: B, e: E, out: pl.Out[OUT], wide: pl.Out[WIDE]):
    with pl.at(level=BLOCK):
        out[:] = pl.matmul(pl.cast(pl.matmul(a, b, out_dtype=pl.FP32), pl.BF16, mode="rint"), e, out_dtype=pl.FP32)


@pl.jit
def stored(a: A, b: B, e: E, out: pl.Out[OUT], wide: pl.Out[WIDE]):
    with pl.at(level=BLOCK):
        wide[:] = pl.matmul(a, b, out_dtype=pl.FP32)


@pl.jit
def stored_too(a: A, b: B, e: E, out: pl.Out[OUT], wide: pl.Out[WIDE]):
    with pl.at(level=BLOCK):
        c = pl.matmul(a, b, out_dtype=pl.FP32)
        d = pl.cast(c, pl.BF16, mode="rint")
        out[:] = pl.matmul(d, e, out_dtype=pl.FP32)
        wide[:] = c


def operands() -> list[np.ndarray]:
    """a @ b is 0 but for roundings; e picks the first 16 columns of what it multiplies."""
    rng = np.random.default_rng(4)
    a, b = (rng.standard_normal(shape).astype(ml_dtypes.bfloat16) for shape in ((192, 64), (64, 192)))
    return [np.hstack([a, a]), np.vstack([b, -b]), np.eye(192, 16).astype(ml_dtypes.bfloat16)]


def run(kernel: Any) -> Any:
    return run_kernel(kernel, [*operands(), np.zeros((192, 16), np.float32), np.zeros((192, 192), np.float32)],
                      RunOptions(), [])  # fmt: skip


CUTS = [(by_name, 64), (in_one_expression, 64), (stored, 128), (stored_too, 128)]


@pytest.mark.parametrize(("kernel", "length"), CUTS)
def test_who_reads_a_product_decides_its_cut(kernel: Any, length: int) -> None:
    program = run(kernel).program
    product = next(signature for signature in program.signatures if signature.op == "matmul")
    assert dict(product.attrs)["k_split"] == length


def test_the_chained_product_is_a_sum_of_two_chains() -> None:
    """The second half of K is the first with the other sign: two chains cancel, one of 128 keeps its roundings."""
    assert not run(by_name).outputs["out"].any()
    assert run(stored).outputs["wide"].any()


def test_the_cut_is_the_one_that_is_timed() -> None:
    """[192, 192] in blocks of [192, 128]: two blocks, each of two steps along K."""
    program = run(by_name).program
    product = next(signature for signature in program.signatures if signature.op == "matmul")
    steps = [(step.m, step.n, step.k) for step in cube_steps(matmul_shape(product))]
    assert sorted(steps) == [(192, 64, 64)] * 2 + [(192, 128, 64)] * 2
