"""A comment with a reason accepts a finding on its line; one without a reason, or that meets nothing, is found."""

from __future__ import annotations

from typing import Any

import numpy as np

import pto_sim.language as pl
from pto_sim.testing import run

T = pl.Tensor[[16, 16], pl.FP32]
X = np.ones((16, 16), np.float32)


@pl.jit
def accepted(x: T, out: pl.Out[T]):
    for b in pl.spmd(2):
        out[0:8, :] = pl.mul(x[b * 8 : b * 8 + 8, :], pl.cast(b, pl.INT32))  # pto-sim: ignore[PTO402, PTO433] last wins
    return out


@pl.jit
def without_reason(x: T, out: pl.Out[T]):
    for b in pl.spmd(2):
        out[0:8, :] = pl.mul(x[b * 8 : b * 8 + 8, :], pl.cast(b, pl.INT32))  # pto-sim: ignore[PTO433]
    return out


@pl.jit
def another_code(x: T, out: pl.Out[T]):
    for b in pl.spmd(2):
        out[0:8, :] = pl.mul(x[b * 8 : b * 8 + 8, :], pl.cast(b, pl.INT32))  # pto-sim: ignore[PTO431] not this one
    return out


@pl.jit
def not_needed(x: T, out: pl.Out[T]):
    for b in pl.spmd(2):
        out[b * 8 : b * 8 + 8, :] = x[b * 8 : b * 8 + 8, :]  # pto-sim: ignore[PTO433] they are apart
    return out


def codes(kernel: Any) -> list[str]:
    return [
        finding.code
        for finding in run(kernel, [X, np.zeros_like(X)], timing=False).findings
        if finding.code != "PTO402"
    ]


def test_a_reason_accepts_the_finding() -> None:
    assert codes(accepted) == []


def test_without_a_reason_it_stays() -> None:
    assert codes(without_reason) == ["PTO433", "PTO450"]


def test_another_code_is_not_accepted() -> None:
    assert codes(another_code) == ["PTO433", "PTO451"]


def test_a_comment_that_meets_nothing_is_found() -> None:
    (finding,) = run(not_needed, [X, np.zeros_like(X)], timing=False).findings
    assert (finding.code, finding.severity) == ("PTO451", "info")
    assert finding.message == "PTO433 was not found on this line"
    line = not_needed.site.line + 3
    assert finding.site.endswith(f"test_suppressions.py:{line}")
