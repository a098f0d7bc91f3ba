"""An atomic addition into an output adds to what the caller put there, and to what the kernel stored before."""

from __future__ import annotations

import numpy as np

import pto_sim.language as pl

X = np.random.default_rng(3).standard_normal((16, 16)).astype(np.float32)


@pl.jit
def adds(x: pl.Tensor[[16, 16], pl.FP32], out: pl.Out[pl.Tensor[[16, 16], pl.FP32]]):
    with pl.at(level=pl.Level.CORE_GROUP):
        out[0:4, :] = pl.full([4, 16], pl.FP32, 1.0)
    with pl.at(level=pl.Level.CORE_GROUP):
        pl.store(pl.load(x, [0, 0], [16, 16]), [0, 0], out, atomic=pl.AtomicType.Add)


def test_the_callers_values_are_added_to():
    out = np.full((16, 16), 3, np.float32)
    adds(X, out)
    before = np.full((16, 16), 3, np.float32)
    before[:4] = 1
    np.testing.assert_array_equal(out, before + X)
