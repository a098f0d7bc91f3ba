"""Edges that the author took away or cut, each with the line that puts the order back: PTO430 to PTO432 and PTO434."""

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
RACES = ("PTO430", "PTO431", "PTO432", "PTO433", "PTO434")


@pl.jit
def chain_cut(x: T, out: pl.Out[T]):
    s = pl.create_tensor([16, 16], dtype=pl.FP32, manual_dep=True)
    with pl.at(level=CORE) as made:
        s[:, :] = pl.mul(x[:, :], 2.0)
    with pl.at(level=CORE, deps=[made]) as doubled:  # noqa: F841 - the fault under test: nothing waits for it
        s[:, :] = pl.add(s[:, :], s[:, :])
    with pl.at(level=CORE, deps=[made]):
        out[:, :] = pl.add(s[:, :], 1.0)  # bad
    return out


@pl.jit
def chain_whole(x: T, out: pl.Out[T]):
    s = pl.create_tensor([16, 16], dtype=pl.FP32, manual_dep=True)
    with pl.at(level=CORE) as made:
        s[:, :] = pl.mul(x[:, :], 2.0)
    with pl.at(level=CORE, deps=[made]) as doubled:
        s[:, :] = pl.add(s[:, :], s[:, :])
    with pl.at(level=CORE, deps=[doubled]):
        out[:, :] = pl.add(s[:, :], 1.0)
    return out


@pl.jit
def manual_scope_without_edge(x: T, out: pl.Out[T]):
    s = pl.create_tensor([16, 16], dtype=pl.FP32)
    with pl.manual_scope():
        with pl.at(level=CORE):
            s[:, :] = pl.mul(x[:, :], 2.0)
        with pl.at(level=CORE):
            out[:, :] = pl.add(s[:, :], 1.0)  # bad
    return out


@pl.jit
def manual_scope_with_edge(x: T, out: pl.Out[T]):
    s = pl.create_tensor([16, 16], dtype=pl.FP32)
    with pl.manual_scope():
        with pl.at(level=CORE) as made:
            s[:, :] = pl.mul(x[:, :], 2.0)
        with pl.at(level=CORE, deps=[made]):
            out[:, :] = pl.add(s[:, :], 1.0)
    return out


@pl.jit
def manual_scope_then_outside(x: T, out: pl.Out[T]):
    s = pl.create_tensor([16, 16], dtype=pl.FP32)
    with pl.manual_scope():  # noqa: SIM117 - the language opens one context in a with
        with pl.at(level=CORE):
            s[:, :] = pl.mul(x[:, :], 2.0)
    with pl.at(level=CORE):
        out[:, :] = pl.add(s[:, :], 1.0)  # bad
    return out


@pl.jit
def reshaped_twice(x: T, out: pl.Out[T], kept: pl.Out[T]):
    s = pl.create_tensor([16, 16], dtype=pl.FP32)
    with pl.at(level=CORE):
        s[:, :] = pl.mul(x[:, :], 2.0)
    first = pl.reshape(s, [4, 64])
    second = pl.reshape(s, [8, 32])
    with pl.at(level=CORE):
        out[0:4, :] = pl.reshape(first[0:1, :], [4, 16])
    with pl.at(level=CORE):
        second[0:1, :] = pl.add(second[0:1, :], 1.0)  # bad
    with pl.at(level=CORE):
        kept[:, :] = s[:, :]
    return out


@pl.jit
def reshaped_twice_in_order(x: T, out: pl.Out[T], kept: pl.Out[T]):
    s = pl.create_tensor([16, 16], dtype=pl.FP32)
    with pl.at(level=CORE):
        s[:, :] = pl.mul(x[:, :], 2.0)
    first = pl.reshape(s, [4, 64])
    second = pl.reshape(s, [8, 32])
    with pl.at(level=CORE) as read:
        out[0:4, :] = pl.reshape(first[0:1, :], [4, 16])
    with pl.at(level=CORE, deps=[read]):
        second[0:1, :] = pl.add(second[0:1, :], 1.0)
    with pl.at(level=CORE):
        kept[:, :] = s[:, :]
    return out


@pl.jit
def left_out(x: T, out: pl.Out[T]):
    s = pl.create_tensor([16, 16], dtype=pl.FP32)
    with pl.at(level=CORE):
        s[:, :] = pl.mul(x[:, :], 2.0)
    with pl.at(level=CORE, no_dep_args=[s]):
        out[:, :] = pl.add(s[:, :], 1.0)  # bad
    return out


@pl.jit
def left_out_and_named(x: T, out: pl.Out[T]):
    s = pl.create_tensor([16, 16], dtype=pl.FP32)
    with pl.at(level=CORE) as made:
        s[:, :] = pl.mul(x[:, :], 2.0)
    with pl.at(level=CORE, no_dep_args=[s], deps=[made]):
        out[:, :] = pl.add(s[:, :], 1.0)
    return out


@pl.jit
def written_by_two(x: T, out: pl.Out[T]):
    s = pl.create_tensor([16, 16], dtype=pl.FP32)
    for i in pl.parallel(2):
        with pl.at(level=CORE):
            s[:, :] = pl.mul(x[:, :], pl.cast(i, pl.INT32))  # bad
    with pl.at(level=CORE):
        out[:, :] = s[:, :]
    return out


@pl.jit
def written_apart(x: T, out: pl.Out[T]):
    s = pl.create_tensor([16, 16], dtype=pl.FP32)
    for i in pl.parallel(2):
        with pl.at(level=CORE):
            s[i * 8 : i * 8 + 8, :] = pl.mul(x[i * 8 : i * 8 + 8, :], pl.cast(i, pl.INT32))
    with pl.at(level=CORE):
        out[:, :] = s[:, :]
    return out


@pl.jit
def waited_for_by_the_orchestration(x: T, out: pl.Out[T]):
    s = pl.create_tensor([16, 16], dtype=pl.FP32)
    with pl.at(level=CORE):
        s[:, :] = pl.mul(x[:, :], 2.0)
    n = pl.read(s, [0, 1])
    with pl.at(level=CORE, no_dep_args=[s]):
        out[:, :] = pl.mul(s[:, :], n)
    return out


@pl.jit
def read_from_another_tensor(x: T, out: pl.Out[T]):
    s = pl.create_tensor([16, 16], dtype=pl.FP32)
    t = pl.create_tensor([16, 16], dtype=pl.FP32)
    with pl.at(level=CORE):
        t[:, :] = x[:, :]
    with pl.at(level=CORE):
        s[:, :] = pl.mul(t[:, :], 2.0)
    n = pl.read(t, [0, 1])
    with pl.at(level=CORE, no_dep_args=[s]):
        out[:, :] = pl.mul(s[:, :], n)  # bad
    return out


SPARE = np.zeros_like(X)


def found(kernel: Any, *more: np.ndarray) -> list[Finding]:
    done = run(kernel, [X, np.zeros_like(X), *more], timing=False)
    return [finding for finding in done.findings if finding.code in RACES]


BAD = [
    (chain_cut, (), "PTO430"),
    (manual_scope_without_edge, (), "PTO430"),
    (manual_scope_then_outside, (), "PTO430"),
    (reshaped_twice, (SPARE,), "PTO431"),
    (left_out, (), "PTO430"),
    (written_by_two, (), "PTO432"),
    (read_from_another_tensor, (), "PTO430"),
]


@pytest.mark.parametrize(("kernel", "more", "code"), BAD, ids=[row[0].name for row in BAD])
def test_the_missing_edge_is_found_at_the_later_line(kernel: Any, more: Any, code: str) -> None:
    (finding,) = found(kernel, *more)
    lines, first = inspect.getsourcelines(kernel.function)
    assert finding.code == code and finding.severity == "error"
    assert finding.site.endswith(f":{first + next(i for i, text in enumerate(lines) if '# bad' in text)}")


FIXES = [
    (chain_whole, ()), (manual_scope_with_edge, ()), (reshaped_twice_in_order, (SPARE,)), (left_out_and_named, ()),
    (written_apart, ()), (waited_for_by_the_orchestration, ()),
]  # fmt: skip


@pytest.mark.parametrize(("kernel", "more"), FIXES, ids=[row[0].name for row in FIXES])
def test_the_order_put_back_is_silent(kernel: Any, more: Any) -> None:
    assert found(kernel, *more) == []
