"""The stream builder packs what it is given and refuses what no core could run."""

import numpy as np
import pytest

from ascend_model.isa import (
    ARG_COUNT,
    ARG_NAMES,
    CORE_PIPES,
    KIND_PIPE,
    Core,
    Kind,
    Pipe,
    StreamBuilder,
    VecOp,
    pipe_of,
)


def test_stream_has_the_arrays_that_were_appended():
    b = StreamBuilder()
    load = b.append(Kind.GM_TO_UB, Core.AIV1, (3, 512), site=7)
    again = b.append(Kind.GM_TO_UB, Core.AIV1, (1, 64))
    add = b.append(Kind.VEC, Core.AIV1, (VecOp.ADD, 3, 512, 1), [again, load, load], site=8)
    stream = b.build()
    assert (load, again, add, len(stream), len(b)) == (0, 1, 2, 3, 3)
    np.testing.assert_array_equal(stream.kind, [Kind.GM_TO_UB, Kind.GM_TO_UB, Kind.VEC])
    np.testing.assert_array_equal(stream.core, [2, 2, 2])
    np.testing.assert_array_equal(stream.args, [[3, 512, 0, 0], [1, 64, 0, 0], [0, 3, 512, 1]])
    np.testing.assert_array_equal(stream.dep_offsets, [0, 0, 0, 2])
    np.testing.assert_array_equal(stream.dep_indices, [0, 1])
    np.testing.assert_array_equal(stream.site, [7, 0, 8])
    dtypes = [a.dtype for a in (stream.kind, stream.core, stream.args, stream.dep_offsets, stream.site)]
    assert dtypes == [np.int16, np.int8, np.int64, np.int32, np.int32]


def test_empty_stream_keeps_its_shapes():
    stream = StreamBuilder().build()
    assert len(stream) == 0
    assert stream.args.shape == (0, ARG_COUNT)
    np.testing.assert_array_equal(stream.dep_offsets, [0])


@pytest.mark.parametrize(
    ("kind", "core", "args", "deps", "message"),
    [
        (Kind.GM_TO_UB, Core.AIC, (1, 512), (), "AIC has no GM_TO_UB"),
        (Kind.MMAD, Core.AIV0, (16, 16, 16, 2), (), "AIV0 has no MMAD"),
        (Kind.VEC, Core.AIC, (0, 1, 256, 1), (), "AIC has no VEC"),
        (Kind.MMAD, Core.AIC, (16, 16, 16), (), r"MMAD takes arguments \(m, k, n, elem_bytes\)"),
        (Kind.GM_TO_L1, Core.AIC, (1, -512), (), "negative argument"),
        (Kind.BARRIER, Core.AIC, (), (0,), "not all of them earlier"),
        (Kind.BARRIER, Core.AIC, (), (-1,), "not all of them earlier"),
        (Kind.CROSS_SET, Core.AIC, (Pipe.V,), (), "AIC has no pipe V"),
        (Kind.CROSS_WAIT, Core.AIV0, (Pipe.FIXP,), (), "AIV0 has no pipe FIXP"),
    ],
)
def test_impossible_instruction_is_refused(kind, core, args, deps, message):
    with pytest.raises(ValueError, match=message):
        StreamBuilder().append(kind, core, args, deps)


def test_every_kind_has_argument_names_and_a_pipe_of_its_core():
    assert set(ARG_NAMES) == set(Kind)
    assert max(len(names) for names in ARG_NAMES.values()) == ARG_COUNT
    for kind in Kind:
        if kind in (Kind.CROSS_SET, Kind.CROSS_WAIT):
            assert KIND_PIPE[kind] == -1
            assert pipe_of(kind, (Pipe.MTE2,)) == Pipe.MTE2
        else:
            assert pipe_of(kind) == KIND_PIPE[kind]
            assert any(pipe_of(kind) in pipes for pipes in CORE_PIPES.values())


def test_pipes_follow_upstream_latency_table():
    # pto-isa: include/pto/costmodel/perf_sim/latency.hpp: loads MTE2, Acc stores FIXP, Vec stores MTE3, extracts MTE1.
    expected = {
        Kind.GM_TO_UB: Pipe.MTE2,
        Kind.GM_TO_L1: Pipe.MTE2,
        Kind.UB_TO_GM: Pipe.MTE3,
        Kind.L1_TO_GM: Pipe.MTE3,
        Kind.L0C_TO_GM: Pipe.FIXP,
        Kind.L0C_TO_L1: Pipe.FIXP,
        Kind.L1_TO_L0A: Pipe.MTE1,
        Kind.L1_TO_L0B: Pipe.MTE1,
        Kind.MMAD: Pipe.M,
        Kind.VEC: Pipe.V,
        Kind.SCALAR: Pipe.S,
    }
    assert {kind: pipe_of(kind) for kind in expected} == expected
