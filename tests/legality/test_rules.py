"""Each static rule: a minimal kernel that breaks it, the line that is named, and its fix, which must be silent."""

from __future__ import annotations

import ast
import textwrap
from pathlib import Path

import numpy as np
import pytest

import pto_sim.language as pl
from pto_sim.engine import run_kernel
from pto_sim.frontend.legality import check_source, problems, style_problems
from pto_sim.program.errors import KernelError
from pto_sim.program.options import RunOptions

CASES = {
    "PTO220": ("n = 1\nn += 1", "n = 1\nn = n + 1", 3),
    "PTO221": ("n = 1\nif 0 < n < 8:\n    pass", "n = 1\nif 0 < n and n < 8:\n    pass", 3),
    "PTO222": (
        "with pl.cluster(), pl.at(level=1):\n    pass",
        "with pl.cluster():\n    with pl.at(level=1):\n        pass",
        2,
    ),
    "PTO223": ("with pl.at(level=1) as t[0]:\n    pass", "with pl.at(level=1) as a:\n    pass\nt[0] = a", 2),
    "PTO224": ("for i in pl.parallel(8):\n    break", "for i in pl.range(8):\n    break", 3),
    "PTO225": (
        "for (x,) in pl.while_(init_values=(1,)):\n    y = pl.yield_(x)",
        "for (x,) in pl.while_(init_values=(1,)):\n    pl.cond(x < 8)\n    y = pl.yield_(x)",
        3,
    ),
    "PTO226": (
        "for (x,) in pl.while_():\n    pl.cond(x < 8)\n    y = pl.yield_(x)",
        "for (x,) in pl.while_(init_values=(1,)):\n    pl.cond(x < 8)\n    y = pl.yield_(x)",
        2,
    ),
    "PTO227": (
        "for i, (x,) in pl.range(4, init_values=(1,)):\n    pl.yield_()",
        "for i, (x,) in pl.range(4, init_values=(1,)):\n    y = pl.yield_(x)",
        3,
    ),
    "PTO228": ("n = t[0]\nfor i in pl.unroll(n):\n    pass", "for i in pl.unroll(4):\n    pass", 3),
    "PTO207": ("with pl.scope():\n    pass", "with pl.at(level=1):\n    pass", 2),
    "PTO233": (
        "o = 1\nfor i in pl.spmd(4, optimizations=o):\n    pass",
        "for i in pl.spmd(4, optimizations=[]):\n    pass",
        3,
    ),
}
STYLE = {
    "PTO231": (
        "h = x\nwith pl.scope():\n    h = moe(h)\ny = pl.neg(h)",
        "h = x\nwith pl.scope():\n    moe(h)\ny = pl.neg(h)",
        4,
    ),
    "PTO232": ("w = x[0:4]\nmoe(w)", "w = pl.slice(x, [4, 4], [0, 0])\nmoe(w)", 2),
    "PTO234": (
        "q = pl.create_tensor([4], dtype=pl.FP32)\nwith pl.scope():\n    moe(q)",
        "with pl.scope():\n    q = pl.create_tensor([4], dtype=pl.FP32)\n    moe(q)",
        2,
    ),
}


def function(body: str) -> ast.FunctionDef:
    tree = ast.parse("def kernel(x, t):\n" + textwrap.indent(body, "    "))
    found = tree.body[0]
    assert isinstance(found, ast.FunctionDef)
    return found


@pytest.mark.parametrize("code", list(CASES))
def test_rule(code: str) -> None:
    bad, fix, line = CASES[code]
    with pytest.raises(KernelError, match=rf"{code} at kernel\.py:{line}: ") as caught:
        check_source(function(bad), auto_scope=True, file="kernel.py")
    assert caught.value.hint
    assert list(problems(function(fix), auto_scope=True)) == []


@pytest.mark.parametrize("code", list(STYLE))
def test_style(code: str) -> None:
    bad, fix, line = STYLE[code]
    found = list(style_problems(function(bad), frozenset({"moe"})))
    assert [(p.code, p.line) for p in found] == [(code, line)]
    assert list(style_problems(function(fix), frozenset({"moe"}))) == []


def test_scratch_that_a_later_scope_reads_may_stand_before_the_first() -> None:
    body = "q = pl.create_tensor([4], dtype=pl.FP32)\nwith pl.scope():\n    moe(q)\nwith pl.scope():\n    moe(q)"
    assert list(style_problems(function(body), frozenset())) == []


def test_scratch_above_an_unrelated_block_names_the_line_to_move_to() -> None:
    body = "q = pl.create_tensor([4], dtype=pl.FP32)\nwith pl.at(level=1):\n    pass\nmoe(q)"
    (found,) = style_problems(function(body), frozenset())
    assert found.code == "PTO234" and "before line 5" in found.hint


@pytest.mark.parametrize("file", ["decode_sparse_attn.py", "decode_sparse_attn_swa.py", "decode_sparse_attn_hca.py"])
def test_our_kernels_are_clean(file: str, cli_lint) -> None:
    path = Path(__file__).resolve().parents[2] / "kernels" / "dsv4" / file
    assert cli_lint(path) == []


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
