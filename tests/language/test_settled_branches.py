"""Which loops and branches of the orchestration are statement lists with scopes, and which the compiler dissolves.

Rules: pypto: docs/en/dev/passes/05-simplify.md (Control-flow folding), 02-unroll_loops.md and
44-materialize_runtime_scopes.md; the expectations are what the compiler's records of pypto-lib's scripts show
(gate.py: a branch on `layer_id`; moe.py and decode_fwd.py: inlined functions with another auto_scope than their entry).
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import pto_sim.language as pl
from pto_sim.engine import run_kernel
from pto_sim.program.options import RunOptions

A = np.arange(64 * 16, dtype=np.float32).reshape(64, 16)
T = pl.Tensor[[64, 16], pl.FP32]
FLAG = 3


def lists(kernel: Any, *args: Any) -> str:
    """The orchestration as text: `for(...)`, `if(...)` and scopes `[...]`, a task as a full stop."""
    program = run_kernel(kernel, [A, np.zeros_like(A), *args], RunOptions(), ()).program
    text = ""
    for event in program.events:
        if event.kind == "task":
            text += "."
        elif event.kind == "body_begin":
            text += f"{event.value}("
        elif event.kind in ("body_end", "scope_begin", "scope_end"):
            text += {"body_end": ")", "scope_begin": "[", "scope_end": "]"}[event.kind]
    return text


@pl.jit.inline
def one(a: T, o: T, row: pl.Scalar[pl.INDEX]):
    with pl.at(level=pl.Level.CORE_GROUP):
        o[row : row + 8, :] = pl.neg(a[row : row + 8, :])
    return o


@pl.jit
def on_a_scalar(a: T, o: pl.Out[T], n: pl.Scalar[pl.INT32]):
    if n >= FLAG:
        o = one(a, o, 0)
    else:
        o = one(a, o, 8)
    return o


@pl.jit
def on_what_follows(a: T, o: pl.Out[T], n: pl.Scalar[pl.INT32]):
    m = pl.cast(n, pl.INDEX) + 1
    if m < 0:
        m = pl.cast(0, pl.INDEX)
    if m > FLAG and n > 0:
        o = one(a, o, 0)
    return o


@pl.jit.inline
def guarded(a: T, o: T, n: pl.Scalar[pl.INT32]):
    if n > 0:
        o = one(a, o, 0)
    return o


@pl.jit
def through_an_inline(a: T, o: pl.Out[T], n: pl.Scalar[pl.INT32]):
    o = guarded(a, o, n)
    return o


@pytest.mark.parametrize("kernel", [on_a_scalar, on_what_follows, through_an_inline])
def test_a_branch_on_a_scalar_of_the_entry_is_settled(kernel: Any) -> None:
    assert lists(kernel, 7) == "[.]"


@pl.jit
def on_an_element(a: T, o: pl.Out[T], n: pl.Scalar[pl.INT32]):
    if pl.read(a, [0, 0]) < 1.0:
        o = one(a, o, 0)
    return o


@pl.jit
def on_what_a_loop_changes(a: T, o: pl.Out[T], n: pl.Scalar[pl.INT32]):
    m = n + 0
    for _ in pl.range(2):
        if m > 0:
            o = one(a, o, 0)
        m = m + 1
    return o


@pl.jit
def on_what_a_branch_changes(a: T, o: pl.Out[T], n: pl.Scalar[pl.INT32]):
    m = n + 0
    if pl.read(a, [0, 0]) > 1.0:
        m = n + 1
    if m > 0:
        o = one(a, o, 0)
    return o


@pl.jit
def on_a_dimension(a: pl.Tensor[[pl.dynamic("R"), 16], pl.FP32], o: pl.Out[T], n: pl.Scalar[pl.INT32]):
    if pl.tensor.dim(a, 0) > n:
        o = one(a, o, 0)
    return o


@pytest.mark.parametrize(
    ("kernel", "text"),
    [
        (on_an_element, "[if([.])]"),
        (on_what_a_loop_changes, "[for([if([.])])for([if([.])])]"),
        (on_what_a_branch_changes, "[if([])if([.])]"),
        (on_a_dimension, "[if([.])]"),
    ],
)
def test_a_branch_that_the_compiler_cannot_decide_is_a_list(kernel: Any, text: str) -> None:
    assert lists(kernel, 7) == text


@pl.jit
def single_turns(a: T, o: pl.Out[T]):
    for i in pl.range(1):
        for j in pl.range(FLAG - 1, FLAG + 1, 2):
            o = one(a, o, i + j)
    for k in pl.unroll(2):
        o = one(a, o, 16 + 8 * k)
    return o


@pl.jit
def other_turns(a: T, o: pl.Out[T]):
    for i in pl.parallel(1):
        o = one(a, o, i)
    for i in pl.range(2):
        o = one(a, o, 8 * i)
    return o


def test_a_sequential_loop_of_one_turn_and_an_unrolled_one_are_no_lists() -> None:
    assert lists(single_turns) == "[...]"
    assert lists(other_turns) == "[parallel([.])for([.])for([.])]"


@pl.jit.inline(auto_scope=False)
def own_scopes(a: T, o: T):
    with pl.scope():
        for i in pl.range(2):
            o = one(a, o, 8 * i)
    return o


@pl.jit.inline
def no_scopes(a: T, o: T):
    for i in pl.range(2):
        o = one(a, o, 8 * i)
    return o


@pl.jit
def automatic(a: T, o: pl.Out[T]):
    o = own_scopes(a, o)
    return o


@pl.jit(auto_scope=False)
def by_hand(a: T, o: pl.Out[T]):
    o = no_scopes(a, o)
    return o


def test_the_entry_says_whether_inlined_lists_have_scopes() -> None:
    assert lists(automatic) == "[[for([.])for([.])]]"
    assert lists(by_hand) == "for(.)for(.)"
