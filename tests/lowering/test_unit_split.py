"""Units, memories and crossings of small blocks."""

from __future__ import annotations

import pytest

from pto_sim.lowering import lower
from pto_sim.lowering.unit_split import split_units
from pto_sim.program.errors import UnsupportedError


@pytest.fixture
def gm(programs):
    """Tensors a, b [64, 64] and an output c."""
    programs.tensor("a", (64, 64), "BF16")
    programs.tensor("b", (64, 64), "BF16")
    programs.tensor("c", (64, 64), "FP32", "out")
    programs.tensor("d", (64, 64), "BF16", "out")
    return programs


def placed(programs, block):
    programs.launch("k", block)
    program = programs.build()
    return split_units(program.streams[0], program), program


def kind_of(programs, block):
    programs.launch("k", block)
    return lower(programs.build()).facts[-1].kind


def crossings(split):
    return [(t.direction, t.nbytes) for t in split.transfers]


def test_a_matmul_that_is_stored_is_aic_and_does_not_cross(gm):
    block = gm.block()
    product = block.matmul(block.load(0, (64, 64)), block.load(1, (64, 64)))
    block.store(product, 2)
    split, _ = placed(gm, block)
    assert crossings(split) == []
    assert [split.homes[value] for value in (0, 1, 2)] == [{"mat"}, {"mat"}, {"acc"}]
    assert kind_of(gm, block) == "AIC"


def test_a_copy_and_an_elementwise_block_are_aiv(gm):
    block = gm.block()
    block.store(block.load(0, (64, 64)), 3)
    assert kind_of(gm, block) == "AIV"
    block = gm.block()
    block.store(block.like("add", block.load(2, (64, 64)), scalars=("FP32",)), 2)
    assert kind_of(gm, block) == "AIV"


def test_a_matmul_with_a_plain_copy_is_mixed_without_a_pipe(gm):
    block = gm.block()
    block.store(block.matmul(block.load(0, (64, 64)), block.load(1, (64, 64))), 2)
    block.store(block.load(0, (64, 64)), 3)
    gm.launch("k", block)
    fact = lower(gm.build()).facts[-1]
    assert (fact.kind, fact.pipe) == ("MIX", None)


def test_an_accumulator_crosses_as_the_slice_that_is_consumed(gm):
    block = gm.block()
    product = block.matmul(block.load(0, (64, 64)), block.load(1, (64, 64)))
    part = block.view(block.view(product, (64, 64), op="reshape"), (16, 64))
    block.store(part, 2)
    block.store(block.like("exp", part), 2)
    split, _ = placed(gm, block)
    assert crossings(split) == [("c2v", 16 * 64 * 4)]


def test_a_value_crosses_once_for_all_its_consumers_in_a_body(gm):
    block = gm.block()
    product = block.matmul(block.load(0, (64, 64)), block.load(1, (64, 64)))
    block.store(block.like("maximum", product, block.like("neg", product)), 2)
    for _ in block.loop(3):
        block.store(block.like("abs", product, line=9), 2)  # the move made outside serves the loop too
    split, _ = placed(gm, block)
    assert crossings(split) == [("c2v", 64 * 64 * 4)]


def test_a_value_that_only_a_loop_consumes_crosses_in_each_iteration(gm):
    block = gm.block()
    product = block.matmul(block.load(0, (64, 64)), block.load(1, (64, 64)))
    for _ in block.loop(3):
        block.store(block.like("abs", product, line=9), 2)
    split, _ = placed(gm, block)
    assert crossings(split) == [("c2v", 64 * 64 * 4)] * 3


def test_a_vector_result_crosses_to_the_matmul(gm):
    block = gm.block()
    narrow = block.cast(block.like("exp", block.load(2, (32, 64))), "BF16")
    block.store(block.matmul(narrow, block.load(1, (64, 64))), 2)
    split, _ = placed(gm, block)
    assert crossings(split) == [("v2c", 32 * 64 * 2)]


def test_a_load_used_on_both_sides_is_loaded_by_both(gm):
    block = gm.block()
    tile = block.load(0, (64, 64))
    block.store(block.matmul(tile, block.load(1, (64, 64))), 2)
    block.store(block.like("abs", tile), 3)
    split, _ = placed(gm, block)
    assert split.homes[0] == {"mat", "vec"}
    assert split.units[0] == 3
    assert crossings(split) == []


def test_unused_results_leave_no_trace(gm):
    block = gm.block()
    block.store(block.matmul(block.load(0, (64, 64)), block.load(1, (64, 64))), 2)
    block.reduce_row("row_max", block.load(2, (64, 64)))
    assert kind_of(gm, block) == "AIC"


def test_a_rint_downcast_between_matmuls_stays_on_the_cube(gm):
    def chain(mode):
        block = gm.block()
        product = block.matmul(block.load(0, (64, 64)), block.load(1, (64, 64)))
        again = block.matmul(block.cast(product, "BF16", mode=mode), block.load(1, (64, 64)))
        block.store(again, 2)
        return block

    split, _ = placed(gm, chain("rint"))
    assert crossings(split) == []
    assert kind_of(gm, chain("rint")) == "AIC"
    assert kind_of(gm, chain("round")) == "MIX"


def test_a_vector_load_of_what_the_cube_stored_waits_for_a_token(gm):
    block = gm.block()
    block.store(block.matmul(block.load(0, (64, 64)), block.load(1, (64, 64))), 2)
    block.store(block.like("abs", block.load(2, (64, 64))), 3)
    split, _ = placed(gm, block)
    assert [(t.direction, t.nbytes, t.fence) for t in split.transfers] == [("c2v", 64 * 64 * 4, True)]


def test_a_tensor_with_two_stores_in_a_statement_list_has_no_token(gm):
    """Also not if the second is a store of the vector core (pypto: CollectGmCrossLaneSyncs, origin_stores.size())."""
    block = gm.block()
    block.store(block.matmul(block.load(0, (64, 64)), block.load(1, (64, 64))), 2)
    block.store(block.like("abs", block.load(2, (64, 64))), 2)
    split, _ = placed(gm, block)
    assert split.transfers == ()


def test_an_accumulator_from_elsewhere_is_unsupported(gm):
    block = gm.block()
    tile = block.load(2, (64, 64))
    block.store(block.matmul(block.load(0, (64, 64)), block.load(1, (64, 64)), acc=tile), 2)
    with pytest.raises(UnsupportedError, match=r"kernel\.py:1000.*accumulator"):
        placed(gm, block)


def test_an_unknown_op_is_named(gm):
    block = gm.block()
    block.store(block.like("unheard_of", block.load(2, (64, 64)), line=77), 2)
    with pytest.raises(UnsupportedError, match=r"kernel\.py:77.*unheard_of"):
        placed(gm, block)
