"""Packing of lifetimes into buffers and scratch tiles, against sums by hand from the compiler's rules and records."""

from pto_sim.lowering import lower
from pto_sim.lowering.packing import Interval, keeps_vector, packed_bytes, reads_ahead
from pto_sim.lowering.scratch import scratch_bytes
from pto_sim.program.model import OpSignature, ValueType

KIB = 1024


def op(name, *shapes, dtype="FP32"):
    return OpSignature(name, tuple(ValueType(shape, dtype, "tile") for shape in shapes), None, (), 0)


def test_tiles_that_do_not_meet_share_and_the_largest_decides():
    assert packed_bytes([Interval(100, 0, 3), Interval(400, 4, 9), Interval(300, 10, 12)]) == 400


def test_tiles_that_meet_do_not_share():
    assert packed_bytes([Interval(100, 0, 4), Interval(400, 4, 9)]) == 500


def test_first_fit_may_need_more_than_the_live_bytes():
    """A of 4 takes the first buffer; B of 3 meets C of 2 only, but C was placed beside A first."""
    intervals = [Interval(4, 0, 1), Interval(3, 2, 5), Interval(2, 4, 7), Interval(2, 1, 2)]
    # live: 4 + 2 at moment 1; placed: 4 (A, B) + 2 (C, and D, which meets neither C nor ... A and B both)
    assert packed_bytes(intervals) == 6


def test_what_an_op_still_reads_is_not_written_over():
    assert reads_ahead("row_sum", widens=False) and reads_ahead("cast", widens=True)
    assert not reads_ahead("cast", widens=False) and not reads_ahead("mul", widens=False)
    assert keeps_vector("row_expand_mul") and not keeps_vector("mul")


def test_scratch_of_a_row_reduction_has_at_least_128_columns():
    assert scratch_bytes(op("row_sum", (64, 64))) == 64 * 128 * 4
    assert scratch_bytes(op("row_max", (64, 256))) == 64 * 256 * 4


def test_scratch_of_other_ops():
    assert scratch_bytes(op("mul", (64, 64), (64, 64))) == 0
    assert scratch_bytes(op("transpose", (16, 64), dtype="BF16")) == 16 * 64 * 2
    assert scratch_bytes(op("mrgsort", (1, 512), (1, 256))) == (512 + 256) * 4


def test_a_statement_that_only_some_blocks_reach_needs_its_buffers(programs):
    """Block 0 keeps two tiles of 16 KiB at once, block 1 makes one of 32 KiB: one buffer of 32 and one of 16."""
    x = programs.tensor("x", (64, 128), "FP32", "inout")
    both = programs.block()
    first, second = both.load(x, (32, 128), line=1), both.load(x, (32, 128), line=2)
    both.store(both.like("add", first, second, line=3), x, line=4)
    large = programs.block()
    large.store(large.load(x, (64, 128), line=5), x, line=6)
    record = programs.launch("k", both, [programs.arg(x, "rw")], blocks=2)
    programs.launch("other", large, [programs.arg(x, "rw")])
    task = programs.tasks[record]
    task.block_streams[1] = programs.tasks[-1].block_streams[0]
    peaks = [facts.onchip_peak_bytes["vec"] for facts in lower(programs.build()).facts]
    assert peaks == [48 * KIB, 32 * KIB]
