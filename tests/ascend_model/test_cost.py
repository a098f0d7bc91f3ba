"""Instruction costs against the published formulas, worked out by hand or in plain Python here."""

import math

import numpy as np
import pytest

from ascend_model.chipspec import load_chip
from ascend_model.cost import drain_cycles, stream_cost
from ascend_model.isa import Core, Kind, Pipe, StreamBuilder, VecOp

SPEC = load_chip("a2a3")


def cost_of(kind, core, args, spec=SPEC):
    b = StreamBuilder()
    b.append(kind, core, args)
    return stream_cost(b.build(), spec)


@pytest.mark.parametrize(
    ("m", "k", "n", "width", "cycles"),
    [
        (128, 64, 256, 2, 14 + 8 * 16 * 4),
        (16, 16, 16, 2, 14 + 1),
        (1, 1, 1, 2, 14 + 1),
        (17, 17, 17, 2, 14 + 2 * 2 * 2),
        (128, 128, 64, 1, 14 + 8 * 4 * 4),
        (128, 128, 128, 4, 14 + 2 * 8 * 8 * 16),
    ],
)
def test_cube_takes_head_and_one_cycle_a_fractal_two_for_fp32(m, k, n, width, cycles):
    assert cost_of(Kind.MMAD, Core.AIC, (m, k, n, width)).hold_cycles[0] == cycles


@pytest.mark.parametrize(
    ("kind", "core", "args", "cycles"),
    [
        (Kind.GM_TO_L1, Core.AIC, (1, 16384), math.ceil(16384 / 82)),
        (Kind.GM_TO_UB, Core.AIV0, (4, 1024), math.ceil(4096 / 58.6)),
        (Kind.UB_TO_GM, Core.AIV1, (4, 1024), math.ceil(4096 / 109.4)),
        (Kind.L1_TO_GM, Core.AIC, (1, 1024), math.ceil(1024 / 18.6)),
        (Kind.L1_TO_L0A, Core.AIC, (16384,), 30 + 64),
        (Kind.L1_TO_L0B, Core.AIC, (32768,), 30 + 256),
        (Kind.L1_TO_BIAS, Core.AIC, (512,), math.ceil(512 / 18.6)),
        (Kind.L1_FILL, Core.AIC, (512,), math.ceil(512 / 18.6)),
        (Kind.SCALAR, Core.AIV0, (7,), 7),
        (Kind.GM_READ_SCALAR, Core.AIC, (4,), 150),
        (Kind.GM_WRITE_SCALAR, Core.AIC, (4,), 10),
        (Kind.BARRIER, Core.AIC, (), 1),
        (Kind.CROSS_SET, Core.AIC, (Pipe.FIXP,), 1),
        (Kind.CROSS_WAIT, Core.AIV0, (Pipe.MTE2,), 1),
    ],
)
def test_transfer_takes_startup_and_bytes_over_rate(kind, core, args, cycles):
    assert cost_of(kind, core, args).hold_cycles[0] == cycles


def test_short_runs_pay_whole_lines_at_l2_but_count_their_own_bytes():
    cost = cost_of(Kind.GM_TO_UB, Core.AIV0, (10, 64))
    assert (cost.gm_read_bytes[0], cost.l2_bytes[0]) == (640, 5120)
    assert cost.hold_cycles[0] == math.ceil(5120 / 58.6)
    cost = cost_of(Kind.UB_TO_GM, Core.AIV0, (2, 513))
    assert (cost.gm_write_bytes[0], cost.l2_bytes[0]) == (1026, 2048)


def test_drain_formula_gives_the_published_example():
    # 164 + 128 x 256 x 4 / 118 = 1275 cycles for 128 x 256 fp32; the GM side takes 131072 / 72 = 1821.
    one = (np.array([128]), np.array([256]), np.array([4]))
    assert round(float(drain_cycles(*one, SPEC)[0])) == 1275
    assert cost_of(Kind.L0C_TO_GM, Core.AIC, (128, 256, 4)).hold_cycles[0] == math.ceil(131072 / 72)
    assert cost_of(Kind.L0C_TO_L1, Core.AIC, (128, 256, 4)).hold_cycles[0] == math.ceil(131072 / 74.3)


def test_narrow_drain_pays_per_row_and_for_odd_piece_counts():
    assert cost_of(Kind.L0C_TO_GM, Core.AIC, (128, 16, 4)).hold_cycles[0] == math.ceil(164 + 128 * 4.45)
    # 24 fp32 columns are 3 pieces of 32 bytes: largest odd divisor 3.
    assert cost_of(Kind.L0C_TO_GM, Core.AIC, (128, 24, 4)).hold_cycles[0] == math.ceil(164 + 128 * (4.45 + 2.6 * 2))
    # 48 columns are 6 pieces: odd divisor 3 again.
    assert cost_of(Kind.L0C_TO_GM, Core.AIC, (64, 48, 4)).hold_cycles[0] == math.ceil(164 + 64 * (4.45 + 2.6 * 2))


@pytest.mark.parametrize(
    ("op", "rows", "row_bytes", "contiguous", "head", "hold", "tail"),
    [
        (VecOp.ADD, 128, 512, 1, 10, 2 * 256, 14),
        (VecOp.ADD, 128, 512, 0, 10, 2 * 256, 14),
        (VecOp.MUL, 64, 128, 1, 10, 2 * 32, 15),
        (VecOp.MUL, 64, 128, 0, 10, 2 * 64 + 16, 15),
        (VecOp.MULS, 64, 128, 0, 11, 64, 15),
        (VecOp.DIV, 3, 100, 1, 11, 4 * 2 + 16, 19),
        (VecOp.EXP, 1, 257, 1, 13, 2 * 2, 18),
        (VecOp.EXP_FP16, 1, 256, 1, 13, 4, 18),
        (VecOp.BRCB, 8, 256, 1, 0, 0, 18),
        (VecOp.MRGSORT4, 1, 256, 1, 20, 78, 0),
        (VecOp.OTHER, 5, 0, 1, 6, 0, 0),
    ],
)
def test_vector_rows_of_the_table(op, rows, row_bytes, contiguous, head, hold, tail):
    cost = cost_of(Kind.VEC, Core.AIV0, (op, rows, row_bytes, contiguous))
    assert (cost.head_cycles[0], cost.hold_cycles[0], cost.tail_cycles[0]) == (head, hold, tail)


def test_lone_add_agrees_with_the_tile_level_fit():
    # pto-isa: formula_params.csv: TSUB fp32 of whole-repeat rows takes 2/64 cycle an element + 25 or 26.
    cost = cost_of(Kind.VEC, Core.AIV0, (VecOp.ADD, 16, 512, 1))
    total = cost.head_cycles[0] + cost.hold_cycles[0] + cost.tail_cycles[0]
    assert abs(total - (16 * 128 * 2 / 64 + 25.5)) <= 2


def test_issue_counts_one_slot_and_the_flags_of_each_awaited_pipe():
    b = StreamBuilder()
    first = b.append(Kind.GM_TO_UB, Core.AIV0, (1, 512))
    second = b.append(Kind.GM_TO_UB, Core.AIV0, (1, 512))
    word = b.append(Kind.GM_READ_SCALAR, Core.AIV0, (4,))
    add = b.append(Kind.VEC, Core.AIV0, (VecOp.ADD, 1, 512, 1), [first, second, word])
    again = b.append(Kind.VEC, Core.AIV0, (VecOp.MULS, 1, 512, 1), [add])
    other = b.append(Kind.VEC, Core.AIV1, (VecOp.MULS, 1, 512, 1), [add])
    b.append(Kind.UB_TO_GM, Core.AIV0, (1, 512), [first, again, other])
    issue = stream_cost(b.build(), SPEC).issue_cycles
    # Loads: a slot. Scalar read: runs on S. Add: slot + set and wait for MTE2. Next: slot + barrier.
    # Another core: its own CROSS_* instructions pay. Store: slot + two pipes.
    np.testing.assert_array_equal(issue, [1, 1, 0, 3, 2, 1, 5])


def test_l2_hit_latency_is_a_tail_that_does_not_hold_the_pipe():
    cost = cost_of(Kind.GM_TO_UB, Core.AIV0, (1, 512))
    assert (cost.hold_cycles[0], cost.tail_cycles[0]) == (9, 50)


@pytest.mark.parametrize(
    ("kind", "core", "args", "message"),
    [
        (Kind.MMAD, Core.AIC, (16, 16, 16, 3), r"elem_bytes \[3\]"),
        (Kind.VEC, Core.AIV0, (99, 1, 256, 1), "operation 99"),
        (Kind.VEC, Core.AIV0, (0, 1, 256, 2), "contiguous is 0 or 1"),
    ],
)
def test_argument_outside_the_instruction_is_refused(kind, core, args, message):
    with pytest.raises(ValueError, match=message):
        cost_of(kind, core, args)
