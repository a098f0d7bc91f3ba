"""Task ids: arrays, ids carried through pl.parallel, and arguments without automatic dependencies."""

from __future__ import annotations

import runpy
from typing import Any

import numpy as np
import pytest

import pto_sim.language as pl
from pto_sim.engine import run_kernel
from pto_sim.lowering import lower
from pto_sim.program.errors import KernelError
from pto_sim.program.options import RunOptions


def indented(text: str) -> str:
    """Lines of a body, each ended."""
    return "".join(f"    {line}\n" for line in text.splitlines())


A = np.arange(64 * 16, dtype=np.float32).reshape(64, 16)
T = pl.Tensor[[64, 16], pl.FP32]


@pl.jit.incore
def negate(a: T, o: pl.Out[T], row: pl.Scalar[pl.INDEX]):
    o[row : row + 8, :] = pl.neg(a[row : row + 8, :])
    return o


def run(kernel: Any, *arrays: np.ndarray) -> Any:
    return run_kernel(kernel, list(arrays), RunOptions(), ())


@pytest.fixture
def kernel_of(tmp_path: Any) -> Any:
    """A kernel with a body given as text."""

    def make(body: str) -> Any:
        head = (
            "import pto_sim.language as pl\n"
            "T = pl.Tensor[[64, 16], pl.FP32]\n\n"
            "@pl.jit\ndef kernel(a: T, o: pl.Out[T]):\n"
        )
        path = tmp_path / "ids.py"
        path.write_text(head + indented(body), encoding="utf-8")
        return runpy.run_path(str(path))["kernel"]

    return make


def deps(done: Any) -> list[list[int]]:
    return [sorted(task.explicit_deps) for task in done.program.tasks]


@pl.jit
def phases(a: T, o: pl.Out[T]):
    with pl.manual_scope():
        last = None
        for phase in pl.range(2):
            for branch in pl.parallel(3):
                o, last = pl.submit(negate, a, o, (phase * 3 + branch) * 8, deps=[last])
    return o


def test_ids_through_parallel_are_an_array_with_a_slot_for_each_iteration() -> None:
    """An iteration writes its own slot and waits for all: the slots of this phase before it, the others' old ids."""
    assert deps(run(phases, A, np.zeros_like(A))) == [[], [0], [0, 1], [0, 1, 2], [1, 2, 3], [2, 3, 4]]


@pl.jit
def fenced(a: T, o: pl.Out[T]):
    with pl.manual_scope():
        tids = pl.array.create(3, pl.TASK_ID)
        for branch in pl.parallel(3):
            o, tid = pl.submit(negate, a, o, branch * 8)
            tids[branch] = tid
        fence = pl.system.task_dummy(deps=[tids])
        o, _ = pl.submit(negate, a, o, 24, deps=[fence, None, tids[1]])
        o, _ = pl.submit(negate, a, o, 32, deps=[tids[k] for k in range(2)])
    return o


def test_arrays_dummies_none_and_comprehensions_name_their_tasks() -> None:
    assert deps(run(fenced, A, np.zeros_like(A))) == [[], [], [], [0, 1, 2], [1, 3], [0, 1]]


@pl.jit
def after_all(a: T, o: pl.Out[T]):
    last = None
    for branch in pl.parallel(3):
        with pl.at(level=pl.Level.CORE_GROUP) as tid:
            o[branch * 8 : branch * 8 + 8, :] = pl.neg(a[branch * 8 : branch * 8 + 8, :])
        last = tid
    with pl.at(level=pl.Level.CORE_GROUP, deps=[last]):
        o[24:32, :] = pl.neg(a[24:32, :])
    return o


def test_what_follows_a_parallel_loop_waits_for_every_iteration() -> None:
    assert deps(run(after_all, A, np.zeros_like(A))) == [[], [], [], [0, 1, 2]]


@pl.jit
def gated(g: pl.Tensor[[1], pl.INT32], a: T, o: pl.InOut[T]):
    with pl.at(level=pl.Level.CORE_GROUP) as first:
        o[0:8, :] = pl.neg(a[0:8, :])
    with pl.spmd(2, deps=[first], predicate=(g[0] > 0)) as tid:
        i = pl.tile.get_block_idx()
        o[8 + i * 8 : 16 + i * 8, :] = pl.neg(a[8 + i * 8 : 16 + i * 8, :])
    with pl.at(level=pl.Level.CORE_GROUP, deps=[tid]):
        o[24:32, :] = pl.neg(a[24:32, :])
    return o


@pytest.mark.parametrize("gate", [0, 1])
def test_a_false_predicate_skips_the_blocks_and_releases_what_follows(gate: int) -> None:
    done = run(gated, np.array([gate], np.int32), A, np.zeros_like(A))
    want = np.zeros_like(A)
    want[:32] = -A[:32]
    if not gate:
        want[8:24] = 0
    np.testing.assert_array_equal(done.outputs["o"], want)
    assert deps(done) == [[], [0], [1]]
    assert [task.form for task in done.program.tasks] == ["at", "spmd" if gate else "dummy", "at"]


def two_writers(untracked: str) -> Any:
    @pl.jit
    def kernel(a: T, o: pl.Out[T]):
        s = pl.create_tensor([64, 16], dtype=pl.FP32)
        with pl.at(level=pl.Level.CORE_GROUP):
            s[:, :] = pl.neg(a)
        if untracked == "argument":
            with pl.at(level=pl.Level.CORE_GROUP, no_dep_args=[s]):
                o[:, :] = pl.neg(s)
        elif untracked == "call":
            o, _ = pl.submit(negate, pl.no_dep(s), o, 0)
        else:
            with pl.at(level=pl.Level.CORE_GROUP):
                o[:, :] = pl.neg(s)
        return o

    return kernel


@pytest.mark.parametrize(("untracked", "edges"), [("", 1), ("argument", 0), ("call", 0)])
def test_an_argument_left_out_of_the_dependencies_has_no_edge_to_its_writer(untracked: str, edges: int) -> None:
    lowered = lower(run(two_writers(untracked), A, np.zeros_like(A)).program)
    reader = lowered.workload.tasks[-1]
    assert sum(edge.source == "tensormap" for edge in reader.edges) == edges


@pl.jit
def tensor_as_id(a: T, o: pl.Out[T]):
    with pl.at(level=pl.Level.CORE_GROUP, deps=[a]):
        o[:, :] = pl.neg(a)


three = 3


@pl.jit
def id_as_tensor(a: T, o: pl.Out[T]):
    with pl.at(level=pl.Level.CORE_GROUP, no_dep_args=[three]):
        o[:, :] = pl.neg(a)


@pytest.mark.parametrize(("kernel", "text"), [(tensor_as_id, "takes task ids"), (id_as_tensor, "takes tensors")])
def test_ids_and_tensors_are_not_mixed_up(kernel: Any, text: str) -> None:
    with pytest.raises(KernelError, match=text):
        run(kernel, A, np.zeros_like(A))


def one(row: int, text: str = "") -> str:
    """A task on eight rows, with more options or `as`."""
    options = f", {text}" if text.startswith("deps") else ""
    bound = f" as {text}" if text and not options else ""
    return (
        f"with pl.at(level=pl.Level.CORE_GROUP{options}){bound}:\n"
        f"    o[{row} : {row} + 8, :] = pl.neg(a[{row} : {row} + 8, :])"
    )


LOOP = "for i in pl.range(2):\n"
CLOSED = {
    "first bound in a loop": LOOP + indented(one("i * 8", "tid")) + one(24, "deps=[tid]"),
    "an array made in a loop": LOOP
    + indented("ids = pl.array.create(1, pl.TASK_ID)\n" + one("i * 8", "tid") + "\nids[0] = tid\n")
    + one(24, "deps=[ids]"),
    "a slot of an array made in a loop": LOOP
    + indented("ids = pl.array.create(1, pl.TASK_ID)\n" + one("i * 8", "tid") + "\nids[0] = tid\n")
    + one(24, "deps=[ids[0]]"),
    "read from an array in a loop": "ids = pl.array.create(1, pl.TASK_ID)\n"
    + one(0, "tid")
    + "\nids[0] = tid\n"
    + LOOP
    + indented("kept = ids[0]\n" + one("8 + i * 8"))
    + one(32, "deps=[kept]"),
    "bound in a scope inside the loop that carries it": "last = None\n"
    + LOOP
    + indented("with pl.manual_scope():\n" + indented(one("i * 8", "last")))
    + one(24, "deps=[last]"),
}
OPEN = {
    "carried by a loop": "last = None\n"
    + LOOP
    + indented(one("i * 8", "tid") + "\nlast = tid\n")
    + one(24, "deps=[last]"),
    "carried through turns": "last = None\n"
    + LOOP
    + indented(one("i * 8", "deps=[last]") + "\n" + one("24 + i * 8", "last"))
    + one(48, "deps=[last]"),
    "bound in both arms": "n = pl.read(a, [0, 0])\nif n > 0.0:\n"
    + indented(one(0, "tid"))
    + "else:\n"
    + indented(one(8, "tid"))
    + one(24, "deps=[tid]"),
    "yielded": "for i, (last,) in pl.range(2, init_values=(None,)):\n"
    + indented(one("i * 8", "tid") + "\nfinal = pl.yield_(tid)\n")
    + one(24, "deps=[final]"),
    "kept in an array": "ids = pl.array.create(2, pl.TASK_ID)\n"
    + LOOP
    + indented(one("i * 8", "tid") + "\nids[i] = tid\n")
    + one(24, "deps=[ids]"),
    "unrolled": LOOP.replace("range", "unroll") + indented(one("i * 8", "tid")) + one(24, "deps=[tid]"),
}


@pytest.mark.parametrize("name", CLOSED)
def test_an_id_that_its_loop_or_scope_does_not_carry_is_an_error(name: str, kernel_of: Any) -> None:
    """pypto: docs/en/dev/codegen/01-orchestration_codegen.md, "Lexical-scope lifetime"."""
    with pytest.raises(KernelError, match="PTO266") as caught:
        run(kernel_of(CLOSED[name]), A, np.zeros_like(A))
    assert "deps=" in caught.value.hint or "outside" in caught.value.hint


@pytest.mark.parametrize("name", OPEN)
def test_an_id_that_is_carried_out_of_its_loop_is_waited_for(name: str, kernel_of: Any) -> None:
    done = run(kernel_of(OPEN[name]), A, np.zeros_like(A))
    assert len(deps(done)[-1]) >= 1
