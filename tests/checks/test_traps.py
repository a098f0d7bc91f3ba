"""The index of findings against the catalogue; for each code of a trap a kernel that meets it and one that does not."""

from __future__ import annotations

import math
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import pto_sim.language as pl
from pto_sim.checks import CATALOGUE
from pto_sim.program.errors import KernelError
from pto_sim.testing import run

from . import (
    test_barriers,
    test_checks,
    test_core_races,
    test_early_resolve,
    test_false_edges,
    test_missing_edges,
    test_predicates,
    test_races,
    test_scope_layout,
    test_unwritten,
)

DOCS = Path(__file__).resolve().parents[2] / "docs"
INDEX = (DOCS / "findings" / "README.md").read_text(encoding="utf-8")
T = pl.Tensor[[16, 16], pl.FP32]
ROWS = pl.Tensor[[64, 16], pl.FP32]
CORE = pl.Level.CORE_GROUP


@pl.jit(auto_scope=False)
def used_after_its_scope(x: T, out: pl.Out[T]):
    with pl.scope():
        s = pl.create_tensor([16, 16], dtype=pl.FP32)
        with pl.at(level=CORE):
            s[:, :] = x[:, :]
    with pl.at(level=CORE):
        out[:, :] = s[:, :]
    return out


@pl.jit(auto_scope=False)
def used_in_its_scope(x: T, out: pl.Out[T]):
    with pl.scope():
        s = pl.create_tensor([16, 16], dtype=pl.FP32)
        with pl.at(level=CORE):
            s[:, :] = x[:, :]
        with pl.at(level=CORE):
            out[:, :] = s[:, :]
    return out


def hard_barrier(blocks: int, rows: int) -> Any:
    @pl.jit
    def waits(x: ROWS, out: pl.Out[ROWS]):
        for b in pl.spmd(blocks, sync_start=True):
            tile = pl.neg(x[b * rows : b * rows + rows, :])
            pl.system.syncall(core_type="aiv_only")
            out[b * rows : b * rows + rows, :] = tile
        return out

    return waits


def started_together(blocks: int) -> Any:
    @pl.jit
    def starts(x: ROWS, out: pl.Out[ROWS]):
        for b in pl.spmd(blocks, sync_start=True):
            out[b : b + 1, :] = pl.neg(x[b : b + 1, :])
        return out

    return starts


PROOFS = {
    "PTO101": (used_after_its_scope, used_in_its_scope),
    "PTO244": (hard_barrier(32, 1), hard_barrier(48, 1)),
    "PTO401": (test_checks.leaves, test_checks.copies),
    "PTO402": (test_checks.copies_half, test_checks.copies),
    "PTO403": (test_checks.doubles_input, test_checks.doubles_inout),
    "PTO408": (test_unwritten.reads_before_it_writes, test_unwritten.writes_first),
    "PTO409": (test_unwritten.updates_an_output, test_unwritten.updates_in_place),
    "PTO410": (test_unwritten.rows_missing, test_unwritten.valid_rows),
    "PTO430": (test_missing_edges.manual_scope_without_edge, test_missing_edges.manual_scope_with_edge),
    "PTO431": (test_missing_edges.reshaped_twice, test_missing_edges.reshaped_twice_in_order),
    "PTO432": (test_missing_edges.written_by_two, test_missing_edges.written_apart),
    "PTO433": (test_races.blocks_meet, test_races.blocks_apart),
    "PTO434": (test_races.freed_under_a_reader, test_races.kept_for_a_reader),
    "PTO436": (test_predicates.gate_without_dep, test_predicates.gate_with_dep),
    "PTO437": (test_barriers.kernel(64, 1), test_barriers.kernel(32, 2)),
    "PTO438": (test_core_races.lanes_meet, test_core_races.lanes_apart),
    "PTO440": (test_false_edges.chained, test_false_edges.sliced),
    "PTO441": (test_false_edges.reshaped, test_false_edges.reshaped_and_left_out),
    "PTO442": (test_false_edges.view_of_manual, test_false_edges.view_of_manual_left_out),
    "PTO443": (test_scope_layout.frees_nothing, test_scope_layout.frees_each_time),
    "PTO444": (test_scope_layout.four_deep, test_scope_layout.three_deep),
    "PTO445": (test_early_resolve.one_of_two, test_early_resolve.both),
    "PTO907": (started_together(64), started_together(48)),
}


def rows(heading: str) -> list[list[str]]:
    """The cells of the table under a heading of the index."""
    part = INDEX.split(f"## {heading}\n", 1)[1].split("\n## ", 1)[0]
    lines = [line for line in part.splitlines() if line.startswith("| ")]
    return [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines[1:]]


TRAPS = rows("Traps of the runtime")
CODES = sorted({code for row in TRAPS for code in re.findall(r"\[(PTO\d+)\]", row[1]) if code != "PTO001"})


def test_the_index_lists_the_catalogue() -> None:
    expected = [[f"[{kind.code}]({kind.code}.md)", kind.severity, kind.title] for kind in CATALOGUE.values()]
    assert rows("Findings") == sorted(expected)


def test_every_trap_has_codes_or_a_reason() -> None:
    """There are 17; three are between cards, and one is of files that collect at run time."""
    assert len(TRAPS) == 17
    reasons = [row[1].split(":")[0] for row in TRAPS if not row[1].startswith("[PTO")]
    assert reasons == ["not yet", "not yet", "not yet", "nothing to find"]
    assert all("card" in row[1] for row in TRAPS if row[1].startswith("not yet"))


def test_every_link_leads_to_a_page() -> None:
    links = re.findall(r"\[(PTO\d+)\]\(([^)]+)\)", INDEX)
    assert links and all((DOCS / "findings" / path).is_file() and code in path for code, path in links)


def test_every_code_of_a_trap_is_known_and_proved() -> None:
    assert sorted(PROOFS) == CODES
    assert all(code in CATALOGUE or (DOCS / "errors" / f"{code}.md").is_file() for code in CODES)


def codes_of(kernel: Any) -> set[str]:
    """What a run meets whose inputs are 0, 1, 2, ...: findings, an error of the kernel or a runtime error."""
    args = []
    for parameter in kernel.parameters:
        shape, dtype = parameter.type.shape, parameter.type.dtype.numpy
        value = parameter.type.direction == "in" and parameter.name != "cells"
        args.append((np.arange(math.prod(shape)).reshape(shape) * value).astype(dtype))
    try:
        done = run(kernel, args)
    except KernelError as error:
        return {error.code}
    fault = {done.fault.code} if done.fault is not None else set()
    return fault | {finding.code for finding in done.findings}


@pytest.mark.parametrize("code", CODES)
def test_the_trap_is_met_and_the_fix_is_silent(code: str) -> None:
    bad, fix = PROOFS[code]
    assert code in codes_of(bad) and code not in codes_of(fix)
