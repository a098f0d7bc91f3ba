"""The out-of-order run can fail: without an edge, a pin or a dep some order gives other bits."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from ascend_model.ring import RingSizes
from ascend_model.workload import Edge
from pto_sim.lowering import lower
from pto_sim.lowering.lowered import LoweredProgram
from pto_sim.testing import Create, Launch, Scope, TaskProgram, View, reference, run
from tests.testing.event_driven import EventDriven

X, OUT = View("x", 0), View("out", 0)
MIB = 2**20
WIDE = RingSizes(heap_bytes=(MIB,) * 4)


def lowered_of(program: TaskProgram) -> LoweredProgram:
    with program.kernel() as kernel:
        done = run(kernel, program.arguments(), timing=False)
    assert done.program is not None
    return lower(done.program)


def changed(lowered: LoweredProgram, keep: Callable[[Edge], Edge | None]) -> LoweredProgram:
    tasks = tuple(
        task._replace(edges=tuple(kept for edge in task.edges if (kept := keep(edge)) is not None))
        for task in lowered.workload.tasks
    )
    return replace(lowered, workload=replace(lowered.workload, tasks=tasks))


def wrong_orders(program: TaskProgram, lowered: LoweredProgram, rings: RingSizes) -> int:
    arguments = program.arguments()
    want = reference(program, arguments)
    runs = [EventDriven(program, lowered, rings, seed).run(arguments) for seed in range(40)]
    return sum(not np.array_equal(have, want) for have in runs)


CHAIN = TaskProgram(
    (
        Create("t", 1),
        Launch("a", View("t", 0), ((X, 2),), 1),
        Launch("b", View("t", 0), (), 5, update=True),
        Launch("c", OUT, ((View("t", 0), 3),), 0),
    ),
    1,
    1,
)


def test_a_chain_needs_its_tensormap_edges() -> None:
    lowered = lowered_of(CHAIN)
    assert wrong_orders(CHAIN, lowered, WIDE) == 0
    without = changed(lowered, lambda edge: None if edge.source == "tensormap" else edge)
    assert wrong_orders(CHAIN, without, WIDE) > 0


SIBLINGS = TaskProgram(
    tuple(
        Scope(
            (
                Create(f"t{i}", 2),
                Launch(f"a{i}", View(f"t{i}", 0), ((X, i + 1),), i, blocks=2),
                Launch(f"b{i}", View("out", i), ((View(f"t{i}", 1), 1),), 0),
            )
        )
        for i in range(4)
    ),
    2,
    4,
)


def test_scopes_that_share_a_block_need_their_pins() -> None:
    """The ring holds one block and a half: each scope reuses the bytes of the one before."""
    rings = RingSizes(heap_bytes=(MIB, 1536, MIB, MIB))
    lowered = lowered_of(SIBLINGS)
    assert wrong_orders(SIBLINGS, lowered, rings) == 0
    unpinned = changed(lowered, lambda edge: edge._replace(retain=False))
    assert wrong_orders(SIBLINGS, unpinned, rings) > 0


READ_THEN_WRITE = TaskProgram(
    (
        Create("t", 1),
        Launch("a", View("t", 0), ((X, 1),), 0),
        Launch("b", OUT, ((View("t", 0), 1),), 0),
        Launch("c", View("t", 0), (), 9, update=True, deps=("b",)),
        Launch("d", View("out", 1), ((View("t", 0), 1),), 0),
    ),
    1,
    2,
)


def test_a_later_writer_needs_its_dep_on_the_reader() -> None:
    assert wrong_orders(READ_THEN_WRITE, lowered_of(READ_THEN_WRITE), WIDE) == 0
    body = tuple(replace(s, deps=()) if isinstance(s, Launch) else s for s in READ_THEN_WRITE.body)
    racy = replace(READ_THEN_WRITE, body=body)
    assert wrong_orders(racy, lowered_of(racy), WIDE) > 0


@pytest.mark.parametrize("program", [CHAIN, SIBLINGS, READ_THEN_WRITE], ids=["chain", "siblings", "read then write"])
def test_the_source_of_a_program_is_a_kernel(program: TaskProgram) -> None:
    text = program.source()
    assert text.startswith("import pto_sim.language as pl\n")
    assert repr(program) == f"TaskProgram(\n{text})"
    with program.kernel() as kernel:
        arguments = program.arguments(3)
        np.testing.assert_array_equal(run(kernel, arguments).outputs["out"], reference(program, arguments))
