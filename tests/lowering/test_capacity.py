"""On-chip peaks, and kernels that provably do not fit."""

from __future__ import annotations

import pytest

from pto_sim.lowering import lower
from pto_sim.program.errors import KernelError

KIB = 1024


def peaks(programs, block, **kw):
    programs.launch("k", block, **kw)
    return dict(lower(programs.build()).facts[-1].onchip_peak_bytes)


def test_a_copy_loop_counts_every_pipeline_buffer(programs):
    a = programs.tensor("a", (64, 256), "FP32", "inout")
    block = programs.block()
    for _ in block.loop(8, "pipeline", 4):
        block.store(block.load(a, (8, 256), line=5), a, line=6)
    assert peaks(programs, block) == {"vec": 4 * 8 * KIB}


def test_buffers_are_given_up_where_they_do_not_fit(programs):
    a = programs.tensor("a", (512, 256), "FP32", "inout")
    block = programs.block()
    for _ in block.loop(8, "pipeline", 4):
        block.store(block.load(a, (64, 256), line=5), a, line=6)
    assert peaks(programs, block) == {"vec": 64 * KIB}


def test_cube_memories(programs):
    """[32, 512] x [512, 128]: L1 holds both operands, L0 two halves of a k = 128 step, L0C the result."""
    a = programs.tensor("a", (32, 512), "BF16")
    b = programs.tensor("b", (128, 512), "BF16")
    c = programs.tensor("c", (32, 128), "FP32", "out")
    block = programs.block()
    block.store(block.matmul(block.load(a, (32, 512)), block.load(b, (128, 512)), b_trans=True), c)
    expected = {"mat": 160 * KIB, "left": 16 * KIB, "right": 64 * KIB, "acc": 16 * KIB}
    assert peaks(programs, block) == expected


def test_an_int32_accumulator_takes_whole_groups_of_32_rows(programs):
    a = programs.tensor("a", (16, 256), "INT8")
    b = programs.tensor("b", (128, 256), "INT8")
    c = programs.tensor("c", (16, 128), "INT32", "out")
    block = programs.block()
    block.store(block.matmul(block.load(a, (16, 256)), block.load(b, (128, 256)), b_trans=True), c)
    assert peaks(programs, block)["acc"] == 32 * 128 * 4  # what the compiler records for this product


def chain(programs, rows, length):
    """`length` tiles of rows KiB alive at once, then summed."""
    a = programs.tensor("a", (rows, 256), "FP32", "inout")
    block = programs.block()
    tiles = [block.load(a, (rows, 256)) for _ in range(length)]
    total = tiles[0]
    for tile in tiles[1:]:
        total = block.like("add", total, tile)
    block.store(total, a)
    return block


@pytest.mark.parametrize(("rows", "length", "fits"), [(46, 4, True), (47, 4, False), (92, 2, True), (93, 2, False)])
def test_ub_holds_184_kib(programs, rows, length, fits):
    block = chain(programs, rows, length)
    if fits:
        assert peaks(programs, block)["vec"] <= 184 * KIB
        return
    with pytest.raises(KernelError, match=r"kernel\.py:\d+.*UB") as caught:
        peaks(programs, block)
    assert caught.value.code == "PTO301"
    assert str(rows * length * KIB) in caught.value.values
    assert f"[{rows}x256] FP32" in caught.value.values


def test_an_op_may_write_over_its_dying_input(programs):
    """Two tiles of 92 KiB fit, though three values exist: the sum takes the place of an operand."""
    assert peaks(programs, chain(programs, 92, 2)) == {"vec": 184 * KIB}


@pytest.mark.parametrize(("shape", "fits"), [((256, 128), True), ((272, 128), False)])
def test_an_accumulator_over_l0c_is_refused(programs, shape, fits):
    a = programs.tensor("a", (shape[0], 64), "BF16")
    b = programs.tensor("b", (shape[1], 64), "BF16")
    c = programs.tensor("c", shape, "FP32", "out")
    block = programs.block()
    acc = block.matmul(block.load(a, (shape[0], 64)), block.load(b, (shape[1], 64)), b_trans=True)
    block.matmul(block.load(a, (shape[0], 64)), block.load(b, (shape[1], 64)), b_trans=True, acc=acc)
    block.store(acc, c)
    if fits:
        assert peaks(programs, block)["acc"] == 128 * KIB
    else:
        with pytest.raises(KernelError, match="L0C"):
            peaks(programs, block)


def test_a_split_tile_takes_half_of_each_vector_core(programs):
    a = programs.tensor("a", (128, 128), "BF16")
    out = programs.tensor("out", (128, 128), "FP32", "out")
    block = programs.block()
    product = block.matmul(block.load(a, (128, 128)), block.load(a, (128, 128)))
    block.store(block.like("exp", product), out)
    ring = 2 * 64 * KIB
    assert peaks(programs, block)["vec"] == min(184 * KIB, ring + 64 * KIB)
    assert peaks(programs, block, split="up_down")["vec"] == ring + 32 * KIB


def test_softmax_of_64_rows_takes_what_the_compiler_records(programs):
    """[64, 256] FP32: the tile and the scratch of a row reduction, and the reduced columns: 131328 bytes."""
    x = programs.tensor("x", (64, 256), "FP32", "inout")
    block = programs.block()
    tile = block.load(x, (64, 256))
    shifted = block.like("row_expand_sub", tile, block.reduce_row("row_max", tile))
    powers = block.like("exp", shifted)
    block.store(block.like("row_expand_div", powers, block.reduce_row("row_sum", powers)), x)
    assert peaks(programs, block) == {"vec": 131328}


def test_a_loop_of_square_and_reduce_is_not_below_what_the_compiler_records(programs):
    """The compiler keeps loaded tile, square and scratch of [64, 64] FP32 apart, and some rows: 49664 bytes."""
    x = programs.tensor("x", (64, 512), "FP32", "inout")
    g = programs.tensor("g", (1, 512), "FP32")
    block = programs.block()
    total = block.emit("full", out=((1, 64), "FP32"), attrs={"value": 0.0})
    for _ in block.loop(8):
        tile = block.load(x, (64, 64), line=5)
        sums = block.reduce_row("row_sum", block.like("mul", tile, tile, line=6), line=7)
        total = block.like("add", total, block.view(sums, (1, 64), op="reshape", line=8), line=9)
    scale = block.view(block.like("rsqrt", block.like("mul", total, scalars=("FP32",))), (64, 1), op="reshape")
    for _ in block.loop(8, line=20):
        normed = block.like("row_expand_mul", block.load(x, (64, 64), line=21), scale, line=22)
        block.store(block.like("col_expand_mul", normed, block.load(g, (1, 64), line=23), line=24), x, line=25)
    assert 49664 <= peaks(programs, block)["vec"] <= 49664 + 8 * KIB
