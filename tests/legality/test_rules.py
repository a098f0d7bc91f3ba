"""The lint for scope edges and scratch, and what the static rules leave alone."""

from __future__ import annotations

import textwrap
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import pto_sim.language as pl
from pto_sim.engine import run_kernel
from pto_sim.frontend.legality import Problem
from pto_sim.program.errors import KernelError
from pto_sim.program.options import RunOptions

Lint = Callable[[str], list[Problem]]

HEAD = """import pto_sim.language as pl

@pl.jit.inline
def moe(x):
    return x

@pl.jit(auto_scope=False)
def kernel(x, t):
"""
# The body of a kernel, its fix, and the line of the body that is named.
STYLE = {
    "PTO231": (
        "h = x\nwith pl.scope():\n    h = moe(h)\ny = moe(h)",
        "h = x\nwith pl.scope():\n    moe(h)\ny = moe(h)",
        3,
    ),
    "PTO232": ("w = x[0:4]\nmoe(w)", "w = pl.slice(x, [4, 4], [0, 0])\nmoe(w)", 1),
    "PTO234": (
        "q = pl.create_tensor([4], dtype=pl.FP32)\nwith pl.scope():\n    moe(q)",
        "with pl.scope():\n    q = pl.create_tensor([4], dtype=pl.FP32)\n    moe(q)",
        1,
    ),
}


def source(body: str) -> str:
    return HEAD + textwrap.indent(body, "    ")


@pytest.mark.parametrize("code", list(STYLE))
def test_style(code: str, lint: Lint) -> None:
    bad, fix, line = STYLE[code]
    assert [(p.code, p.line) for p in lint(source(bad))] == [(code, line + HEAD.count("\n"))]
    assert lint(source(fix)) == []


def test_scratch_that_a_later_scope_reads_may_stand_before_the_first(lint: Lint) -> None:
    body = "q = pl.create_tensor([4], dtype=pl.FP32)\nwith pl.scope():\n    moe(q)\nwith pl.scope():\n    moe(q)"
    assert lint(source(body)) == []


def test_scratch_above_an_unrelated_block_names_the_line_to_move_to(lint: Lint) -> None:
    body = "q = pl.create_tensor([4], dtype=pl.FP32)\nwith pl.cluster():\n    pass\nmoe(q)"
    (found,) = lint(source(body))
    assert found.code == "PTO234" and f"before line {4 + HEAD.count(chr(10))}" in found.hint


def test_our_kernels_are_clean(repository: Path, lint: Lint) -> None:
    files = sorted((repository / "kernels" / "dsv4").glob("*.py"))
    assert len(files) > 3
    assert {file.name: lint(file.read_text(encoding="utf-8")) for file in files} == {file.name: [] for file in files}


@pl.jit
def augmented(x: pl.Tensor[[8, 64], pl.FP32], y: pl.Out[pl.Tensor[[8, 64], pl.FP32]]):
    for _i in pl.spmd(1):
        n = 0
        n += 1
        y[n - 1 : n + 7, :] = x[:, :]


def test_a_kernel_is_checked_before_it_runs() -> None:
    x = np.zeros((8, 64), np.float32)
    with pytest.raises(KernelError, match="PTO220"):
        run_kernel(augmented, [x, x.copy()], RunOptions(), ())


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("y = pl.ad(x, x)", "did you mean pl.add?"),
        ("y = pl.cast(x, target_typ=pl.FP32)", "did you mean target_type=?"),
        ("y = pl.add(xx, t)", "did you mean x?"),
        ("y = pl.PadValue.maxi", "did you mean pl.PadValue.max?"),
        ("for i in pl.spmd(4, sync_strat=True):\n    moe(x)", "did you mean sync_start=?"),
        ("y = moe(z=x)", "moe(x)"),
    ],
)
def test_the_nearest_name_is_suggested(text: str, hint: str, lint: Lint) -> None:
    assert [p.hint for p in lint(source(text))] == [hint]


LEGAL = """
import pto_sim.language as pl
from elsewhere import other

N = 4
F = pl.Tensor[[16, 32], pl.FP32]

@pl.jit.incore
def step(x: F, out: pl.Out[F]):
    out[:, :] = pl.add(x, x)
    return out

@pl.jit(auto_scope=False)
def kernel(x: F, out: pl.Out[F]):
    tids = pl.array.create(N, pl.TASK_ID)
    for k in pl.range(N):
        with pl.at(level=pl.Level.CORE_GROUP, deps=[tids[i] for i in range(N) if i > 1]) as tid:
            if N > 2:
                t = pl.add(x, x)
            else:
                t = pl.mul(x, 2.0)
            out[:, :] = t
        tids[k] = tid
        last = k
    pl.static_print(f"{last}")
    with pl.spmd(N):
        out = other(x, out)
    with pl.scope():
        with pl.manual_scope():
            out = step(x, out)
            out = step(out, out)
    return out
"""


def test_legal_kernels_raise_no_alarm(lint: Lint) -> None:
    assert lint(LEGAL) == []
