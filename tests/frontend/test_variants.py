"""Scope variants change where buffers live and nothing else."""

import numpy as np
import pytest

import pto_sim.language as pl
from pto_sim.engine import run_kernel
from pto_sim.program.errors import InputError
from pto_sim.program.options import RunOptions

N = 8


@pl.jit.inline(auto_scope=False)
def phases(x: pl.Tensor[[N, 16], pl.FP32], out: pl.Tensor[[N, 16], pl.FP32]):
    bridge = pl.create_tensor([N, 16], dtype=pl.FP32)
    with pl.scope():
        first = pl.create_tensor([N, 16], dtype=pl.FP32)
        for i in pl.spmd(N, name_hint="one"):
            first[i : i + 1, 0:16] = pl.mul(x[i : i + 1, 0:16], 2.0)
        for i in pl.spmd(N, name_hint="two"):
            bridge[i : i + 1, 0:16] = pl.add(first[i : i + 1, 0:16], 1.0)
    with pl.scope():
        rows = N
        second = pl.create_tensor([rows, 16], dtype=pl.FP32)
        for i in pl.spmd(N, name_hint="three"):
            second[i : i + 1, 0:16] = bridge[i : i + 1, 0:16]
        for i in pl.spmd(N, name_hint="four"):
            out[i : i + 1, 0:16] = second[i : i + 1, 0:16]
    return out


@pl.jit(auto_scope=False)
def entry(x: pl.Tensor[[N, 16], pl.FP32], out: pl.Out[pl.Tensor[[N, 16], pl.FP32]]):
    phases(x, out)


X = np.arange(N * 16, dtype=np.float32).reshape(N, 16)


def structure(**options):
    """Where each buffer is allocated: its name and the number of scopes open there."""
    result = run_kernel(entry, [X, np.zeros_like(X)], RunOptions(**options), [])
    np.testing.assert_array_equal(result.outputs["out"], X * 2 + 1)
    depth, where = 0, {}
    for event in result.program.events:
        depth += {"scope_begin": 1, "scope_end": -1}.get(event.kind, 0)
        if event.kind == "alloc":
            where[result.program.tensors[event.value].name] = depth
    return where, result.program.variant


def test_written():
    assert structure() == ({"bridge": 0, "first": 1, "second": 1}, "written")


def test_hoist_declares_at_the_frame():
    assert structure(hoist=("first",)) == ({"bridge": 0, "first": 0, "second": 1}, "written, hoist first")


def test_flat_dissolves_every_scope():
    assert structure(scopes="flat")[0] == {"bridge": 0, "first": 0, "second": 0}


def test_auto_runs_under_one_automatic_scope():
    assert structure(scopes="auto")[0] == {"bridge": 1, "first": 1, "second": 1}


def test_a_name_that_is_no_buffer_is_refused():
    with pytest.raises(InputError, match="declares no nothing"):
        structure(hoist=("nothing",))


def test_a_shape_bound_inside_the_scope_cannot_move():
    with pytest.raises(InputError, match="its shape needs rows"):
        structure(hoist=("second",))


def test_an_unknown_variant_is_refused():
    with pytest.raises(InputError, match="no scope variant 'deep'"):
        structure(scopes="deep")
