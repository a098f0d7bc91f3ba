"""The rewrite keeps the author's lines: breakpoints, tracebacks and recorded sites point at them."""

import ast
import inspect
import sys
import textwrap
import traceback

import numpy as np
import pytest

import pto_sim.language as pl
from pto_sim.engine import run_kernel
from pto_sim.frontend.rewrite import rewrite
from pto_sim.frontend.statement_names import exposed_names
from pto_sim.program.options import RunOptions

N = 4


def line_of(kernel, text: str) -> int:
    lines, start = inspect.getsourcelines(kernel.function)
    return start + next(i for i, line in enumerate(lines) if text in line)


@pl.jit(auto_scope=False)
def with_breakpoint(x: pl.Tensor[[N, 8], pl.FP32], out: pl.Out[pl.Tensor[[N, 8], pl.FP32]]):
    for i in pl.spmd(N, name_hint="stop"):
        for j in pl.range(i, i + 1):
            if j >= 0:
                breakpoint()  # stop here
                y = pl.mul(x[j : j + 1, 0:8], 2.0)
                out[j : j + 1, 0:8] = y


def test_a_breakpoint_stops_at_the_authors_line(monkeypatch):
    stops = []

    def hook():
        frame = sys._getframe(1)
        stops.append((frame.f_code.co_filename, frame.f_lineno, "j" in frame.f_locals))

    monkeypatch.setattr(sys, "breakpointhook", hook)
    run_kernel(with_breakpoint, [np.ones((N, 8), np.float32)] * 2, RunOptions(lanes=1), [])
    assert stops == [(__file__, line_of(with_breakpoint, "stop here"), True)] * N


@pl.jit(auto_scope=False)
def divides_by_name(x: pl.Tensor[[N, 8], pl.FP32], out: pl.Out[pl.Tensor[[N, 8], pl.FP32]]):
    for i in pl.spmd(N, name_hint="fails"):
        if i >= 0:
            out[i : i + 1, 0:8] = x[0 : 1 // (N - 4), 0:8]  # fails here


def test_a_traceback_shows_the_authors_line():
    with pytest.raises(ZeroDivisionError) as caught:
        run_kernel(divides_by_name, [np.ones((N, 8), np.float32)] * 2, RunOptions(), [])
    last = traceback.extract_tb(caught.value.__traceback__)[-1]
    assert (last.filename, last.lineno) == (__file__, line_of(divides_by_name, "fails here"))
    assert last.line is not None and "1 // (N - 4)" in last.line


def test_recorded_sites_are_the_authors_lines():
    result = run_kernel(with_nothing_special, [np.ones((N, 8), np.float32)] * 2, RunOptions(), [])
    program = result.program
    sites = {
        program.signatures[op.signature].op: program.sites[program.signatures[op.signature].site]
        for op in program.streams[0].ops
    }
    assert sites["mul"].line == line_of(with_nothing_special, "pl.mul")
    assert sites["load"].line == line_of(with_nothing_special, "x[i")
    assert program.sites[program.tasks[0].site].line == line_of(with_nothing_special, "pl.spmd")


@pl.jit(auto_scope=False)
def with_nothing_special(x: pl.Tensor[[N, 8], pl.FP32], out: pl.Out[pl.Tensor[[N, 8], pl.FP32]]):
    with pl.spmd(N, name_hint="plain") as tid:  # noqa: F841
        i = pl.tile.get_block_idx()
        t = x[i : i + 1, 0:8]
        t = pl.mul(t, 2.0)
        out[i : i + 1, 0:8] = t


def test_the_with_form_runs_every_block_and_names_its_task():
    x = np.arange(N * 8, dtype=np.float32).reshape(N, 8)
    result = run_kernel(with_nothing_special, [x, np.zeros_like(x)], RunOptions(), [])
    np.testing.assert_array_equal(result.outputs["out"], x * 2)
    assert [task.blocks for task in result.program.tasks] == [N]


def test_constant_conditions_and_bounds_stay_plain_python():
    source = textwrap.dedent(
        """
        def f(x):
            if LIMIT > 3:
                x = 1
            for i in pl.range(LIMIT):
                x = i
            return x
        """
    )
    tree = ast.parse(source).body[0]
    text = ast.unparse(rewrite(tree))
    assert "if __pto.uniform(LIMIT > 3):" in text
    assert "for i in __pto.settled_loop(pl.range(LIMIT), ()):" in text
    assert "__pto.branch" not in text
    assert "__pto.loop" not in text


@pytest.mark.parametrize(
    ("source", "names"),
    [
        ("a = b\nc = a", {"b"}),
        ("if x:\n    y = 1\nz = y", {"x", "y"}),
        ("if x:\n    y = 1\nelse:\n    y = 2\nz = y", {"x"}),
        ("for i in n:\n    y = i\nz = y", {"n", "y"}),
        ("t[i] = v", {"t", "i", "v"}),
    ],
)
def test_exposed_names(source, names):
    assert exposed_names(ast.parse(source).body) == names


@pl.jit(auto_scope=False)
def logic(a: pl.Tensor[[N], pl.INT32], out: pl.Out[pl.Tensor[[N, 8], pl.FP32]]):
    for i in pl.spmd(N, name_hint="logic"):
        v = pl.read(a, [i])
        acc = pl.full([1, 8], dtype=pl.FP32, value=0.0)
        if v > 0 and v < 3:
            acc = pl.add(acc, 1.0)
        if v == 0 or not v < 3:
            acc = pl.add(acc, 2.0)
        out[i : i + 1, 0:8] = acc


def test_logical_operators_work_on_each_block():
    out = run_kernel(logic, [np.arange(N, dtype=np.int32), np.zeros((N, 8), np.float32)], RunOptions(), []).outputs[
        "out"
    ]
    assert out[:, 0].tolist() == [2.0, 1.0, 1.0, 2.0]
