"""Served names for the duration of a test."""

import pytest

from pto_sim.compat import served_names


@pytest.fixture
def builds():
    """pypto's and golden's names are served; gives what the test compiles."""
    with served_names() as made:
        yield made


@pytest.fixture
def double(builds):
    """A @pl.jit kernel with bare annotations: y = 2 x."""
    import pypto.language as pl

    @pl.jit
    def twice(x: pl.Tensor, y: pl.Out[pl.Tensor]):
        with pl.at(level=pl.Level.CORE_GROUP, name_hint="doubling"):
            y[:, :] = pl.mul(x[:, :], 2.0)
        return y

    return twice


@pytest.fixture
def add_program(builds):
    """A @pl.program: c = a + b over 16 x 64."""
    import pypto.language as pl

    shape = [16, 64]

    @pl.program
    class AddProgram:
        @pl.function(type=pl.FunctionType.InCore)
        def tile_add(
            self,
            a: pl.Tensor[shape, pl.FP32],
            b: pl.Tensor[shape, pl.FP32],
            c: pl.Out[pl.Tensor[shape, pl.FP32]],
        ) -> pl.Tensor[shape, pl.FP32]:
            return pl.store(pl.add(pl.load(a, [0, 0], shape), pl.load(b, [0, 0], shape)), [0, 0], c)

        @pl.function(type=pl.FunctionType.Orchestration)
        def main(
            self,
            a: pl.Tensor[shape, pl.FP32],
            b: pl.Tensor[shape, pl.FP32],
            c: pl.Out[pl.Tensor[shape, pl.FP32]],
        ) -> pl.Tensor[shape, pl.FP32]:
            return self.tile_add(a, b, c)

    return AddProgram
