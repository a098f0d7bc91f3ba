"""Races between the cores of a block (PTO438): each on a minimal bad kernel and its fix, and against sets of rows."""

from __future__ import annotations

import inspect
from typing import Any

import numpy as np
import pytest
from hypothesis import event, given, settings
from hypothesis import strategies as st

import pto_sim.language as pl
from pto_sim.program.findings import Finding
from pto_sim.testing import run

T = pl.Tensor[[16, 16], pl.FP32]
WORK = pl.Tensor[[256], pl.INT64]
CORE = pl.Level.CORE_GROUP
X = np.arange(256, dtype=np.float32).reshape(16, 16)
SLOT = 16 * 16 * 4
CODES = ("PTO433", "PTO435", "PTO438")


@pl.jit
def lanes_meet(x: T, out: pl.Out[T]):
    with pl.at(level=CORE):
        for lane in pl.split_aiv(2, mode=pl.SplitMode.NONE):
            out[0:8, :] = x[lane * 8 : lane * 8 + 8, :]  # bad
    return out


@pl.jit
def lanes_apart(x: T, out: pl.Out[T]):
    with pl.at(level=CORE):
        for lane in pl.split_aiv(2, mode=pl.SplitMode.NONE):
            out[lane * 8 : lane * 8 + 8, :] = x[lane * 8 : lane * 8 + 8, :]
    return out


@pl.jit
def lanes_write_alike(x: T, out: pl.Out[T]):
    with pl.at(level=CORE):
        for _lane in pl.split_aiv(2, mode=pl.SplitMode.NONE):
            out[:, :] = pl.add(x[:, :], 1.0)  # bad
    return out


@pl.jit
def lane_reads_the_other(x: T, out: pl.Out[T]):
    s = pl.create_tensor([16, 16], dtype=pl.FP32)
    with pl.at(level=CORE):
        for lane in pl.split_aiv(2, mode=pl.SplitMode.NONE):
            if lane == 0:
                s[:, :] = pl.add(x[:, :], 1.0)
            else:
                out[:, :] = s[:, :]  # bad
    return out


@pl.jit
def lane_waits_for_the_other(x: T, out: pl.Out[T]):
    s = pl.create_tensor([16, 16], dtype=pl.FP32)
    with pl.at(level=CORE):
        for lane in pl.split_aiv(2, mode=pl.SplitMode.NONE):
            if lane == 0:
                s[:, :] = pl.add(x[:, :], 1.0)
                pl.system.sync_set(4, pipe=pl.PipeType.MTE3, ffts_mode=1, core_type="aiv")
            else:
                pl.system.sync_wait(4, pipe=pl.PipeType.MTE2, core_type="aiv")
                out[:, :] = s[:, :]
    return out


@pl.jit
def row_of_the_other_half(x: T, out: pl.Out[T]):
    """Each lane keeps its half of s, and both read row 3, which lane 0 has."""
    s = pl.create_tensor([16, 16], dtype=pl.FP32)
    with pl.at(level=CORE, optimizations=[pl.split(pl.SplitMode.UP_DOWN)]):
        c = pl.matmul(x[:, :], x[:, :])
        s[:, :] = pl.add(c, 1.0)
        out[:, :] = pl.col_expand_mul(c, s[3:4, :])  # bad
    return out


@pl.jit
def half_of_the_own(x: T, out: pl.Out[T]):
    s = pl.create_tensor([16, 16], dtype=pl.FP32)
    with pl.at(level=CORE, optimizations=[pl.split(pl.SplitMode.UP_DOWN)]):
        c = pl.matmul(x[:, :], x[:, :])
        s[:, :] = pl.add(c, 1.0)
        out[:, :] = pl.mul(c, s[:, :])
    return out


@pl.jit
def halves_by_columns(x: T, out: pl.Out[T]):
    s = pl.create_tensor([16, 16], dtype=pl.FP32)
    for b in pl.spmd(2):
        for _lane in pl.split_aiv(2, mode=pl.SplitMode.LEFT_RIGHT):
            s[b * 8 : b * 8 + 8, :] = pl.mul(x[b * 8 : b * 8 + 8, :], 2.0)
            out[b * 8 : b * 8 + 8, :] = pl.add(s[b * 8 : b * 8 + 8, :], 1.0)
    return out


@pl.jit
def cube_reads_what_vector_stores(x: T, out: pl.Out[T]):
    s = pl.create_tensor([16, 16], dtype=pl.FP32)
    with pl.at(level=CORE):
        s[:, :] = pl.add(x[:, :], 1.0)
        out[:, :] = pl.matmul(s[:, :], x[:, :])  # bad
    return out


@pl.jit
def cube_takes_the_tile(x: T, out: pl.Out[T]):
    with pl.at(level=CORE):
        s = pl.add(x[:, :], 1.0)
        out[:, :] = pl.matmul(s, x[:, :])
    return out


@pl.jit
def stored_in_two_places(x: T, out: pl.Out[T]):
    """The compiler orders a load with the cube's store only if the tensor has one."""
    s = pl.create_tensor([16, 16], dtype=pl.FP32)
    with pl.at(level=CORE):
        s[0:8, :] = pl.matmul(x[0:8, :], x[:, :])
        s[8:16, :] = pl.matmul(x[8:16, :], x[:, :])
        out[:, :] = pl.add(s[:, :], 1.0)  # bad
    return out


@pl.jit
def stored_in_one_place(x: T, out: pl.Out[T]):
    s = pl.create_tensor([16, 16], dtype=pl.FP32)
    with pl.at(level=CORE):
        s[:, :] = pl.matmul(x[:, :], x[:, :])
        out[:, :] = pl.add(s[:, :], 1.0)
    return out


@pl.jit
def loaded_in_a_loop(x: T, out: pl.Out[T]):
    s = pl.create_tensor([16, 16], dtype=pl.FP32)
    with pl.at(level=CORE):
        s[:, :] = pl.matmul(x[:, :], x[:, :])
        for i in pl.range(2):
            out[i * 8 : i * 8 + 8, :] = pl.add(s[i * 8 : i * 8 + 8, :], 1.0)
    return out


@pl.jit
def stored_in_a_loop(x: T, out: pl.Out[T]):
    """Behind the loop the compiler no longer knows the store."""
    s = pl.create_tensor([16, 16], dtype=pl.FP32)
    with pl.at(level=CORE):
        for i in pl.range(2):
            s[i * 8 : i * 8 + 8, :] = pl.matmul(x[i * 8 : i * 8 + 8, :], x[:, :])
        out[:, :] = pl.add(s[:, :], 1.0)  # bad
    return out


@pl.jit
def stored_and_loaded_in_loops(x: T, out: pl.Out[T]):
    """Each of two loops has one store; to the list that both are in they are not two."""
    s = pl.create_tensor([32, 16], dtype=pl.FP32)
    with pl.at(level=CORE):
        for i in pl.range(2):
            s[i * 8 : i * 8 + 8, :] = pl.matmul(x[i * 8 : i * 8 + 8, :], x[:, :])
            out[i * 8 : i * 8 + 8, :] = pl.add(s[i * 8 : i * 8 + 8, :], 1.0)
        for j in pl.range(2):
            s[j * 8 + 16 : j * 8 + 24, :] = pl.matmul(x[j * 8 : j * 8 + 8, :], x[:, :])
            out[j * 8 : j * 8 + 8, :] = pl.add(s[j * 8 + 16 : j * 8 + 24, :], 1.0)
    return out


@pl.jit
def loaded_in_a_region(x: T, out: pl.Out[T]):
    s = pl.create_tensor([16, 16], dtype=pl.FP32)
    with pl.at(level=CORE):
        s[:, :] = pl.matmul(x[:, :], x[:, :])
        for lane in pl.split_aiv(2, mode=pl.SplitMode.NONE):
            out[lane * 8 : lane * 8 + 8, :] = pl.add(s[lane * 8 : lane * 8 + 8, :], 1.0)
    return out


@pl.jit
def vector_overwrites_what_cube_reads(x: T, s: pl.InOut[T], out: pl.Out[T]):
    with pl.at(level=CORE):
        c = pl.matmul(s[:, :], x[:, :])
        s[:, :] = pl.add(x[:, :], 1.0)  # bad
        out[:, :] = pl.add(c, 1.0)
    return out


@pl.jit
def vector_overwrites_after_the_product(x: T, s: pl.InOut[T], out: pl.Out[T]):
    with pl.at(level=CORE):
        c = pl.add(pl.matmul(s[:, :], x[:, :]), 1.0)
        s[:, :] = pl.add(x[:, :], 1.0)
        out[:, :] = c
    return out


@pl.jit
def gathered_too_late(x: T, out: pl.Out[T]):
    """The second region reads what the other lane stored in the first, and nothing crosses between them."""
    s = pl.create_tensor([16, 16], dtype=pl.FP32)
    with pl.at(level=CORE):
        for lane in pl.split_aiv(2, mode=pl.SplitMode.UP_DOWN):
            h = pl.add(x[lane * 8 : lane * 8 + 8, :], 1.0)
            s[lane * 8 : lane * 8 + 8, :] = h
            g = pl.aic_gather(h)
        c = pl.matmul(g, x[:, :])
        for lane in pl.split_aiv(2, mode=pl.SplitMode.UP_DOWN):
            other = s[8 - lane * 8 : 16 - lane * 8, :]  # bad
            d = pl.aiv_shard(c)
            out[lane * 8 : lane * 8 + 8, :] = pl.add(d, other)
    return out


@pl.jit
def gathered_and_sharded_between(x: T, out: pl.Out[T]):
    s = pl.create_tensor([16, 16], dtype=pl.FP32)
    with pl.at(level=CORE):
        for lane in pl.split_aiv(2, mode=pl.SplitMode.UP_DOWN):
            h = pl.add(x[lane * 8 : lane * 8 + 8, :], 1.0)
            s[lane * 8 : lane * 8 + 8, :] = h
            g = pl.aic_gather(h)
        c = pl.matmul(g, x[:, :])
        for lane in pl.split_aiv(2, mode=pl.SplitMode.UP_DOWN):
            d = pl.aiv_shard(c)
            other = s[8 - lane * 8 : 16 - lane * 8, :]
            out[lane * 8 : lane * 8 + 8, :] = pl.add(d, other)
    return out


def group(signals: bool, pops_first: bool) -> Any:
    """The cube stores to GM; the vector core reads it, behind an event or a pop of the tile that was stored before."""

    @pl.program
    class Program:
        @pl.function(type=pl.FunctionType.AIC)
        def cube(self, x: T, s: pl.InOut[T], out: pl.Out[T]):
            to_vector = pl.import_peer_buffer(name="buffer", peer_func="vector")
            pl.aic_initialize_pipe(to_vector, 0, dir_mask=1, slot_size=SLOT, id=0)
            c = pl.matmul(x[:, :], x[:, :])
            pl.store(c, [0, 0], s)
            if signals:
                pl.system.sync_set(4, pipe=pl.PipeType.FIX, core_type="aic")
            pl.tpush_to_aiv(c, split=0, id=0)

        @pl.function(type=pl.FunctionType.AIV)
        def vector(self, x: T, s: pl.InOut[T], out: pl.Out[T]):
            own = pl.reserve_buffer(name="buffer", size=8 * SLOT, base=pl.AUTO)
            pl.aiv_initialize_pipe(own, 0, dir_mask=1, slot_size=SLOT, id=0)
            if signals:
                pl.system.sync_wait(4, pipe=pl.PipeType.MTE2, core_type="aiv")
            if not pops_first:
                pl.store(pl.load(s, [0, 0], [8, 16]), [0, 0], out)
            p: pl.Tile[[16, 16], pl.FP32] = pl.tpop_from_aic(split=0, id=0)
            if pops_first:
                pl.store(pl.load(s, [0, 0], [8, 16]), [0, 0], out)
            out = pl.store(p[8:16, :], [8, 0], out)
            pl.tfree_to_aic(p)
            return out

        @pl.function(type=pl.FunctionType.Group)
        def group(self, x: T, s: pl.InOut[T], out: pl.Out[T]):
            self.cube(x, s, out)
            result = self.vector(x, s, out)
            return result

        @pl.function(type=pl.FunctionType.Orchestration)
        def main(self, x: T, s: pl.InOut[T], out: pl.Out[T]):
            out = self.group(x, s, out)
            return out

    return Program


def found(kernel: Any, *more: np.ndarray, **options: Any) -> list[Finding]:
    done = run(kernel, [X, *(array.copy() for array in more), np.zeros_like(X)], timing=False, **options)
    return [finding for finding in done.findings if finding.code in CODES]


def line(kernel: Any, mark: str = "# bad") -> int:
    lines, first = inspect.getsourcelines(kernel.function)
    return first + next(i for i, text in enumerate(lines) if mark in text)


BAD = [
    (lanes_meet, (), "PTO438", "vector core 1 writes out[0, 0], vector core 0 writes it at"),
    (lanes_write_alike, (), "PTO435", "vector core 1 writes out[0, 0], vector core 0 writes it at"),
    (lane_reads_the_other, (), "PTO438", "vector core 1 reads s[0, 0], vector core 0 writes it at"),
    (row_of_the_other_half, (), "PTO438", "vector core 1 reads s[3, 0], vector core 0 writes it at"),
    (cube_reads_what_vector_stores, (), "PTO438", "the cube core reads s[0, 0], vector core 0 writes it at"),
    (stored_in_two_places, (), "PTO438", "vector core 0 reads s[0, 0], the cube core writes it at"),
    (stored_in_a_loop, (), "PTO438", "vector core 0 reads s[0, 0], the cube core writes it at"),
    (vector_overwrites_what_cube_reads, (X,), "PTO438", "vector core 0 writes s[0, 0], the cube core reads it at"),
    (gathered_too_late, (), "PTO438", "vector core 1 reads s[0, 0], vector core 0 writes it at"),
]


@pytest.mark.parametrize(("kernel", "more", "code", "message"), BAD, ids=[row[0].name for row in BAD])
def test_a_race_between_cores_is_found_at_its_line(kernel: Any, more: Any, code: str, message: str) -> None:
    findings = found(kernel, *more)
    assert {finding.code for finding in findings} == {code}
    finding = findings[0]
    assert message in finding.message and "nothing orders the two" in finding.message
    assert int(finding.site.rsplit(":", 1)[1]) == line(kernel)
    assert finding.severity == ("info" if code == "PTO435" else "error")
    assert finding.hint and finding.allocation and f"at {finding.other}," in finding.message


FIXES = [
    (lanes_apart, ()), (lane_waits_for_the_other, ()), (half_of_the_own, ()), (halves_by_columns, ()),
    (cube_takes_the_tile, ()), (stored_in_one_place, ()), (vector_overwrites_after_the_product, (X,)),
    (gathered_and_sharded_between, ()), (loaded_in_a_loop, ()), (stored_and_loaded_in_loops, ()),
    (loaded_in_a_region, ()),
]  # fmt: skip


@pytest.mark.parametrize(("kernel", "more"), FIXES, ids=[row[0].name for row in FIXES])
def test_the_fix_is_silent(kernel: Any, more: Any) -> None:
    assert found(kernel, *more) == []


@pytest.mark.parametrize("signals", [True, False])
@pytest.mark.parametrize("pops_first", [True, False])
def test_an_event_or_a_tile_that_crosses_orders_functions_of_one_core(signals: bool, pops_first: bool) -> None:
    findings = found(group(signals, pops_first), np.zeros_like(X))
    if signals or pops_first:
        assert findings == []
    else:
        assert [finding.code for finding in findings] == ["PTO438"]
        assert "vector core 0 reads s[0, 0], the cube core writes it at" in findings[0].message


@pl.jit
def lanes_of_some_blocks_meet(x: T, out: pl.Out[T]):
    """Only odd blocks give both lanes the same rows."""
    for b in pl.spmd(4):
        for lane in pl.split_aiv(2, mode=pl.SplitMode.NONE):
            if b % 2 == 1:
                out[b * 4 : b * 4 + 2, :] = x[b * 4 + lane * 2 : b * 4 + lane * 2 + 2, :]  # bad
            else:
                out[b * 4 + lane * 2 : b * 4 + lane * 2 + 2, :] = x[b * 4 + lane * 2 : b * 4 + lane * 2 + 2, :]
    return out


@pytest.mark.parametrize("lanes", [1, 2, 64])
def test_blocks_that_take_another_branch_are_told_apart(lanes: int) -> None:
    (finding,) = found(lanes_of_some_blocks_meet, lanes=lanes)
    assert finding.code == "PTO438" and int(finding.site.rsplit(":", 1)[1]) == line(lanes_of_some_blocks_meet)
    assert "out[4, 0]" in finding.message and "both in block 1" in finding.message


rows = st.tuples(st.integers(0, 15), st.integers(1, 16)).map(lambda r: (r[0], min(r[1], 16 - r[0])))
Rows = tuple[int, int]


def lanes_of(stored: Rows, read: Rows, second: Rows, signal: bool) -> Any:
    """Lane 0 stores and reads rows of s, and may signal; lane 1 waits for the signal, and stores `second`."""
    (at, count), (from_, many), (to, last) = stored, read, second

    @pl.jit
    def kernel(x: T, s: pl.InOut[T], out: pl.InOut[T]):
        with pl.at(level=CORE):
            for lane in pl.split_aiv(2, mode=pl.SplitMode.NONE):
                if lane == 0:
                    pl.store(pl.add(pl.load(x, [at, 0], [count, 16]), 1.0), [at, 0], s)
                    pl.store(pl.load(s, [from_, 0], [many, 16]), [0, 0], out)
                    if signal:
                        pl.system.sync_set(4, pipe=pl.PipeType.MTE3, ffts_mode=1, core_type="aiv")
                else:
                    if signal:
                        pl.system.sync_wait(4, pipe=pl.PipeType.MTE2, core_type="aiv")
                    pl.store(pl.add(pl.load(x, [to, 0], [last, 16]), 2.0), [to, 0], s)
        return out

    return kernel


@settings(max_examples=40)
@given(rows, rows, rows, st.booleans())
def test_a_race_is_found_where_the_rows_of_two_lanes_meet(stored: Rows, read: Rows, second: Rows, signal: bool) -> None:
    mine = {row for at, count in (stored, read) for row in range(at, at + count)}
    meet = bool(mine & set(range(second[0], sum(second))))
    event(f"meet {meet}, signal {signal}")
    done = run(lanes_of(stored, read, second, signal), [X, np.zeros_like(X), np.zeros_like(X)], timing=False)
    races = [f for f in done.findings if f.code == "PTO438"]
    assert bool(races) is (meet and not signal)
