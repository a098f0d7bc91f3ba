"""The terminal reports against golden text, at a fixed width and without colour.

REWRITE_GOLDEN=1 rewrites the texts; the difference is then reviewed like any other change.
"""

import dataclasses
import io
import os
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from pto_sim.report.compare import compare_runs, print_comparison
from pto_sim.report.progress import LiveProgress
from pto_sim.report.terminal import print_report

GOLDEN = Path(__file__).parent / "golden"


def shown(print_on, *args):
    console = Console(file=io.StringIO(), width=110, color_system=None, force_terminal=False, legacy_windows=False)
    print_on(*args, console)
    return "\n".join(line.rstrip() for line in console.file.getvalue().splitlines()) + "\n"


def check(name, text):
    path = GOLDEN / f"{name}.txt"
    if os.environ.get("REWRITE_GOLDEN"):
        path.write_text(text, encoding="utf-8")
    assert text == path.read_text(encoding="utf-8")


def test_passed_run(make_report):
    check("passed", shown(print_report, make_report()))


def test_what_stands_in_brackets_is_shown(make_report):
    from pto_sim.checks.catalogue import RACE_WRITE_AFTER_READ

    finding = RACE_WRITE_AFTER_READ.at("k.py:12", "writes s[0, 0]", other="k.py:10", allocation="k.py:6")
    text = shown(print_report, make_report(findings=[finding]))
    for piece in ("add deps=[id of the reader] to the writer", "other: k.py:10", "allocated: k.py:6", "writes s[0, 0]"):
        assert piece in " ".join(text.replace("│", " ").split()), text


def test_failed_comparison(make_report):
    report = make_report(passed=False, error="out: 3 of 6 elements differ\n  [0, 1] 1.0 instead of 2.0", findings=[])
    check("failed_comparison", shown(print_report, report))


def test_runtime_error(make_report, ring_fault):
    report = make_report(fault=ring_fault, error=str(ring_fault), heap={}, timeline=None, findings=[])
    check("runtime_error", shown(print_report, report))


def test_order_is_outcome_heap_time_findings(make_report):
    text = shown(print_report, make_report())
    places = [
        text.index(part) for part in ("PASSED", "Ring heap", "Heap by scope", "Time:", "Critical path", "Findings")
    ]
    assert places == sorted(places)


def test_fast_numerics_is_the_first_line(make_report):
    text = shown(print_report, make_report(numerics="fast"))
    assert "NOT bit-exact" in text.splitlines()[1]


@pytest.fixture
def two_runs(make_report, heap, timeline):
    ring = {**heap["max_lag"].rings, 1: (268435456, 24 << 20)}
    hoisted = dataclasses.replace(heap["max_lag"], rings=ring, frame_residency_bytes=4 << 20)
    slower = dataclasses.replace(timeline, total_us=20.0)
    left = make_report()
    right = make_report(heap={**heap, "max_lag": hoisted}, timeline=slower, findings=[], variant="hoist")
    return left, right


def test_comparison_of_variants(two_runs):
    comparison = compare_runs(*two_runs)
    assert comparison.same_bits
    rows = {row.what: row.verdict for row in (*comparison.heap, *comparison.time)}
    assert rows["max_lag: ring 1 high water"] == "+100.0%"  # 12 -> 24 MiB
    assert rows["prompt: ring 1 high water"] == "same"
    assert rows["total us"] == "+17.6%"  # 17 -> 20
    check("comparison", shown(print_comparison, comparison, ("before", "after")))


@pytest.mark.parametrize(
    "changes",
    [
        {"outputs": {"out": np.arange(6, dtype=np.float32).reshape(2, 3) + 1}},
        {"outputs": {"out": np.arange(6, dtype=np.float32)}},
        {"outputs": {"out": np.arange(6, dtype=np.float32).reshape(2, 3).view(np.int32)}},
        {"outputs": {"other": np.arange(6, dtype=np.float32).reshape(2, 3)}},
        {"written": {"out": np.array([[True] * 3, [True, True, False]])}},
        {"outputs": {}},
    ],
    ids=["bits", "shape", "dtype", "name", "written", "none"],
)
def test_any_difference_of_outputs_is_seen(make_report, changes):
    assert not compare_runs(make_report(), make_report(**changes)).same_bits


def test_two_failed_runs_are_not_the_same(make_report, ring_fault):
    failed = make_report(fault=ring_fault)
    assert not compare_runs(failed, failed).same_bits


def test_progress_shows_nothing_where_there_is_no_terminal():
    console = Console(file=io.StringIO(), force_terminal=False)
    with LiveProgress(console, delay_s=0.0) as progress:
        progress("run", "qk_pv")
    assert console.file.getvalue() == ""


def test_progress_names_stage_and_task():
    console = Console(file=io.StringIO(), force_terminal=True, width=100)
    with LiveProgress(console, delay_s=3600.0) as progress:
        progress("simulate", "qk_pv")
        progress._show()  # what the timer does after its delay
    text = console.file.getvalue()
    assert "simulate" in text and "qk_pv" in text


def test_progress_that_was_stopped_stays_hidden():
    console = Console(file=io.StringIO(), force_terminal=True, width=100)
    with LiveProgress(console, delay_s=3600.0) as progress:
        progress.stop()
        progress._show()
    assert "start" not in console.file.getvalue()
