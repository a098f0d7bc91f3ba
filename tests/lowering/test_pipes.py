"""Bytes of the hidden pipe buffer, by slot rule, direction and slot override."""

from __future__ import annotations

import pytest

from pto_sim.lowering import lower

KIB = 1024


def one_way(programs):
    """C to V: an accumulator [128, 128] FP32 consumed in slices of 32 rows: 16 KiB slots."""
    a = programs.tensor("a", (128, 128), "BF16")
    out = programs.tensor("out", (128, 128), "FP32", "out")
    block = programs.block()
    product = block.matmul(block.load(a, (128, 128)), block.load(a, (128, 128)))
    for _ in block.loop(4):
        block.store(block.like("exp", block.view(product, (32, 128), line=5), line=6), out, line=7)
    return block


def two_way(programs):
    """C to V 32 x 128 FP32 (16 KiB), then V to C 32 x 128 BF16 (8 KiB)."""
    a = programs.tensor("a", (128, 128), "BF16")
    out = programs.tensor("out", (128, 128), "FP32", "out")
    block = programs.block()
    scores = block.matmul(block.load(a, (32, 128)), block.load(a, (128, 128)))
    narrow = block.cast(block.like("exp", scores), "BF16")
    block.store(block.matmul(narrow, block.load(a, (128, 128))), out)
    return block


@pytest.mark.parametrize(
    ("body", "blocks", "rule", "slot_num", "slots", "total_kib"),
    [
        (one_way, 64, "seed", None, 8, 8 * KIB),  # proj_a
        (one_way, 64, "current", None, 2, 2 * KIB),
        (one_way, 32, "seed", None, 8, 4 * KIB),  # proj_b
        (one_way, 32, "current", None, 2, 1 * KIB),
        (two_way, 128, "seed", None, 4, 8 * KIB),  # qk_pv
        (two_way, 128, "current", None, 4, 8 * KIB),
        (one_way, 64, "current", 5, 5, 5 * KIB),
        (two_way, 64, "seed", 3, 6, 6 * KIB),
    ],
)
def test_pipe_bytes(programs, body, blocks, rule, slot_num, slots, total_kib):
    programs.launch("k", body(programs), blocks=blocks, slot_num=slot_num)
    lowered = lower(programs.build(), pipe_slots=rule)
    pipe = lowered.facts[-1].pipe
    assert (pipe.slot_bytes, pipe.slots, pipe.total_bytes) == (16 * KIB, slots, total_kib * KIB)
    assert lowered.workload.tasks[0].output_nbytes == (total_kib * KIB,)
    assert lowered.workload.tasks[0].output_names == ("gm_pipe_buffer_0",)


def test_the_buffer_is_allocated_at_the_launch_place_and_pinned_by_the_task(programs):
    body = one_way(programs)
    programs.create("before", (4,), "FP32")
    programs.launch("k", body)
    programs.create("after", (4,), "FP32")
    lowered = lower(programs.build())
    assert lowered.workload.tasks[0].output_names == ("before", "gm_pipe_buffer_0", "after")
    launched = lowered.workload.tasks[1]
    assert [(e.producer, e.source, e.retain) for e in launched.edges] == [(0, "creator", True)]
    assert lowered.facts[1].directions == (("gm_pipe_buffer_0", "OUTPUT_EXISTING"),)
    assert launched.tensor_args == 1


def test_every_launch_gets_its_own_and_a_loop_makes_it_inout(programs):
    body = one_way(programs)
    for _ in range(2):
        with programs.body("for"):
            programs.launch("k", body)
    lowered = lower(programs.build())
    assert [f.directions for f in lowered.facts if f.record >= 0] == [
        (("gm_pipe_buffer_0", "INOUT"),),
        (("gm_pipe_buffer_1", "INOUT"),),
    ]
    first, second = (task for task in lowered.workload.tasks if task.kind == "MIX")
    assert first.edges[0].producer != second.edges[0].producer
    assert first.block_streams[0] == second.block_streams[0]  # lowered once
