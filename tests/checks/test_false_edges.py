"""Edges between tasks that share nothing, and edges that a view brings back: PTO440 to PTO442, each with its fix."""

from __future__ import annotations

import inspect
import re
from typing import Any

import numpy as np
import pytest
from hypothesis import event, given, settings
from hypothesis import strategies as st

import pto_sim.language as pl
from pto_sim.checks.chains import longest_chain_us
from pto_sim.lowering import task_graph
from pto_sim.program.findings import Finding
from pto_sim.program.model import Program
from pto_sim.program.task_graph import GraphTask
from pto_sim.testing import TaskProgram, orchestration_programs, run

T = pl.Tensor[[16, 16], pl.FP32]
CORE = pl.Level.CORE_GROUP
X = np.arange(256, dtype=np.float32).reshape(16, 16)
CODES = ("PTO440", "PTO441", "PTO442")


@pl.jit
def chained(x: T, out: pl.Out[T]):
    for i in pl.range(4):
        with pl.at(level=CORE):
            out[i * 4 : i * 4 + 4, :] = pl.mul(x[i * 4 : i * 4 + 4, :], 2.0)  # bad
    return out


@pl.jit
def sliced(x: T, out: pl.Out[T]):
    for i in pl.range(4):
        part = out[i * 4 : i * 4 + 4, :]
        with pl.at(level=CORE):
            part[:, :] = pl.mul(x[i * 4 : i * 4 + 4, :], 2.0)
    return out


@pl.jit
def in_parallel(x: T, out: pl.Out[T]):
    for i in pl.parallel(4):
        with pl.at(level=CORE):
            out[i * 4 : i * 4 + 4, :] = pl.mul(x[i * 4 : i * 4 + 4, :], 2.0)
    return out


@pl.jit
def carries_a_row(x: T, out: pl.Out[T]):
    with pl.at(level=CORE):
        out[0:1, :] = x[0:1, :]
    for i in pl.range(1, 16):
        with pl.at(level=CORE):
            out[i : i + 1, :] = pl.add(out[i - 1 : i, :], x[i : i + 1, :])
    return out


@pl.jit
def reshaped(x: T, out: pl.Out[T]):
    s = pl.create_tensor([16, 16], dtype=pl.FP32)
    with pl.at(level=CORE):
        s[:, :] = x[:, :]
    right = s[:, 8:16]
    left = pl.reshape(s, [4, 64])[:, 0:8]
    with pl.at(level=CORE):
        right[:, :] = pl.mul(right[:, :], 2.0)
    with pl.at(level=CORE):
        out[0:4, 0:8] = left[:, :]  # bad
    with pl.at(level=CORE):
        out[4:16, :] = s[4:16, :]
    with pl.at(level=CORE):
        out[0:4, 8:16] = s[0:4, 8:16]
    return out


@pl.jit
def reshaped_and_left_out(x: T, out: pl.Out[T]):
    s = pl.create_tensor([16, 16], dtype=pl.FP32)
    with pl.at(level=CORE) as made:
        s[:, :] = x[:, :]
    right = s[:, 8:16]
    left = pl.reshape(s, [4, 64])[:, 0:8]
    with pl.at(level=CORE):
        right[:, :] = pl.mul(right[:, :], 2.0)
    with pl.at(level=CORE, deps=[made], no_dep_args=[left]):
        out[0:4, 0:8] = left[:, :]
    with pl.at(level=CORE):
        out[4:16, :] = s[4:16, :]
    with pl.at(level=CORE):
        out[0:4, 8:16] = s[0:4, 8:16]
    return out


@pl.jit
def view_of_manual(x: T, out: pl.Out[T]):
    s = pl.create_tensor([16, 16], dtype=pl.FP32, manual_dep=True)
    part = s[0:8, :]
    with pl.at(level=CORE):
        part[:, :] = x[0:8, :]
    with pl.at(level=CORE):
        out[0:8, :] = part[:, :]  # bad
    with pl.at(level=CORE):
        out[8:16, :] = x[8:16, :]
    return out


@pl.jit
def view_of_manual_left_out(x: T, out: pl.Out[T]):
    s = pl.create_tensor([16, 16], dtype=pl.FP32, manual_dep=True)
    part = s[0:8, :]
    with pl.at(level=CORE) as made:
        part[:, :] = x[0:8, :]
    with pl.at(level=CORE, deps=[made], no_dep_args=[part]):
        out[0:8, :] = part[:, :]
    with pl.at(level=CORE):
        out[8:16, :] = x[8:16, :]
    return out


def found(kernel: Any, code: str = "", **options: Any) -> list[Finding]:
    done = run(kernel, [X, np.zeros_like(X)], **{"timing": False, **options})
    return [f for f in done.findings if f.code in CODES and f.code.startswith(code)]


BAD = [
    (chained, "PTO440", "out[16, 16], of which they touch separate parts (3 edges)"),
    (reshaped, "PTO441", "[4, 8] with strides [64, 1] cannot be held against [16, 8] with [16, 1] (1 edge)"),
    (view_of_manual, "PTO442", "because of its view of s, although that tensor has manual_dep=True (1 edge)"),
]


@pytest.mark.parametrize(("kernel", "code", "message"), BAD, ids=[row[0].name for row in BAD])
def test_an_edge_for_nothing_is_found_with_both_lines(kernel: Any, code: str, message: str) -> None:
    (finding,) = found(kernel, code)
    lines, first = inspect.getsourcelines(kernel.function)
    assert finding.severity == "info" and message in finding.message
    assert finding.site.endswith(f":{first + next(i for i, text in enumerate(lines) if '# bad' in text)}")
    assert finding.other and finding.allocation


FIXES = [
    (sliced, "PTO440"), (in_parallel, "PTO440"), (carries_a_row, "PTO440"), (reshaped_and_left_out, "PTO441"),
    (view_of_manual_left_out, "PTO442"),
]  # fmt: skip


@pytest.mark.parametrize(("kernel", "code"), FIXES, ids=[row[0].name for row in FIXES])
def test_the_fix_is_silent(kernel: Any, code: str) -> None:
    assert found(kernel, code) == []


def test_a_timed_run_says_what_the_chain_costs() -> None:
    """Four equal tasks in a row take four times as long as one of them."""
    (finding,) = found(chained, timing=True)
    match = re.search(r"takes ([\d.]+) us, ([\d.]+) us without", finding.message)
    assert match is not None
    with_us, without_us = float(match[1]), float(match[2])
    assert 2 * without_us < with_us <= 4 * without_us + 0.05


@st.composite
def graphs(draw: st.DrawFn) -> tuple[list[GraphTask], list[float]]:
    count = draw(st.integers(1, 8))
    waits = [draw(st.sets(st.integers(0, number - 1), max_size=3)) if number else set() for number in range(count)]
    tasks = [GraphTask(number, "AIV", tuple(sorted(before)), (), 0, 0) for number, before in enumerate(waits)]
    return tasks, draw(st.lists(st.integers(0, 9).map(float), min_size=count, max_size=count))


def paths(tasks: list[GraphTask], last: int) -> list[list[int]]:
    """Every chain that ends with a task."""
    return [[last], *([*path, last] for before in tasks[last].waits for path in paths(tasks, before))]


@settings(max_examples=200)
@given(graphs())
def test_the_longest_chain_is_that_of_all_paths(graph: tuple[list[GraphTask], list[float]]) -> None:
    tasks, durations = graph
    chains = [path for last in range(len(tasks)) for path in paths(tasks, last)]
    assert longest_chain_us(tasks, durations) == max(sum(durations[task] for task in path) for path in chains)


def test_what_waits_for_a_consumer_keeps_waiting_for_the_producer_that_was_dropped() -> None:
    first, second = GraphTask(0, "AIV", (), (), 0, 0), GraphTask(1, "AIV", (0,), (), 0, 0)
    reader = GraphTask(2, "AIV", (1,), (), 0, 0)
    durations = [5.0, 1.0, 2.0]
    assert longest_chain_us([first, second, reader], durations) == 8.0
    assert longest_chain_us([first, second, reader], durations, {(0, 1)}) == 7.0
    assert longest_chain_us([first, second, reader], durations, {(0, 1), (1, 2)}, {2: [1]}) == 7.0


def touched(program: Program, record: int, tensor: int, write: bool | None = None) -> set[int]:
    """The elements of a tensor that a task touched, one by one."""
    found: set[int] = set()
    for access in program.tasks[record].accesses:
        if access.tensor == tensor and write in (None, access.write):
            for place in np.ndindex(*access.shape):
                inner = sum(i * stride for i, stride in zip(place, access.strides, strict=True))
                found |= {int(offset) + inner for offset in access.offsets}
    return found


def elements(offset: int, shape: tuple[int, ...], strides: tuple[int, ...]) -> set[int]:
    """The elements of a view."""
    return {offset + sum(i * s for i, s in zip(place, strides, strict=True)) for place in np.ndindex(*shape)}


@settings(max_examples=100, deadline=None)
@given(orchestration_programs())
def test_the_edges_that_are_reported_are_those_that_share_nothing(drawn: TaskProgram) -> None:
    with drawn.kernel() as kernel:
        done = run(kernel, drawn.arguments(), timing=False)
    program = done.program
    assert program is not None and done.lowered is not None
    graph = task_graph(done.lowered, program)
    expected: set[tuple[int, int]] = set()
    for consumer, producer in {(edge.consumer, edge.producer) for edge in graph.edges}:
        ways = [e for e in graph.edges if (e.consumer, e.producer) == (consumer, producer)]
        if any(edge.source != "tensormap" for edge in ways):
            continue
        record = graph.tasks[consumer].record
        args = [program.tasks[record].args[edge.argument] for edge in ways]
        writer = graph.tasks[producer].record
        if any(touched(program, record, arg.tensor) & touched(program, writer, arg.tensor, True) for arg in args):
            continue
        for edge, arg in zip(ways, args, strict=True):
            assert edge.written is not None
            apart = not elements(arg.offset, arg.shape, arg.strides) & elements(*edge.written)
            if apart or edge.direction == "INOUT":
                expected.add((consumer, producer))
    event(f"false edges: {bool(expected)}")
    said = [f.message for f in done.findings if f.code in ("PTO440", "PTO441")]
    counts = [int(match[1]) for text in said if (match := re.search(r"\((\d+) edges?\)", text))]
    assert len(counts) == len(said) and sum(counts) >= len(expected) and bool(said) == bool(expected)
    assert sum(counts) <= sum(e.source == "tensormap" for e in graph.edges)
