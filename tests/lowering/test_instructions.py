"""Instructions of small blocks: counts and arguments by closed form, and what waits for what."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise

import numpy as np
import pytest

from ascend_model.isa import Core, Kind, VecOp, pipe_of
from pto_sim.lowering import lower
from pto_sim.lowering.gm_boxes import contiguous_runs, unique_gm_nbytes


def stream_of(programs, block, **kw):
    programs.launch("k", block, **kw)
    lowered = lower(programs.build())
    return lowered.workload.streams[lowered.workload.tasks[-1].block_streams[0]]


def kinds(stream, core=None):
    return Counter(
        Kind(kind).name for kind, at in zip(stream.kind, stream.core, strict=True) if core is None or at == core
    )


def rows(stream, kind):
    """Arguments of all instructions of a kind, in order."""
    return [tuple(args) for args in stream.args[stream.kind == kind].tolist()]


def index_of(stream, kind):
    return np.flatnonzero(stream.kind == kind).tolist()


def deps(stream, index):
    return set(stream.dep_indices[stream.dep_offsets[index] : stream.dep_offsets[index + 1]].tolist())


def waits_for(stream, later, earlier):
    """Whether `later` starts after `earlier`, through any chain of dependencies and in-order pipes."""
    place = [
        (core, pipe_of(Kind(kind), args))
        for kind, core, args in zip(stream.kind, stream.core, stream.args, strict=True)
    ]
    reached, todo = set(), [later]
    while todo:
        at = todo.pop()
        on_pipe = [i for i in range(at) if place[i] == place[at]][-1:]
        new = (deps(stream, at) | set(on_pipe)) - reached
        reached |= new
        todo += new
    return earlier in reached


# -- GM boxes -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("box", "tensor", "runs", "run"),
    [
        ((16, 64), (128, 64), 1, 1024),  # whole rows
        ((16, 32), (128, 64), 16, 32),
        ((4, 8, 64), (4, 16, 64), 4, 512),
        ((1, 8, 64), (4, 8, 64), 1, 512),
        ((128, 64), (8, 1024, 4096), 128, 64),  # a dropped leading axis
        ((64,), (128,), 1, 64),
    ],
)
def test_contiguous_runs(box, tensor, runs, run):
    assert contiguous_runs(box, tensor) == (runs, run)


def test_unique_bytes_agree_with_marked_elements(programs):
    """Random overlapping boxes against a bitmap."""
    rng = np.random.default_rng(3)
    tensor = programs.tensor("a", (32, 40), "BF16")
    read = np.zeros((32, 40), bool)
    accesses = []
    for _ in range(6):
        shape = (int(rng.integers(1, 8)), int(rng.integers(1, 9)))
        at = [(int(rng.integers(0, 33 - shape[0])), int(rng.integers(0, 41 - shape[1]))) for _ in range(5)]
        for row, col in at:
            read[row : row + shape[0], col : col + shape[1]] = True
        accesses.append(programs.access(tensor, False, [r * 40 + c for r, c in at], shape, (40, 1)))
    accesses.append(programs.access(tensor, True, [0, 40, 0], (1, 40), (40, 1)))
    programs.launch("k", accesses=accesses)
    program = programs.build()
    assert unique_gm_nbytes(program.tasks[0], program) == (2 * int(read.sum()), 2 * 80)


# -- vector -------------------------------------------------------------------------------------------


def test_load_add_store(programs):
    a = programs.tensor("a", (64, 256), "FP32")
    out = programs.tensor("out", (64, 128), "FP32", "out")
    block = programs.block()
    tile = block.load(a, (64, 128))
    block.store(block.like("add", tile, tile), out)
    stream = stream_of(programs, block)
    assert [Kind(k).name for k in stream.kind] == ["GM_TO_UB", "VEC", "UB_TO_GM"]
    assert rows(stream, Kind.GM_TO_UB) == [(64, 512, 0, 0)]
    assert rows(stream, Kind.VEC) == [(VecOp.ADD, 64, 512, 1)]
    assert rows(stream, Kind.UB_TO_GM) == [(1, 64 * 512, 0, 0)]
    assert deps(stream, 1) == {0}
    assert deps(stream, 2) == {1}


VECTOR_CASES = [
    ("exp", 1, (), [(VecOp.EXP, 16, 512, 1)]),
    ("mul", 1, ("FP32",), [(VecOp.MULS, 16, 512, 1)]),
    ("maximum", 2, (), [(VecOp.MAX_MIN, 16, 512, 1)]),
    ("div", 1, ("FP32",), [(VecOp.COPY, 16, 512, 1), (VecOp.DIV, 16, 512, 1)]),
    ("neg", 1, (), [(VecOp.MULS, 16, 512, 1)]),
]


@pytest.mark.parametrize(("op", "tiles", "scalars", "expected"), VECTOR_CASES)
def test_elementwise_instructions(programs, op, tiles, scalars, expected):
    a = programs.tensor("a", (16, 128), "FP32", "inout")
    block = programs.block()
    tile = block.load(a, (16, 128))
    block.store(block.like(op, *[tile] * tiles, scalars=scalars), a)
    assert rows(stream_of(programs, block), Kind.VEC) == [tuple(map(int, row)) for row in expected]


@pytest.mark.parametrize(
    ("cols", "expected"),
    [
        (32, [(VecOp.CADD, 16, 128)]),
        (64, [(VecOp.CADD, 16, 256)]),
        (256, [(VecOp.MAX_MIN, 16, 768), (VecOp.CADD, 16, 256)]),
    ],
)
def test_row_reduction_folds_to_one_repeat(programs, cols, expected):
    a = programs.tensor("a", (16, cols), "FP32")
    out = programs.tensor("out", (16, 1), "FP32", "out")
    block = programs.block()
    block.store(block.reduce_row("row_max", block.load(a, (16, cols))), out)
    stream = stream_of(programs, block)
    assert rows(stream, Kind.VEC) == [(int(op), r, b, 0) for op, r, b in expected]
    vec = index_of(stream, Kind.VEC)
    assert all(earlier in deps(stream, later) for earlier, later in pairwise(vec))


def test_row_expand_runs_row_by_row_after_a_broadcast(programs):
    a = programs.tensor("a", (16, 128), "FP32", "inout")
    v = programs.tensor("v", (16, 1), "FP32")
    block = programs.block()
    block.store(block.like("row_expand_mul", block.load(a, (16, 128)), block.load(v, (16, 1))), a)
    assert rows(stream_of(programs, block), Kind.VEC) == [(VecOp.BRCB, 1, 64, 1), (VecOp.MUL, 16, 512, 0)]


def test_gather_has_one_instruction_a_row_and_a_column_slice_is_not_packed(programs):
    a = programs.tensor("a", (8, 64), "FP32", "inout")
    i = programs.tensor("i", (8, 32), "INT32")
    block = programs.block()
    tile = block.load(a, (8, 64))
    picked = block.emit("gather", (tile, block.load(i, (8, 32))), out=((8, 32), "FP32"))
    block.store(block.like("add", picked, block.view(tile, (8, 32))), a)
    ops = Counter(args[0] for args in rows(stream_of(programs, block), Kind.VEC))
    assert ops == {VecOp.MULS: 1, VecOp.GATHER: 8, VecOp.ADD: 1}
    # The index arithmetic is packed, the sum reads half rows of a wider tile.
    assert rows(lower_last(programs), Kind.VEC)[-1] == (VecOp.ADD, 8, 128, 0)


def lower_last(programs):
    workload = lower(programs.build()).workload
    return workload.streams[workload.tasks[-1].block_streams[0]]


def test_a_load_assembled_into_a_tile_goes_there_directly(programs):
    """Scattered rows land in their own rows of one tile: no copy, and no load waits for another."""
    a = programs.tensor("a", (100, 64), "BF16")
    out = programs.tensor("out", (8, 64), "BF16", "out")
    block = programs.block()
    stage = block.emit("full", out=((8, 64), "BF16"), attrs={"value": 0.0})
    for _ in block.loop(8):
        row = block.load(a, (1, 64), line=5)
        block.emit("assemble", (stage, row), in_place=stage, line=6)
    block.store(stage, out)
    stream = stream_of(programs, block)
    assert kinds(stream) == {"VEC": 1, "GM_TO_UB": 8, "SCALAR": 8, "UB_TO_GM": 1}
    (fill,), loads, (store,) = (index_of(stream, kind) for kind in (Kind.VEC, Kind.GM_TO_UB, Kind.UB_TO_GM))
    assert all(deps(stream, load) == {fill} for load in loads)
    assert deps(stream, store) == {fill, loads[-1]}


# -- buffers ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("kind", "stage", "depth"), [("range", 1, 1), ("pipeline", 2, 2), ("pipeline", 4, 4)])
def test_a_tile_in_a_loop_has_one_buffer_for_each_stage(programs, kind, stage, depth):
    a = programs.tensor("a", (64, 64), "FP32")
    out = programs.tensor("out", (64, 64), "FP32", "out")
    block = programs.block()
    for _ in block.loop(8, kind, stage):
        block.store(block.load(a, (8, 64), line=5), out, line=6)
    stream = stream_of(programs, block)
    loads, stores = index_of(stream, Kind.GM_TO_UB), index_of(stream, Kind.UB_TO_GM)
    for trip in range(8):
        expected = {stores[trip - depth]} if trip >= depth else set()
        assert deps(stream, loads[trip]) - set(loads) == expected


def test_an_unrolled_loop_has_a_buffer_for_each_iteration(programs):
    a = programs.tensor("a", (64, 64), "FP32")
    out = programs.tensor("out", (64, 64), "FP32", "out")
    block = programs.block()
    for _ in block.loop(4, "unroll"):
        block.store(block.load(a, (8, 64), line=5), out, line=6)
    stream = stream_of(programs, block)
    assert all(not deps(stream, load) for load in index_of(stream, Kind.GM_TO_UB))


# -- cube ---------------------------------------------------------------------------------------------


def matmul_block(programs, m, k, n, dtype, out_dtype="FP32"):
    a = programs.tensor("a", (m, k), dtype)
    b = programs.tensor("b", (n, k), dtype)
    c = programs.tensor("c", (m, n), out_dtype, "out")
    block = programs.block()
    block.store(block.matmul(block.load(a, (m, k)), block.load(b, (n, k)), b_trans=True), c)
    return block


@pytest.mark.parametrize(
    ("m", "k", "n", "l0"),
    [(32, 512, 128, (32, 128, 128)), (32, 128, 512, (32, 512, 32)), (16, 128, 128, (16, 128, 128))],
)
def test_a_matmul_is_cut_as_the_compiler_cuts_it(programs, m, k, n, l0):
    """L0 tiles from the compiler's own record of these shapes."""
    programs.launch("k", matmul_block(programs, m, k, n, "BF16"))
    lowered = lower(programs.build())
    (use,) = lowered.facts[-1].l0_tiles
    assert (use.m, use.n, use.k, use.dtype) == (*l0, "BF16")
    stream = lowered.workload.streams[0]
    steps = k // l0[2]
    assert kinds(stream) == {"GM_TO_L1": 2, "L1_TO_L0A": steps, "L1_TO_L0B": steps, "MMAD": steps, "L0C_TO_GM": 1}
    assert rows(stream, Kind.MMAD) == [(l0[0], l0[2], l0[1], 2)] * steps
    assert sum(args[0] for args in rows(stream, Kind.L1_TO_L0A)) == 2 * m * k
    assert sum(args[0] for args in rows(stream, Kind.L1_TO_L0B)) == 2 * n * k
    assert rows(stream, Kind.L0C_TO_GM) == [(m, n, 4, 0)]
    assert set(stream.core) == {Core.AIC}


def test_extracts_alternate_between_the_halves_of_l0(programs):
    stream = stream_of(programs, matmul_block(programs, 32, 512, 128, "BF16"))
    products = index_of(stream, Kind.MMAD)
    for kind in (Kind.L1_TO_L0A, Kind.L1_TO_L0B):
        extracts = index_of(stream, kind)
        for step, extract in enumerate(extracts):
            assert (products[step - 2] in deps(stream, extract)) == (step >= 2)
            assert extract in deps(stream, products[step])


@pytest.mark.parametrize(
    ("m", "k", "n", "dtype"), [(256, 256, 256, "FP32"), (512, 96, 144, "BF16"), (128, 512, 320, "INT8")]
)
def test_products_cover_the_matmul_exactly(programs, m, k, n, dtype):
    block = matmul_block(programs, m, k, n, dtype, "INT32" if dtype == "INT8" else "FP32")
    # [512, 144] and [128, 320] exceed L0C: the compiler stores them [m, n] tile by tile.
    stream = stream_of(programs, block)
    assert sum(a * b * c for a, b, c, _ in rows(stream, Kind.MMAD)) == m * k * n


def test_an_accumulation_chain_stays_in_order_on_one_accumulator(programs):
    a = programs.tensor("a", (16, 256), "BF16")
    b = programs.tensor("b", (256, 128), "BF16")
    c = programs.tensor("c", (16, 128), "FP32", "out")
    block = programs.block()
    acc = block.matmul(block.load(a, (16, 64)), block.load(b, (64, 128)))
    for _ in block.loop(3, "pipeline", 2):
        block.matmul(block.load(a, (16, 64), line=5), block.load(b, (64, 128), line=6), acc=acc, line=7)
    block.store(acc, c)
    stream = stream_of(programs, block)
    (drain,) = index_of(stream, Kind.L0C_TO_GM)
    assert index_of(stream, Kind.MMAD)[-1] in deps(stream, drain)
    assert kinds(stream)["MMAD"] == 4


# -- both ---------------------------------------------------------------------------------------------


def attention(programs, trips, stage=2, kind="pipeline"):
    """QK on the cube, exp on the vector cores, PV on the cube, in a loop."""
    q = programs.tensor("q", (32 * trips, 64), "BF16")
    kv = programs.tensor("kv", (64, 64), "BF16")
    out = programs.tensor("out", (32 * trips, 64), "FP32", "out")
    block = programs.block()
    keys, values = block.load(kv, (64, 64)), block.load(kv, (64, 64))
    for _ in block.loop(trips, kind, stage):
        scores = block.matmul(block.load(q, (32, 64), line=5), keys, b_trans=True, line=6)
        weights = block.cast(block.like("exp", scores, line=7), "BF16", line=8)
        block.store(block.matmul(weights, values, line=9), out, line=10)
    return block


def test_a_crossing_is_store_signal_wait_load(programs):
    stream = stream_of(programs, attention(programs, 1, 1, "range"))
    aic, aiv = kinds(stream, Core.AIC), kinds(stream, Core.AIV0)
    assert (aic["CROSS_SET"], aic["CROSS_WAIT"], aiv["CROSS_SET"], aiv["CROSS_WAIT"]) == (1, 1, 1, 1)
    assert aic["L0C_TO_GM"] == 2  # scores to the slot, the result to GM
    assert aic["GM_TO_L1"] == 4  # q, keys, values, weights
    assert rows(stream, Kind.GM_TO_UB) == [(1, 32 * 64 * 4, 0, 0)]
    assert rows(stream, Kind.UB_TO_GM) == [(1, 32 * 64 * 2, 0, 0)]
    # exp, cast, and the copy into the cube's fractal order
    assert [args[0] for args in rows(stream, Kind.VEC)] == [VecOp.EXP, VecOp.CONV, VecOp.COPY]
    first, last = index_of(stream, Kind.MMAD)[0], index_of(stream, Kind.MMAD)[-1]
    assert waits_for(stream, last, first)
    assert Core.AIV1 not in stream.core


def lines(programs, stream, kind, core):
    """Source lines of a core's instructions of a kind, in issue order."""
    sites = list(programs.sites)
    return [
        sites[s].line for s, k, c in zip(stream.site, stream.kind, stream.core, strict=True) if (k, c) == (kind, core)
    ]


@pytest.mark.parametrize(
    ("trips", "stage", "expected"),
    [
        (1, 2, "QP"),
        (2, 2, "QQPP"),  # two trips cannot run two ahead: one ahead
        (3, 2, "QQPQPP"),  # odd: one ahead
        (4, 2, "QQQQPPPP"),  # produce 0 1, then 2 3 before consuming 0 1, then consume 2 3
        (6, 2, "QQQQPPQQPPPP"),
    ],
)
def test_the_cube_runs_ahead_in_a_pipelined_round_trip(programs, trips, stage, expected):
    """Order of the products on the cube (Q: QK, P: PV), as the compiler's skew pass documents it."""
    stream = stream_of(programs, attention(programs, trips, stage))
    names = {6: "Q", 9: "P"}
    assert "".join(names[line] for line in lines(programs, stream, Kind.MMAD, Core.AIC)) == expected
    assert lines(programs, stream, Kind.VEC, Core.AIV0) == [7, 8, 9] * trips


def test_a_range_loop_is_not_skewed(programs):
    stream = stream_of(programs, attention(programs, 4, 1, "range"))
    assert lines(programs, stream, Kind.MMAD, Core.AIC) == [6, 9] * 4


def test_a_producer_waits_for_a_free_slot(programs):
    """One direction, two slots: the third tile waits until the first has been used, and so on."""
    a = programs.tensor("a", (32, 64), "BF16")
    out = programs.tensor("out", (32, 64), "FP32", "out")
    block = programs.block()
    for _ in block.loop(5):
        product = block.matmul(block.load(a, (32, 64), line=5), block.load(a, (64, 64), line=6), line=7)
        block.store(block.like("exp", product, line=8), out, line=9)
    stream = stream_of(programs, block)
    pushes = index_of(stream, Kind.L0C_TO_GM)
    uses = index_of(stream, Kind.VEC)
    waits = [i for i in index_of(stream, Kind.CROSS_WAIT) if stream.core[i] == Core.AIC]
    assert len(waits) == 3
    for wait, trip in zip(waits, range(2, 5), strict=True):
        assert waits_for(stream, wait, uses[trip - 2])
        assert not waits_for(stream, wait, uses[trip - 1])
        assert wait < pushes[trip]


def test_up_down_gives_each_vector_core_half_of_the_rows(programs):
    a = programs.tensor("a", (128, 128), "BF16")
    scale = programs.tensor("s", (1, 128), "FP32")
    out = programs.tensor("out", (128, 128), "FP32", "out")
    block = programs.block()
    product = block.matmul(block.load(a, (33, 128)), block.load(a, (128, 128)))
    block.store(block.like("col_expand_mul", product, block.load(scale, (1, 128))), out)
    stream = stream_of(programs, block, split="up_down")
    halves = {Core.AIV0: 17, Core.AIV1: 16}
    for core, own in halves.items():
        args = stream.args[(stream.core == core) & (stream.kind == Kind.VEC)]
        assert args.tolist() == [[VecOp.MUL, own, 512, 0]]
        loads = stream.args[(stream.core == core) & (stream.kind == Kind.GM_TO_UB)][:, :2].tolist()
        assert sorted(loads) == sorted([[1, 512], [1, own * 512]])  # the scale row whole, its half of the tile
        stores = stream.args[(stream.core == core) & (stream.kind == Kind.UB_TO_GM)][:, :2].tolist()
        assert stores == [[1, own * 512]]


def test_blocks_with_equal_streams_share_one(programs):
    tensor = programs.tensor("a", (8, 8), "FP32", "inout")
    block = programs.block()
    block.store(block.load(tensor, (8, 8)), tensor)
    programs.launch("k", block, blocks=6)
    programs.launch("again", block, blocks=2)
    workload = lower(programs.build()).workload
    assert len(workload.streams) == 1
    assert [task.block_streams.tolist() for task in workload.tasks] == [[0] * 6, [0] * 2]
