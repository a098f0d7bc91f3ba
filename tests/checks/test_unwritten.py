"""Reads of what nothing wrote: of scratch, of rows of scratch, of outputs; each with its one-line fix."""

from __future__ import annotations

import inspect
import re
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import pto_sim.language as pl
from pto_sim.checks.unwritten import UnwrittenReads
from pto_sim.program.events import OrchestrationAccess, RunEnd
from pto_sim.program.findings import Finding
from pto_sim.program.model import Access, Program, Site, TaskRecord, TensorInfo
from pto_sim.testing import run

T = pl.Tensor[[16, 16], pl.FP32]
CORE = pl.Level.CORE_GROUP
X = np.arange(256, dtype=np.float32).reshape(16, 16)
CODES = ("PTO408", "PTO409", "PTO410")


@pl.jit
def reads_before_it_writes(x: T, out: pl.Out[T]):
    s = pl.create_tensor([16, 16], dtype=pl.FP32)
    with pl.at(level=CORE):
        out[:, :] = pl.add(s[:, :], x[:, :])  # bad
    with pl.at(level=CORE):
        s[:, :] = x[:, :]
    return out


@pl.jit
def writes_first(x: T, out: pl.Out[T]):
    s = pl.create_tensor([16, 16], dtype=pl.FP32)
    with pl.at(level=CORE):
        s[:, :] = x[:, :]
    with pl.at(level=CORE):
        out[:, :] = pl.add(s[:, :], x[:, :])
    return out


@pl.jit
def accumulates_from_nothing(x: T, out: pl.Out[T]):
    s = pl.create_tensor([16, 16], dtype=pl.FP32)
    for _i in pl.range(2):
        with pl.at(level=CORE):
            s[:, :] = pl.add(s[:, :], x[:, :])  # bad
    with pl.at(level=CORE):
        out[:, :] = s[:, :]
    return out


@pl.jit
def accumulates_from_zero(x: T, out: pl.Out[T]):
    s = pl.create_tensor([16, 16], dtype=pl.FP32, init_value=0.0)
    for _i in pl.range(2):
        with pl.at(level=CORE):
            s[:, :] = pl.add(s[:, :], x[:, :])
    with pl.at(level=CORE):
        out[:, :] = s[:, :]
    return out


@pl.jit
def adds_to_nothing(x: T, out: pl.Out[T]):
    s = pl.create_tensor([16, 16], dtype=pl.FP32)
    with pl.at(level=CORE):
        s = pl.assemble(s, x[:, :], [0, 0], atomic=pl.AtomicType.Add)  # bad
    with pl.at(level=CORE):
        out[:, :] = s[:, :]
    return out


@pl.jit
def columns_missing(x: T, out: pl.Out[T]):
    s = pl.create_tensor([16, 16], dtype=pl.FP32)
    with pl.at(level=CORE):
        s[:, 0:8] = x[:, 0:8]
    with pl.at(level=CORE):
        out[:, :] = s[:, :]  # bad
    return out


@pl.jit
def rows_missing(x: T, out: pl.Out[T]):
    s = pl.create_tensor([16, 16], dtype=pl.FP32)
    with pl.at(level=CORE):
        s[0:8, :] = x[0:8, :]
    with pl.at(level=CORE):
        out[:, :] = s[:, :]  # bad
    return out


@pl.jit
def valid_rows(x: T, out: pl.Out[T]):
    s = pl.create_tensor([16, 16], dtype=pl.FP32)
    with pl.at(level=CORE):
        s[0:8, :] = x[0:8, :]
    with pl.at(level=CORE):
        out = pl.store(pl.load(s, [0, 0], [16, 16], valid_shape=[8, 16]), [0, 0], out)
    return out


@pl.jit
def updates_an_output(x: T, out: pl.Out[T]):
    with pl.at(level=CORE):
        out[:, :] = pl.add(out[:, :], x[:, :])  # bad
    return out


@pl.jit
def updates_in_place(x: T, out: pl.InOut[T]):
    with pl.at(level=CORE):
        out[:, :] = pl.add(out[:, :], x[:, :])
    return out


@pl.jit
def adds_to_an_output(x: T, out: pl.Out[T]):
    for b in pl.spmd(2):
        out = pl.assemble(out, x[b * 8 : b * 8 + 8, :], [0, 0], atomic=pl.AtomicType.Add)
    return out


@pl.jit
def each_block_its_own(x: T, out: pl.Out[T]):
    s = pl.create_tensor([16, 16], dtype=pl.FP32)
    for b in pl.spmd(16):
        s[b : b + 1, :] = x[b : b + 1, :]
        out[b : b + 1, :] = s[b : b + 1, :]
    return out


@pl.jit
def blocks_race(x: T, out: pl.Out[T]):
    s = pl.create_tensor([16, 16], dtype=pl.FP32)
    for b in pl.spmd(16):
        s[b : b + 1, :] = x[b : b + 1, :]
        out[b : b + 1, :] = s[15 - b : 16 - b, :]
    return out


@pl.jit
def orchestration_reads(x: T, out: pl.Out[T]):
    s = pl.create_tensor([16, 16], dtype=pl.FP32)
    n = pl.read(s, [3, 1])  # bad
    with pl.at(level=CORE):
        s[:, :] = x[:, :]
    with pl.at(level=CORE):
        out[:, :] = pl.mul(s[:, :], n)
    return out


@pl.jit
def orchestration_writes(x: T, out: pl.Out[T]):
    s = pl.create_tensor([16, 16], dtype=pl.FP32)
    pl.write(s, [3, 1], 2.0)
    n = pl.read(s, [3, 1])
    with pl.at(level=CORE):
        out[:, :] = pl.mul(x[:, :], n)
    return out


def found(kernel: Any, **options: Any) -> list[Finding]:
    done = run(kernel, [X, np.zeros_like(X)], timing=False, **options)
    return [finding for finding in done.findings if finding.code in CODES]


def line(kernel: Any, mark: str) -> str:
    lines, first = inspect.getsourcelines(kernel.function)
    return f"{__file__}:{first + next(i for i, text in enumerate(lines) if mark in text)}"


BAD = [
    (reads_before_it_writes, "PTO408", "s[0, 0], which nothing has written: so are 256 of the 256 elements"),
    (accumulates_from_nothing, "PTO408", "s[0, 0], which nothing has written: so are 256 of the 256 elements"),
    (adds_to_nothing, "PTO408", "s[0, 0], which nothing has written: so are 256 of the 256 elements"),
    (columns_missing, "PTO408", "s[0, 8], which nothing has written: so are 128 of the 256 elements"),
    (orchestration_reads, "PTO408", "the orchestration reads s[3, 1], which nothing has written: so are 1 of the 1"),
    (updates_an_output, "PTO409", "out[0, 0], which nothing has written: so are 256 of the 256 elements"),
    (rows_missing, "PTO410", "s[8, 0], which nothing has written: so are 128 of the 256 elements"),
]


@pytest.mark.parametrize("lanes", [1, 64])
@pytest.mark.parametrize(("kernel", "code", "message"), BAD, ids=[row[0].name for row in BAD])
def test_the_first_element_is_named_at_the_line_that_reads_it(kernel: Any, code: str, message: str, lanes: int) -> None:
    (finding,) = found(kernel, lanes=lanes)
    assert finding.code == code and message in finding.message
    assert finding.severity == ("info" if code == "PTO410" else "warning")
    assert finding.site == line(kernel, "# bad")
    made = kernel.site.line if code == "PTO409" else int(line(kernel, "create_tensor").rsplit(":", 1)[1])
    assert finding.allocation == f"{__file__}:{made}"


FIXES = [
    writes_first, accumulates_from_zero, valid_rows, updates_in_place, adds_to_an_output, each_block_its_own,
    blocks_race, orchestration_writes,
]  # fmt: skip


@pytest.mark.parametrize("lanes", [1, 64])
@pytest.mark.parametrize("kernel", FIXES, ids=[kernel.name for kernel in FIXES])
def test_the_fix_is_silent(kernel: Any, lanes: int) -> None:
    assert found(kernel, lanes=lanes) == []


def test_scratch_that_only_the_orchestration_reads_is_used() -> None:
    @pl.jit
    def reads_a_count(x: T, out: pl.Out[T]):
        s = pl.create_tensor([16, 16], dtype=pl.FP32)
        with pl.at(level=CORE):
            s[:, :] = x[:, :]
        n = pl.read(s, [0, 3])
        with pl.at(level=CORE):
            out[:, :] = pl.mul(x[:, :], n)
        return out

    assert run(reads_a_count, [X, np.zeros_like(X)], timing=False).findings == []


def test_an_input_that_the_orchestration_writes_is_found() -> None:
    @pl.jit
    def writes_an_input(x: T, out: pl.Out[T]):
        pl.write(x, [0, 0], 5.0)  # bad
        with pl.at(level=CORE):
            out[:, :] = x[:, :]
        return out

    (finding,) = run(writes_an_input, [X, np.zeros_like(X)], timing=False).findings
    assert finding.code == "PTO403" and finding.site == line(writes_an_input, "# bad")


def test_an_output_that_the_orchestration_writes_is_written() -> None:
    @pl.jit
    def writes_one(x: T, out: pl.Out[T]):
        with pl.at(level=CORE):
            out[0:8, :] = x[0:8, :]
        pl.write(out, [9, 2], 5.0)
        return out

    done = run(writes_one, [X, np.zeros_like(X)], timing=False)
    assert done.outputs["out"][9, 2] == 5.0
    assert any("129 of 256 elements written" in finding.message for finding in done.findings)


ROWS, COLUMNS = 4, 5


@st.composite
def accesses(draw: st.DrawFn, site: int, blocks: int) -> Access:
    """A box of a tensor of 4 x 5 elements, at a place of its own for each of some blocks."""
    high, wide = draw(st.integers(1, 2)), draw(st.integers(1, COLUMNS))
    taking_part = sorted(draw(st.sets(st.integers(0, blocks - 1), min_size=1)))
    place = st.tuples(st.integers(0, ROWS - high), st.integers(0, COLUMNS - wide))
    offsets = [row * COLUMNS + column for row, column in (draw(place) for _ in taking_part)]
    return Access(
        0, draw(st.booleans()), site, np.array(taking_part, np.int32), np.array(offsets, np.int64), (high, wide),
        (COLUMNS, 1),
    )  # fmt: skip


@st.composite
def histories(draw: st.DrawFn) -> RunEnd:
    """A run of some tasks on one scratch tensor; every access has a line of its own."""
    records, orchestration, lines = [], [], 1
    for number in range(draw(st.integers(1, 4))):
        if draw(st.booleans()):
            orchestration.append(OrchestrationAccess(number, draw(accesses(lines, 1))))
            lines += 1
        blocks = draw(st.integers(1, 3))
        touched = [draw(accesses(lines + i, blocks)) for i in range(draw(st.integers(1, 4)))]
        lines += len(touched)
        records.append(TaskRecord(f"t{number}", "spmd", 0, blocks, np.zeros(blocks, np.int32), [], touched))
    tensor = TensorInfo("s", (ROWS, COLUMNS), "FP32", 80, "alloc", "", 0)
    sites = [Site("k.py", line, "k") for line in range(lines)]
    program = Program("k", "a2a3", "written", sites, [], [], [tensor], records, [])
    return RunEnd(program, {}, tuple(orchestration))


def boxes(access: Access) -> dict[int, set[tuple[int, int]]]:
    """The elements that each block touches."""
    return {
        int(block): {
            (int(offset) // COLUMNS + row, int(offset) % COLUMNS + column)
            for row in range(access.shape[0])
            for column in range(access.shape[1])
        }
        for block, offset in zip(access.blocks, access.offsets, strict=True)
    }


def expected(end: RunEnd) -> dict[str, tuple[str, int, list[int]]]:
    """Code, number of missing elements and the first one, by line: element by element from the definition."""
    written: set[tuple[int, int]] = set()
    found: dict[str, tuple[str, int, list[int]]] = {}
    by_task = [(number, record.blocks, list(record.accesses)) for number, record in enumerate(end.program.tasks)]
    for number, _, touched in by_task:
        before = [a.access for a in end.orchestration if a.before == number]
        for access, others in [*((a, []) for a in before), *((a, touched) for a in touched)]:
            if access.write:
                written |= set().union(*boxes(access).values())
                continue
            missing = set()
            for block, read in boxes(access).items():
                of_others = [boxes(a) for a in others if a.write]
                raced = {e for written_by in of_others for b, own in written_by.items() if b != block for e in own}
                missing |= read - written - raced
            if missing:
                touched_rows = {row for row, _ in written}
                rows_only = bool(written) and not touched_rows & {row for row, _ in missing}
                found[f"k.py:{access.site}"] = "PTO410" if rows_only else "PTO408", len(missing), list(min(missing))
    return found


@settings(max_examples=300)
@given(histories())
def test_every_read_is_judged_element_by_element(end: RunEnd) -> None:
    check = UnwrittenReads()
    check.on_run_end(end)
    said = {}
    for finding in check.findings():
        match = re.search(r"s\[(\d), (\d)\], which nothing has written: so are (\d+) of", finding.message)
        assert match is not None
        said[finding.site] = finding.code, int(match[3]), [int(match[1]), int(match[2])]
    assert said == expected(end)
