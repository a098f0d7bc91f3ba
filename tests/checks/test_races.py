"""Races and lifetimes: each on a minimal bad kernel and its one-line fix, and random programs in many orders."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import event, given, settings
from hypothesis import strategies as st

import pto_sim.language as pl
from ascend_model.ring import RingFault, RingSizes
from pto_sim.lowering import lower
from pto_sim.program.findings import Finding
from pto_sim.testing import Launch, Loop, Scope, TaskProgram, orchestration_programs, reference, run
from tests.testing.event_driven import EventDriven

T = pl.Tensor[[16, 16], pl.FP32]
CORE = pl.Level.CORE_GROUP
X = np.arange(256, dtype=np.float32).reshape(16, 16)
RACES = ("PTO430", "PTO431", "PTO432", "PTO433", "PTO434", "PTO435")


@pl.jit
def read_before_write(x: T, out: pl.Out[T]):
    s = pl.create_tensor([16, 16], dtype=pl.FP32, manual_dep=True)
    with pl.at(level=CORE):
        s[:, :] = pl.mul(x[:, :], 2.0)
    with pl.at(level=CORE):
        out[:, :] = pl.add(s[:, :], 1.0)  # bad
    return out


@pl.jit
def read_after_write(x: T, out: pl.Out[T]):
    s = pl.create_tensor([16, 16], dtype=pl.FP32, manual_dep=True)
    with pl.at(level=CORE) as made:
        s[:, :] = pl.mul(x[:, :], 2.0)
    with pl.at(level=CORE, deps=[made]):
        out[:, :] = pl.add(s[:, :], 1.0)
    return out


@pl.jit
def write_before_read(x: T, out: pl.Out[T], kept: pl.Out[T]):
    s = pl.create_tensor([16, 16], dtype=pl.FP32)
    with pl.at(level=CORE):
        s[:, :] = pl.mul(x[:, :], 2.0)
    with pl.at(level=CORE):
        out[:, :] = pl.add(s[:, :], 1.0)
    with pl.at(level=CORE):
        s[:, :] = pl.add(s[:, :], x[:, :])  # bad
    with pl.at(level=CORE):
        kept[:, :] = s[:, :]
    return out


@pl.jit
def write_after_read(x: T, out: pl.Out[T], kept: pl.Out[T]):
    s = pl.create_tensor([16, 16], dtype=pl.FP32)
    with pl.at(level=CORE):
        s[:, :] = pl.mul(x[:, :], 2.0)
    with pl.at(level=CORE) as read:
        out[:, :] = pl.add(s[:, :], 1.0)
    with pl.at(level=CORE, deps=[read]):
        s[:, :] = pl.add(s[:, :], x[:, :])
    with pl.at(level=CORE):
        kept[:, :] = s[:, :]
    return out


@pl.jit
def writes_in_any_order(x: T, out: pl.Out[T]):
    for i in pl.parallel(3):
        with pl.at(level=CORE):
            out[:, :] = pl.add(x[:, :], pl.cast(i, pl.INT32))  # bad
    return out


@pl.jit
def writes_in_order(x: T, out: pl.Out[T]):
    for i in pl.range(3):
        with pl.at(level=CORE):
            out[:, :] = pl.add(x[:, :], pl.cast(i, pl.INT32))
    return out


@pl.jit
def blocks_meet(x: T, out: pl.Out[T]):
    for b in pl.spmd(2):
        out[0:8, :] = x[b * 8 : b * 8 + 8, :]  # bad
    return out


@pl.jit
def blocks_apart(x: T, out: pl.Out[T]):
    for b in pl.spmd(2):
        out[b * 8 : b * 8 + 8, :] = x[b * 8 : b * 8 + 8, :]
    return out


@pl.jit
def blocks_overlap_by_a_row(x: T, out: pl.Out[T]):
    for b in pl.spmd(2):
        out[b * 7 : b * 7 + 8, :] = x[b * 8 : b * 8 + 8, :]  # bad
    return out


@pl.jit
def blocks_read_what_others_write(x: T, out: pl.Out[T]):
    for b in pl.spmd(2):
        out[b * 8 : b * 8 + 8, :] = x[b * 8 : b * 8 + 8, :]
        out[b * 8 : b * 8 + 8, :] = pl.add(out[(1 - b) * 8 : (1 - b) * 8 + 8, :], 1.0)  # bad
    return out


@pl.jit
def blocks_add(x: T, out: pl.InOut[T]):
    for b in pl.spmd(2):
        out = pl.assemble(out, x[b * 8 : b * 8 + 8, :], [0, 0], atomic=pl.AtomicType.Add)
    return out


@pl.jit(auto_scope=False)
def freed_under_a_reader(x: T, out: pl.Out[T]):
    for i in pl.range(2):
        with pl.scope():
            s = pl.create_tensor([16, 16], dtype=pl.FP32)
            with pl.manual_scope():
                with pl.at(level=CORE) as made:
                    s[:, :] = pl.mul(x[:, :], 2.0)  # bad
                with pl.at(level=CORE, deps=[made]):
                    out[i * 8 : i * 8 + 8, :] = s[0:8, :]
    return out


@pl.jit(auto_scope=False)
def kept_for_a_reader(x: T, out: pl.Out[T]):
    for i in pl.range(2):
        with pl.scope():
            s = pl.create_tensor([16, 16], dtype=pl.FP32)
            with pl.at(level=CORE) as made:
                s[:, :] = pl.mul(x[:, :], 2.0)
            with pl.at(level=CORE, deps=[made]):
                out[i * 8 : i * 8 + 8, :] = s[0:8, :]
    return out


@pl.jit
def blocks_write_what_is_there(x: T, out: pl.InOut[T]):
    for b in pl.spmd(2):
        out[0:8, :] = out[0:8, :]  # bad
        out[8 + b * 4 : 12 + b * 4, :] = x[b * 4 : b * 4 + 4, :]
    return out


def found(kernel: Any, *more: np.ndarray) -> list[Finding]:
    done = run(kernel, [X, np.zeros_like(X), *more], timing=False)
    return [finding for finding in done.findings if finding.code in RACES]


def line(kernel: Any, mark: str = "# bad") -> int:
    import inspect

    lines, first = inspect.getsourcelines(kernel.function)
    return first + next(i for i, text in enumerate(lines) if mark in text)


SPARE = np.zeros_like(X)
BAD = [
    (read_before_write, (), "PTO430", "error", "reads s[0, 0]"),
    (write_before_read, (SPARE,), "PTO431", "error", "writes s[0, 0]"),
    (writes_in_any_order, (), "PTO432", "error", "writes out[0, 0]"),
    (blocks_meet, (), "PTO433", "error", "block 1 writes out[0, 0], block 0 writes it"),
    (blocks_overlap_by_a_row, (), "PTO433", "error", "block 1 writes out[7, 0], block 0 writes it"),
    (blocks_read_what_others_write, (), "PTO433", "error", "block 0 reads out[8, 0], block 1 writes it"),
    (freed_under_a_reader, (), "PTO434", "error", "uses s, and nothing keeps its block once the scope at"),
    (blocks_write_what_is_there, (), "PTO435", "info", "block 1 "),
]


@pytest.mark.parametrize(("kernel", "more", "code", "severity", "message"), BAD, ids=[row[0].name for row in BAD])
def test_a_race_is_found_at_its_line(kernel: Any, more: Any, code: str, severity: str, message: str) -> None:
    findings = found(kernel, *more)
    assert {finding.code for finding in findings} == {code}
    finding = findings[0]
    assert finding.severity == severity and message in finding.message
    # A lifetime is a matter of the task, whose line is that of its `with`.
    assert int(finding.site.rsplit(":", 1)[1]) in (line(kernel), line(kernel) - 1)
    assert finding.hint and finding.allocation


FIXES = [
    (read_after_write, ()), (write_after_read, (SPARE,)), (writes_in_order, ()), (blocks_apart, ()), (blocks_add, ()),
    (kept_for_a_reader, ()),
]  # fmt: skip


@pytest.mark.parametrize(("kernel", "more"), FIXES, ids=[row[0].name for row in FIXES])
def test_the_fix_is_silent(kernel: Any, more: Any) -> None:
    assert found(kernel, *more) == []


def test_both_lines_and_the_allocation_are_named() -> None:
    (finding,) = found(write_before_read, SPARE)
    reader = line(write_before_read, "out[:, :] = pl.add(s")
    assert finding.other.endswith(f":{reader}") and f":{reader} reads it too" in finding.message
    assert finding.allocation.endswith(f":{line(write_before_read, 'pl.create_tensor')}")


@pytest.mark.parametrize("lanes", [1, 64])
@pytest.mark.parametrize("kernel", [blocks_meet, blocks_read_what_others_write, blocks_write_what_is_there])
def test_lockstep_changes_no_finding(kernel: Any, lanes: int) -> None:
    done = run(kernel, [X, np.zeros_like(X)], timing=False, lanes=lanes)
    codes = [finding.code for finding in done.findings if finding.code in RACES]
    assert set(codes) == {finding.code for finding in found(kernel)}


def test_checks_can_be_left_out() -> None:
    assert run(blocks_meet, [X, np.zeros_like(X)], timing=False, checks=False).findings == []


@settings(max_examples=150)
@given(orchestration_programs())
def test_legal_programs_have_no_race(program: TaskProgram) -> None:
    with program.kernel() as kernel:
        done = run(kernel, program.arguments(), timing=False)
    assert [f.message for f in done.findings if f.code in RACES and f.severity != "info"] == []


def without_deps(body: tuple[Any, ...]) -> tuple[Any, ...]:
    return tuple(
        replace(s, deps=()) if isinstance(s, Launch)
        else replace(s, body=without_deps(s.body)) if isinstance(s, (Scope, Loop))
        else s
        for s in body
    )  # fmt: skip


@settings(max_examples=150)
@given(orchestration_programs(), st.integers(0, 2**20))
def test_a_program_without_findings_gives_the_same_bits_in_every_order(program: TaskProgram, seed: int) -> None:
    """Explicit deps are dropped, so that many programs race; where no check objects, no order may differ."""
    racy = replace(program, body=without_deps(program.body))
    arguments = racy.arguments(seed)
    with racy.kernel() as kernel:
        done = run(kernel, arguments, timing=False)
    codes = {f.code for f in done.findings if f.code in RACES and f.severity != "info"}
    event(f"findings {sorted(codes)}")
    if codes:
        return
    assert done.program is not None
    lowered, expected = lower(done.program), reference(racy, arguments)
    rings = RingSizes(heap_bytes=(2**16, 4096, 4096, 4096))
    for order in range(3):
        try:
            actual = EventDriven(racy, lowered, rings, seed + order).run(arguments)
        except RingFault:
            return
        np.testing.assert_array_equal(actual, expected)
