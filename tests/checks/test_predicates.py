"""Predicates and the tasks that write their operands (PTO436): bad launches and the deps= that orders them."""

from __future__ import annotations

import inspect
from typing import Any

import numpy as np
import pytest

import pto_sim.language as pl
from pto_sim.program.findings import Finding
from pto_sim.testing import run

T = pl.Tensor[[16, 16], pl.FP32]
G = pl.Tensor[[1, 8], pl.INT32]
CORE = pl.Level.CORE_GROUP
X = np.arange(256, dtype=np.float32).reshape(16, 16)


@pl.jit
def gate_without_dep(x: T, go: G, out: pl.Out[T]):
    gate = pl.create_tensor([1, 8], dtype=pl.INT32)
    with pl.at(level=CORE) as counted:  # noqa: F841 - the fault under test: nothing waits for it
        gate[:, :] = go[:, :]
    with pl.spmd(2, predicate=(gate[0, 0] > 0)) as tid:  # noqa: F841 # bad
        b = pl.tile.get_block_idx()
        out[b * 8 : b * 8 + 8, :] = x[b * 8 : b * 8 + 8, :]
    return out


@pl.jit
def gate_with_dep(x: T, go: G, out: pl.Out[T]):
    gate = pl.create_tensor([1, 8], dtype=pl.INT32)
    with pl.at(level=CORE) as counted:
        gate[:, :] = go[:, :]
    with pl.spmd(2, deps=[counted], predicate=(gate[0, 0] > 0)) as tid:  # noqa: F841
        b = pl.tile.get_block_idx()
        out[b * 8 : b * 8 + 8, :] = x[b * 8 : b * 8 + 8, :]
    return out


@pl.jit
def gate_written_later(x: T, go: G, out: pl.Out[T], kept: pl.Out[G]):
    gate = pl.create_tensor([1, 8], dtype=pl.INT32)
    with pl.at(level=CORE) as counted:
        gate[:, :] = go[:, :]
    with pl.spmd(2, deps=[counted], predicate=(gate[0, 0] > 0)) as tid:  # noqa: F841 # bad
        b = pl.tile.get_block_idx()
        out[b * 8 : b * 8 + 8, :] = x[b * 8 : b * 8 + 8, :]
    with pl.at(level=CORE):
        gate[:, :] = pl.add(gate[:, :], 1)
    with pl.at(level=CORE):
        kept[:, :] = gate[:, :]
    return out


@pl.jit
def gate_written_after_it(x: T, go: G, out: pl.Out[T], kept: pl.Out[G]):
    gate = pl.create_tensor([1, 8], dtype=pl.INT32)
    with pl.at(level=CORE) as counted:
        gate[:, :] = go[:, :]
    with pl.spmd(2, deps=[counted], predicate=(gate[0, 0] > 0)) as tid:
        b = pl.tile.get_block_idx()
        out[b * 8 : b * 8 + 8, :] = x[b * 8 : b * 8 + 8, :]
    with pl.at(level=CORE, deps=[tid]) as added:  # noqa: F841
        gate[:, :] = pl.add(gate[:, :], 1)
    with pl.at(level=CORE):
        kept[:, :] = gate[:, :]
    return out


@pl.jit
def gate_of_the_caller(x: T, go: G, out: pl.Out[T]):
    for b in pl.spmd(2, predicate=(go[0, 0] > 0)):
        out[b * 8 : b * 8 + 8, :] = x[b * 8 : b * 8 + 8, :]
    return out


@pl.jit
def another_element(x: T, go: G, out: pl.Out[T]):
    gate = pl.create_tensor([1, 16], dtype=pl.INT32)
    with pl.at(level=CORE) as first:
        gate[:, 0:8] = go[:, :]
    with pl.at(level=CORE):
        gate[:, 8:16] = go[:, :]
    with pl.spmd(2, deps=[first], predicate=(gate[0, 3] > 0)) as tid:  # noqa: F841
        b = pl.tile.get_block_idx()
        out[b * 8 : b * 8 + 8, :] = x[b * 8 : b * 8 + 8, :]
    return out


@pl.jit
def read_by_the_orchestration(x: T, go: G, out: pl.Out[T]):
    gate = pl.create_tensor([1, 8], dtype=pl.INT32)
    with pl.at(level=CORE):
        gate[:, :] = go[:, :]
    count = pl.read(gate, [0, 0])
    for b in pl.spmd(2):
        out[b * 8 : b * 8 + 8, :] = pl.mul(x[b * 8 : b * 8 + 8, :], count)
    return out


def found(kernel: Any, gate: int = 1, more: int = 0) -> list[Finding]:
    extra = [np.zeros((1, 8), np.int32)] * more
    done = run(kernel, [X, np.full((1, 8), gate, np.int32), np.zeros_like(X), *extra], timing=False)
    return [finding for finding in done.findings if finding.code == "PTO436"]


@pytest.mark.parametrize("gate", [0, 1])
@pytest.mark.parametrize(
    ("kernel", "more", "message"),
    [
        (gate_without_dep, 0, "reads gate[0, 0], which the earlier task at"),
        (gate_written_later, 1, "reads gate[0, 0], which the later task at"),
    ],
)
def test_an_operand_that_nothing_orders_is_found_at_the_launch(kernel: Any, more: int, message: str, gate: int) -> None:
    (finding,) = found(kernel, gate, more)
    lines, first = inspect.getsourcelines(kernel.function)
    assert finding.severity == "error" and message in finding.message
    assert finding.site.endswith(f":{first + next(i for i, text in enumerate(lines) if '# bad' in text)}")
    assert finding.other and finding.allocation


@pytest.mark.parametrize("gate", [0, 1])
@pytest.mark.parametrize(
    ("kernel", "more"),
    [
        (gate_with_dep, 0), (gate_written_after_it, 1), (gate_of_the_caller, 0), (another_element, 0),
        (read_by_the_orchestration, 0),
    ],
)  # fmt: skip
def test_an_operand_in_order_is_silent(kernel: Any, more: int, gate: int) -> None:
    assert found(kernel, gate, more) == []


def test_the_orchestration_waits_for_no_operand_of_a_predicate() -> None:
    """It is the scheduler that reads it. A pl.read is an event of its own."""
    done = run(gate_with_dep, [X, np.ones((1, 8), np.int32), np.zeros_like(X)], timing=False)
    assert done.program is not None and "read" not in {event.kind for event in done.program.events}
    done = run(read_by_the_orchestration, [X, np.ones((1, 8), np.int32), np.zeros_like(X)], timing=False)
    assert done.program is not None and "read" in {event.kind for event in done.program.events}
