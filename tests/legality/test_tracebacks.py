"""Errors stand at the author's line, with the traceback through inline functions, whoever raised them."""

from __future__ import annotations

import inspect
import traceback
from typing import Any

import numpy as np
import pytest

import pto_sim.language as pl
from pto_sim.engine import run_kernel
from pto_sim.program.errors import KernelError
from pto_sim.program.options import RunOptions

F = pl.Tensor[[16, 32], pl.FP32]
ZERO = 0


@pl.jit.inline
def divide(x: F, out: F):
    out[0:8, :] = x[0 : 8 // ZERO, :]  # python
    return out


@pl.jit.inline
def nothing(x: F, out: F):
    out[0:8, :] = pl.reshape(pl.add(x, x), None)  # operands
    return out


@pl.jit.inline
def unequal(x: F, out: F):
    out[0:8, :] = pl.add(x[0:8, :], x[0:4, :])  # rule
    return out


@pl.jit
def calls_divide(x: F, out: pl.Out[F]):
    with pl.at(level=pl.Level.CORE_GROUP):
        out = divide(x, out)  # call


@pl.jit
def calls_nothing(x: F, out: pl.Out[F]):
    with pl.at(level=pl.Level.CORE_GROUP):
        out = nothing(x, out)  # call


@pl.jit
def calls_unequal(x: F, out: pl.Out[F]):
    with pl.at(level=pl.Level.CORE_GROUP):
        out = unequal(x, out)  # call


def line(kernel: Any, mark: str) -> int:
    lines, start = inspect.getsourcelines(kernel.function)
    return start + next(i for i, text in enumerate(lines) if f"# {mark}" in text)


def error(kernel: Any) -> Exception:
    with pytest.raises(Exception) as caught:
        run_kernel(kernel, [np.ones((16, 32), np.float32), np.zeros((16, 32), np.float32)], RunOptions(), [])
    return caught.value


@pytest.mark.parametrize(
    ("kernel", "inline", "mark"),
    [
        (calls_divide, divide, "python"),
        (calls_nothing, nothing, "operands"),
        (calls_unequal, unequal, "rule"),
    ],
)
def test_the_traceback_passes_the_call_and_the_inline_functions_line(kernel: Any, inline: Any, mark: str) -> None:
    found = error(kernel)
    mine = [frame.lineno for frame in traceback.extract_tb(found.__traceback__) if frame.filename == __file__]
    assert mine[-2:] == [line(kernel, "call"), line(inline, mark)]
    if isinstance(found, KernelError):
        assert found.site is not None and found.site.line == line(inline, mark) and found.site.function == inline.name


def test_an_error_of_python_stays_what_it_is() -> None:
    assert isinstance(error(calls_divide), ZeroDivisionError)


def test_senseless_operands_are_shown() -> None:
    found = error(calls_nothing)
    assert isinstance(found, KernelError) and found.code == "PTO260"
    assert "pl.reshape cannot take these operands" in found.rule and "shape=None" in found.values
