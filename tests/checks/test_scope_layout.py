# ruff: noqa: SIM117 - the language opens one context in a with
"""Loops that free nothing and scopes that share a ring: PTO443 and PTO444, each with its fix."""

from __future__ import annotations

import inspect
from typing import Any

import numpy as np
import pytest

import pto_sim.language as pl
from pto_sim.program.findings import Finding
from pto_sim.testing import run

T = pl.Tensor[[16, 16], pl.FP32]
CORE = pl.Level.CORE_GROUP
X = np.arange(256, dtype=np.float32).reshape(16, 16)


@pl.jit(auto_scope=False)
def frees_nothing(x: T, out: pl.Out[T]):
    for i in pl.range(4):  # bad
        s = pl.create_tensor([16, 24], dtype=pl.FP32)
        with pl.at(level=CORE):
            s[:, 0:16] = x[:, :]
        part = out[i * 4 : i * 4 + 4, :]
        with pl.at(level=CORE):
            part[:, :] = s[0:4, 0:16]
    return out


@pl.jit(auto_scope=False)
def frees_each_time(x: T, out: pl.Out[T]):
    for i in pl.range(4):
        with pl.scope():
            s = pl.create_tensor([16, 24], dtype=pl.FP32)
            with pl.at(level=CORE):
                s[:, 0:16] = x[:, :]
            part = out[i * 4 : i * 4 + 4, :]
            with pl.at(level=CORE):
                part[:, :] = s[0:4, 0:16]
    return out


@pl.jit(auto_scope=False)
def frees_nothing_in_a_manual_scope(x: T, out: pl.Out[T]):
    with pl.scope():
        for i in pl.range(4):  # bad
            with pl.manual_scope():
                s = pl.create_tensor([16, 24], dtype=pl.FP32)
                part = out[i * 4 : i * 4 + 4, :]
                with pl.at(level=CORE) as made:
                    s[:, 0:16] = x[:, :]
                with pl.at(level=CORE, deps=[made]):
                    part[:, :] = s[0:4, 0:16]
    return out


@pl.jit
def frees_automatically(x: T, out: pl.Out[T]):
    for i in pl.range(4):
        s = pl.create_tensor([16, 24], dtype=pl.FP32)
        with pl.at(level=CORE):
            s[:, 0:16] = x[:, :]
        part = out[i * 4 : i * 4 + 4, :]
        with pl.at(level=CORE):
            part[:, :] = s[0:4, 0:16]
    return out


@pl.jit(auto_scope=False)
def created_once(x: T, out: pl.Out[T]):
    s = pl.create_tensor([16, 24], dtype=pl.FP32)
    for i in pl.range(4):
        with pl.at(level=CORE):
            s[0:4, 0:16] = x[i * 4 : i * 4 + 4, :]
        part = out[i * 4 : i * 4 + 4, :]
        with pl.at(level=CORE):
            part[:, :] = s[0:4, 0:16]
    return out


@pl.jit(auto_scope=False)
def four_deep(x: T, out: pl.Out[T]):
    with pl.scope():
        with pl.scope():
            with pl.scope():
                s = pl.create_tensor([16, 16], dtype=pl.FP32)
                with pl.at(level=CORE):
                    s[:, :] = x[:, :]
                with pl.scope():  # bad
                    t = pl.create_tensor([16, 16], dtype=pl.FP32)
                    with pl.at(level=CORE):
                        t[:, :] = s[:, :]
                    with pl.at(level=CORE):
                        out[:, :] = t[:, :]
    return out


@pl.jit(auto_scope=False)
def three_deep(x: T, out: pl.Out[T]):
    with pl.scope():
        with pl.scope():
            s = pl.create_tensor([16, 16], dtype=pl.FP32)
            with pl.at(level=CORE):
                s[:, :] = x[:, :]
            with pl.scope():
                t = pl.create_tensor([16, 16], dtype=pl.FP32)
                with pl.at(level=CORE):
                    t[:, :] = s[:, :]
                with pl.at(level=CORE):
                    out[:, :] = t[:, :]
    return out


@pl.jit(auto_scope=False)
def alone_in_the_last_ring(x: T, out: pl.Out[T]):
    with pl.scope():
        with pl.scope():
            s = pl.create_tensor([16, 16], dtype=pl.FP32)
            with pl.at(level=CORE):
                s[:, :] = x[:, :]
            with pl.scope():
                with pl.scope():
                    with pl.at(level=CORE):
                        out[:, :] = s[:, :]
    return out


def found(kernel: Any) -> list[Finding]:
    done = run(kernel, [X, np.zeros_like(X)], timing=False)
    return [finding for finding in done.findings if finding.code in ("PTO443", "PTO444")]


def line(kernel: Any, mark: str) -> str:
    lines, first = inspect.getsourcelines(kernel.function)
    return f":{first + next(i for i, text in enumerate(lines) if mark in text)}"


# A tensor of 16 x 24 FP32 is 1536 bytes, two units of 1024.
KEPT = "4 iterations allocate 8,192 bytes (s), and nothing is freed until "
BAD = [
    (frees_nothing, "PTO443", "info", KEPT + "the program ends"),
    (frees_nothing_in_a_manual_scope, "PTO443", "info", KEPT + "the scope at "),
    (four_deep, "PTO444", "warning", "1 scope at depth 4, with 3 tasks and 1,024 bytes, share ring 3 with the scope"),
]


@pytest.mark.parametrize(("kernel", "code", "severity", "message"), BAD, ids=[row[0].name for row in BAD])
def test_a_layout_that_keeps_heap_is_found_at_its_line(kernel: Any, code: str, severity: str, message: str) -> None:
    (finding,) = found(kernel)
    assert (finding.code, finding.severity) == (code, severity) and message in finding.message
    assert finding.site.endswith(line(kernel, "# bad"))


FIXES = [frees_each_time, frees_automatically, created_once, three_deep, alone_in_the_last_ring]


@pytest.mark.parametrize("kernel", FIXES, ids=[kernel.name for kernel in FIXES])
def test_the_fix_is_silent(kernel: Any) -> None:
    assert found(kernel) == []


def test_the_scope_that_stays_open_is_named() -> None:
    (finding,) = found(frees_nothing_in_a_manual_scope)
    assert finding.other.endswith(line(frees_nothing_in_a_manual_scope, "pl.scope()"))
    (finding,) = found(four_deep)
    scopes = [i for i, text in enumerate(inspect.getsourcelines(four_deep.function)[0]) if "pl.scope()" in text]
    assert finding.other.endswith(f":{inspect.getsourcelines(four_deep.function)[1] + scopes[2]}")
