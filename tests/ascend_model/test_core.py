"""One block over its pipes: hand-worked schedules, a recursive twin of the kernel, and what must always hold."""

import sys

import numpy as np
import pytest

from ascend_model.chipspec import load_chip
from ascend_model.core import time_block
from ascend_model.cost import stream_cost
from ascend_model.isa import CORE_PIPES, Core, Kind, Pipe, StreamBuilder, VecOp, WaitReason

SPEC = load_chip("a2a3")
RATES = [path for path, number in SPEC.numbers.items() if number.unit == "byte/cycle" and path.startswith("move.")]
CYCLES = [path for path, n in SPEC.numbers.items() if n.unit == "cycle" and not path.startswith("runtime.")]


def muls(b, deps=(), repeats=8, core=Core.AIV0):
    """head 11, slope 1, tail 15."""
    return b.append(Kind.VEC, core, (VecOp.MULS, 1, 256 * repeats, 1), deps)


def total(b):
    return time_block(b.build(), SPEC).total_cycles


def test_lone_vector_instruction_pays_head_slope_and_tail():
    b = StreamBuilder()
    muls(b)
    assert total(b) == 1 + 11 + 8 + 15


def test_independent_vector_instructions_pay_the_slope_only():
    b = StreamBuilder()
    for _ in range(10):
        muls(b, repeats=32)
    assert total(b) == 1 + 11 + 10 * 32 + 15


def test_dependent_vector_instruction_drains_the_pipe_and_starts_over():
    b = StreamBuilder()
    muls(b, [muls(b)])
    assert total(b) == 1 + (11 + 8 + 15) + 1 + (11 + 8 + 15)


def test_flag_between_pipes_of_a_core():
    b = StreamBuilder()
    load = b.append(Kind.GM_TO_UB, Core.AIV0, (1, 5860 * 512 // 512))
    muls(b, [load])
    # 5860 bytes are 12 lines of 512: 6144 / 58.6 = 105 cycles, there 50 later, flag 20.
    assert total(b) == 1 + 105 + 50 + 20 + 11 + 8 + 15


def test_signal_between_cores_of_the_cluster():
    b = StreamBuilder()
    drain = b.append(Kind.L0C_TO_GM, Core.AIC, (16, 16, 4))
    signal = b.append(Kind.CROSS_SET, Core.AIC, (Pipe.FIXP,), [drain])
    wait = b.append(Kind.CROSS_WAIT, Core.AIV0, (Pipe.MTE2,), [signal])
    b.append(Kind.GM_TO_UB, Core.AIV0, (1, 512), [wait])
    timing = time_block(b.build(), SPEC)
    drain_end = 1 + int(np.ceil(164 + 16 * 4.45))
    # The set follows its own pipe (barrier 1, run 1), the signal takes 200, then wait 1, barrier 1, load 9 + 50.
    assert timing.total_cycles == drain_end + 1 + 1 + 200 + 1 + 1 + 9 + 50
    mte2 = {use.pipe: use for use in timing.pipes}["AIV0.MTE2"]
    assert mte2.idle_cycles[WaitReason.CROSS_CORE.value] == drain_end + 1 + 1 + 200


def chain_of_loads(buffers):
    """20 loads of 512 cycles, each into the next of `buffers` and each feeding a product of 526."""
    b = StreamBuilder()
    products = []
    for i in range(20):
        free = [products[i - buffers]] if i >= buffers else []
        load = b.append(Kind.GM_TO_L1, Core.AIC, (1, 82 * 512), free)
        products.append(b.append(Kind.MMAD, Core.AIC, (128, 64, 256, 2), [load]))
    return total(b)


def test_three_buffers_hide_the_loads():
    assert chain_of_loads(buffers=3) == 1 + 512 + 50 + 20 + 20 * 526


def test_two_buffers_are_paced_by_the_round_trip():
    # A buffer comes round every load + latency + flag + product + flag = 1128 cycles, so ten times for 20 loads;
    # the second buffer ends 526 behind the first.
    assert chain_of_loads(buffers=2) == 1 + 9 * 1128 + (512 + 50 + 20 + 526) + 526


def test_one_buffer_serialises():
    assert chain_of_loads(buffers=1) == 1 + 20 * (512 + 50 + 20 + 526) + 19 * 20


def test_barrier_holds_issue_until_everything_before_it_is_done():
    b = StreamBuilder()
    b.append(Kind.GM_TO_UB, Core.AIV0, (1, 512))
    b.append(Kind.BARRIER, Core.AIV0)
    b.append(Kind.UB_TO_GM, Core.AIV0, (1, 512))
    timing = time_block(b.build(), SPEC)
    loaded = 1 + 9 + 50
    assert timing.total_cycles == loaded + 1 + 1 + 5
    uses = {use.pipe: use for use in timing.pipes}
    assert uses["AIV0.S"].idle_cycles[WaitReason.BARRIER.value] == loaded - 1
    # MTE3 was not issued because the scalar unit stood at the barrier: that is the reason it shows.
    assert uses["AIV0.MTE3"].idle_cycles == {"barrier": loaded, "issue": 2.0}


def test_unused_pipe_is_idle_for_want_of_work():
    b = StreamBuilder()
    muls(b)
    uses = {use.pipe: use for use in time_block(b.build(), SPEC).pipes}
    assert set(uses) == {"AIV0.S", "AIV0.MTE2", "AIV0.MTE3", "AIV0.V"}
    assert uses["AIV0.MTE3"].idle_cycles == {"no_work": 35.0}
    assert (uses["AIV0.S"].busy_cycles, uses["AIV0.V"].busy_cycles) == (1.0, 34.0)


def test_empty_stream_takes_no_time():
    timing = time_block(StreamBuilder().build(), SPEC)
    assert (timing.total_cycles, timing.pipes, timing.critical_path) == (0, (), ())


def test_bytes_are_those_of_the_instructions():
    b = StreamBuilder()
    b.append(Kind.GM_TO_L1, Core.AIC, (10, 512))
    b.append(Kind.GM_TO_UB, Core.AIV0, (1, 64))
    b.append(Kind.GM_TO_UB, Core.AIV1, (2, 512))
    b.append(Kind.UB_TO_GM, Core.AIV1, (1, 512))
    b.append(Kind.L0C_TO_GM, Core.AIC, (16, 16, 4))
    timing = time_block(b.build(), SPEC)
    assert timing.gm_read_bytes_by_core == (5120, 64, 1024)
    assert (timing.gm_read_bytes, timing.gm_write_bytes) == (6208, 512 + 1024)
    assert timing.l2_bytes == 5120 + 512 + 1024 + 512 + 1024


def test_cache_returns_the_same_timing_for_equal_streams_and_chips():
    def build(repeats):
        b = StreamBuilder()
        muls(b, repeats=repeats)
        return b.build()

    cache = {}
    first = time_block(build(8), SPEC, cache)
    assert time_block(build(8), load_chip("910b1"), cache) is first
    assert time_block(build(9), SPEC, cache) is not first
    assert time_block(build(8), load_chip("910b2"), cache) is not first
    assert len(cache) == 3


def test_dependency_on_a_later_instruction_is_refused():
    b = StreamBuilder()
    muls(b, [muls(b)])
    stream = b.build()
    stream.dep_indices[0] = 1
    with pytest.raises(ValueError, match="instruction 1 depends on 1"):
        time_block(stream, SPEC)


def random_stream(rng, n):
    """n instructions of every kind on all three cores, with up to three dependencies each."""
    b = StreamBuilder()
    for i in range(n):
        core = Core(rng.integers(3))
        pick = rng.integers(8)
        if pick == 0:
            kind, args = Kind.SCALAR, (int(rng.integers(20)),)
        elif pick == 1:
            pipes = CORE_PIPES[core]
            kind, args = (Kind.CROSS_SET, Kind.CROSS_WAIT)[rng.integers(2)], (pipes[rng.integers(len(pipes))],)
        elif pick == 2 and rng.random() < 0.3:
            kind, args = Kind.BARRIER, ()
        elif core == Core.AIC:
            size = int(rng.integers(0, 3000))
            kind, args = [
                (Kind.GM_TO_L1, (2, size)),
                (Kind.L1_TO_L0A, (size,)),
                (Kind.L1_TO_L0B, (size,)),
                (Kind.MMAD, (16, 32, 48, 2)),
                (Kind.L0C_TO_GM, (16, size // 100, 4)),
            ][rng.integers(5)]
        else:
            size = int(rng.integers(0, 3000))
            kind, args = [
                (Kind.GM_TO_UB, (2, size)),
                (Kind.UB_TO_GM, (1, size)),
                (Kind.VEC, (int(rng.integers(len(VecOp))), 2, size, int(rng.integers(2)))),
                (Kind.VEC, (VecOp.MULS, 1, 256, 1)),
            ][rng.integers(4)]
        deps = rng.integers(max(0, i - 12), i, rng.integers(4)).tolist() if i else []
        b.append(kind, core, args, deps)
    return b.build()


class Twin:
    """The rules of `core` as recursive definitions, one instruction at a time."""

    def __init__(self, stream, spec):
        self.s, self.c = stream, stream_cost(stream, spec)
        self.latency = [int(spec[f"sync.{k}"]) for k in ("barrier_cycles", "flag_cycles", "cross_core_cycles")]
        self.memo = {}

    def before(self, i, same_pipe):
        for j in range(i - 1, -1, -1):
            if self.s.core[j] == self.s.core[i] and (not same_pipe or self.c.pipe[j] == self.c.pipe[i]):
                return j
        return None

    def of(self, i):
        """(scalar unit free after i, start, release, completion)."""
        if i in self.memo:
            return self.memo[i]
        earlier = self.before(i, same_pipe=False)
        scalar = self.of(earlier)[0] if earlier is not None else 0
        on_scalar = self.c.pipe[i] == Pipe.S
        issued = scalar if on_scalar else scalar + int(self.c.issue_cycles[i])
        waits = [issued]
        sources = self.s.dep_indices[self.s.dep_offsets[i] : self.s.dep_offsets[i + 1]].tolist()
        waits += [self.of(j)[3] + self.signal(j, i) for j in sources]
        if self.s.kind[i] == Kind.BARRIER:
            waits += [self.of(j)[3] for j in range(i) if self.s.core[j] == self.s.core[i]]
        ready = max(waits)
        ahead = self.before(i, same_pipe=True)
        released = self.of(ahead)[2] if ahead is not None else 0
        head = int(self.c.head_cycles[i])
        runs = ready + head if on_scalar else max(ready + head, released)
        start = ready if runs > released or on_scalar or ahead is None else released
        release = runs + int(self.c.hold_cycles[i])
        done = release + int(self.c.tail_cycles[i])
        self.memo[i] = (release if on_scalar else issued, start, release, done)
        return self.memo[i]

    def signal(self, j, i):
        if self.s.core[j] != self.s.core[i]:
            return self.latency[2]
        if self.c.pipe[j] == Pipe.S:
            return 0
        return self.latency[0] if self.c.pipe[j] == self.c.pipe[i] else self.latency[1]


@pytest.mark.parametrize("seed", range(40))
def test_kernel_agrees_with_the_recursive_twin(seed):
    stream = random_stream(np.random.default_rng(seed), 80)
    timing, twin = time_block(stream, SPEC), Twin(stream, SPEC)
    sys.setrecursionlimit(max(sys.getrecursionlimit(), 5000))
    expected = [twin.of(i) for i in range(len(stream))]
    np.testing.assert_array_equal(timing.start_cycles, [e[1] for e in expected])
    np.testing.assert_array_equal(timing.end_cycles, [e[3] for e in expected])
    assert timing.total_cycles == max(e[3] for e in expected)


@pytest.mark.parametrize("seed", range(40))
def test_busy_and_idle_by_reason_cover_every_pipe(seed):
    stream = random_stream(np.random.default_rng(1000 + seed), 120)
    timing, cost = time_block(stream, SPEC), stream_cost(stream, SPEC)
    allowed = {reason.value for reason in WaitReason}
    for use in timing.pipes:
        assert use.total_cycles == timing.total_cycles
        assert use.busy_cycles + sum(use.idle_cycles.values()) == timing.total_cycles
        assert set(use.idle_cycles) <= allowed
        assert all(cycles > 0 for cycles in use.idle_cycles.values())
        core, pipe = (Core[use.pipe.split(".")[0]], Pipe[use.pipe.split(".")[1]])
        if pipe == Pipe.S:
            on_core = stream.core == core
            assert (
                use.busy_cycles == cost.issue_cycles[on_core].sum() + cost.hold_cycles[on_core & (cost.pipe == 0)].sum()
            )
        else:
            working = np.zeros(timing.total_cycles, dtype=bool)  # a cycle is busy if any instruction covers it
            for i in np.flatnonzero((stream.core == core) & (cost.pipe == pipe)):
                working[timing.start_cycles[i] : timing.end_cycles[i]] = True
            assert use.busy_cycles == working.sum()


@pytest.mark.parametrize("seed", range(40))
def test_critical_path_is_contiguous_and_sums_to_the_total(seed):
    stream = random_stream(np.random.default_rng(2000 + seed), 120)
    timing = time_block(stream, SPEC)
    now = 0
    for segment in timing.critical_path:
        assert segment.start_cycles == now < segment.end_cycles
        now = segment.end_cycles
        if segment.reason == "busy":
            assert timing.start_cycles[segment.instruction] <= segment.start_cycles
            assert segment.end_cycles <= timing.end_cycles[segment.instruction]
    assert now == timing.total_cycles
    assert sum(s.end_cycles - s.start_cycles for s in timing.critical_path) == timing.total_cycles


@pytest.mark.parametrize("seed", range(6))
def test_no_slower_part_makes_a_block_faster(seed):
    rng = np.random.default_rng(3000 + seed)
    stream = random_stream(rng, 100)
    base = time_block(stream, SPEC)
    for path in RATES:
        slower = time_block(stream, SPEC.replace_value(path, SPEC[path] / 2))
        assert (slower.end_cycles >= base.end_cycles).all(), path
    for path in CYCLES:
        slower = time_block(stream, SPEC.replace_value(path, SPEC[path] + int(rng.integers(1, 9))))
        assert (slower.end_cycles >= base.end_cycles).all(), path


def test_timing_is_a_pure_function_of_stream_and_chip():
    stream = random_stream(np.random.default_rng(5), 200)
    one, two = time_block(stream, SPEC), time_block(stream, SPEC)
    assert one.pipes == two.pipes
    assert one.critical_path == two.critical_path
