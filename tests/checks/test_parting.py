"""A run that compares the profiles names the first operator whose bits differ, and is silent where none does."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from pto_sim import language as pl
from pto_sim.checks import new_checks
from pto_sim.engine import run_kernel
from pto_sim.program.options import RunOptions

SHAPE = [8, 16]


@pl.jit
def rounds_up(x: pl.Tensor[[16, 16], pl.FP32], out: pl.Out[pl.Tensor[[16, 16], pl.FP16]]):
    for block in pl.spmd(2):
        tile = pl.load(x, [block * 8, 0], SHAPE)
        exact = pl.cast(pl.add(tile, 0.0), pl.FP16, mode="rint")
        again = pl.add(pl.cast(exact, pl.FP32), tile)
        pl.store(pl.cast(again, pl.FP16, mode="ceil"), [block * 8, 0], out)  # parts


@pl.jit
def rounds_to_nearest(x: pl.Tensor[[16, 16], pl.FP32], out: pl.Out[pl.Tensor[[16, 16], pl.FP16]]):
    for block in pl.spmd(2):
        pl.store(pl.cast(pl.load(x, [block * 8, 0], SHAPE), pl.FP16, mode="rint"), [block * 8, 0], out)


def found(kernel, numerics, profile_diff=True):
    # 1 + 2^-12 lies between the FP16 values 1 and 1 + 2^-10, nearer to 1: up gives the second, nearest the first.
    x = np.ones((16, 16), np.float32)
    x[9, 3] += 2.0**-12
    checks = new_checks()
    options = RunOptions(numerics=numerics, profile_diff=profile_diff, lanes=1)
    outputs = run_kernel(kernel, [x, np.zeros((16, 16), np.float16)], options, checks).outputs
    return [f for check in checks for f in check.findings() if f.code == "PTO421"], outputs["out"]


@pytest.mark.parametrize(
    ("numerics", "message"),
    [
        ("a2a3", "pl.cast at [1, 3]: a2a3 gives 2.001953125, cpu-sim 2.0 of block 1"),
        ("cpu-sim", "pl.cast at [1, 3]: cpu-sim gives 2.0, a2a3 2.001953125 of block 1"),
    ],
)
def test_the_first_operator_that_parts_is_named_with_both_values(numerics, message):
    findings, out = found(rounds_up, numerics)
    lines = Path(__file__).read_text(encoding="utf-8").splitlines()
    wanted = next(i for i, line in enumerate(lines, 1) if line.endswith("# parts"))
    assert [(f.message, f.severity) for f in findings] == [(message, "info")]
    assert f"test_parting.py:{wanted}" in findings[0].site
    assert (out == found(rounds_up, numerics, profile_diff=False)[1]).all()


def test_silent_where_no_operator_parts_and_where_nobody_asked():
    assert found(rounds_to_nearest, "a2a3")[0] == []
    assert found(rounds_up, "a2a3", profile_diff=False)[0] == []


@pl.jit
def compares(x: pl.Tensor[[16, 16], pl.FP32], out: pl.Out[pl.Tensor[[16, 16], pl.FP32]]):
    with pl.at(level=pl.Level.CORE_GROUP):
        tile = pl.load(x, [0, 0], [16, 16])
        tmp = pl.create_tile([1, 32], dtype=pl.UINT8)
        pl.store(pl.sel(pl.cmp(tile, tile, cmp_type=0), tile, pl.neg(tile), tmp), [0, 0], out)


def test_operators_with_masks_run_in_both_profiles():
    x = np.arange(256, dtype=np.float32).reshape(16, 16)
    for numerics in ("a2a3", "cpu-sim"):
        options = RunOptions(numerics=numerics, lanes=1)
        plain = run_kernel(compares, [x, np.zeros_like(x)], options, ()).outputs["out"]
        options = RunOptions(numerics=numerics, profile_diff=True, lanes=1)
        assert (run_kernel(compares, [x, np.zeros_like(x)], options, ()).outputs["out"] == plain).all()
