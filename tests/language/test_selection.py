"""pl.tile.sels: a constant takes the element type of the tile (pypto: ir/op/tile_ops.py, retype_constants)."""

import numpy as np
import pytest

import pto_sim.language as pl
from pto_sim.engine import run_kernel
from pto_sim.program.dtypes import DTYPES
from pto_sim.program.errors import KernelError
from pto_sim.program.options import RunOptions


def selected(dtype: str, number: float) -> np.ndarray:
    """Even columns of the source 100 + column, odd ones the number: the mask's bits alternate from bit 0 on."""
    kind = DTYPES[dtype]

    @pl.jit
    def kernel(a: pl.Tensor[[2, 32], kind], mask: pl.Tensor[[2, 32], pl.UINT8], out: pl.Out[pl.Tensor[[2, 32], kind]]):
        with pl.at(level=pl.Level.CORE_GROUP):
            scratch = pl.create_tile([1, 32], dtype=pl.UINT8)
            words = pl.load(mask, [0, 0], [2, 32])
            pl.store(pl.tile.sels(words, pl.load(a, [0, 0], [2, 32]), scratch, number), [0, 0], out)

    a = np.tile(100 + np.arange(32), (2, 1)).astype(kind.numpy)
    done = run_kernel(kernel, [a, np.full((2, 32), 0x55, np.uint8), np.zeros_like(a)], RunOptions(), [])
    return done.outputs["out"]


@pytest.mark.parametrize(
    ("dtype", "number", "stored"),
    [
        ("INT16", -3.0, -3),
        ("INT32", 7.0, 7),
        ("UINT32", -3.0, 2**32 - 3),
        ("UINT16", -1, 2**16 - 1),
        ("UINT16", 0x8007, 0x8007),
        ("FP32", 2, 2.0),
    ],
)
def test_a_constant_takes_the_type_of_the_tile(dtype: str, number: float, stored: float) -> None:
    out = selected(dtype, number)
    np.testing.assert_array_equal(out[:, ::2], np.tile(100 + np.arange(0, 32, 2), (2, 1)))
    assert (out[:, 1::2] == stored).all()


@pytest.mark.parametrize(("dtype", "number"), [("INT32", 2.5), ("UINT16", -(2**15) - 1), ("UINT16", 2**16)])
def test_a_constant_that_the_type_cannot_hold_is_refused(dtype: str, number: float) -> None:
    with pytest.raises(KernelError, match=r"PTO20[25]"):
        selected(dtype, number)
