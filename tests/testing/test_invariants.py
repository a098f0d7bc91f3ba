"""Invariants hold for runs of the simulator, and each says no to a reading that breaks its rule."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import pto_sim.testing as pt
from pto_sim.backend import BackendRun

X = pt.View("x", 0)
PROGRAM = pt.TaskProgram(
    tuple(
        pt.Scope(
            (
                pt.Create(f"t{i}", 2),
                pt.Launch(f"a{i}", pt.View(f"t{i}", 0), ((X, 2),), 1, blocks=2),
                pt.Launch(f"b{i}", pt.View("out", i), ((pt.View(f"t{i}", 1), 1),), 0),
            )
        )
        for i in range(3)
    ),
    2,
    3,
)


@pytest.fixture(scope="module")
def done() -> BackendRun:
    with PROGRAM.kernel() as kernel:
        return pt.run(kernel, PROGRAM.arguments(), ring_heap_bytes=(4096, 2048, 4096, 4096))


def tampered(done: BackendRun, reading: str = "max_lag", **changes: Any) -> BackendRun:
    return replace(done, heap={reading: replace(done.heap[reading], **changes)})


def moved(done: BackendRun, index: int, **changes: Any) -> BackendRun:
    """A run in which one block of the reading is placed otherwise."""
    blocks = list(done.heap["max_lag"].blocks)
    blocks[index] = blocks[index]._replace(**changes)
    return tampered(done, blocks=tuple(blocks))


@pytest.mark.parametrize(
    "invariant",
    [pt.heap_conserved, pt.fifo_reclaimed, pt.no_live_block_reused, pt.depth_within, pt.readings_are_ordered],
)
def test_a_run_of_the_simulator_obeys(done: BackendRun, invariant: Any) -> None:
    assert set(done.heap) == {"max_lag", "prompt", "simulated"}
    assert invariant(done)


def test_a_frontier_that_moves_back_is_named(done: BackendRun) -> None:
    samples = [dict(sample) for sample in done.heap["max_lag"].samples]
    samples[-1]["heap_end"] = 0
    samples.append(dict(samples[1], heap_end=512))
    verdict = pt.heap_conserved(tampered(done, samples=tuple(samples)))
    assert not verdict and "a frontier moved back" in verdict.reason and "ring 1" in verdict.reason


def test_more_bytes_in_use_than_the_heap_has(done: BackendRun) -> None:
    sample = dict(done.heap["max_lag"].samples[1], heap_start=0, heap_end=4096)
    verdict = pt.heap_conserved(tampered(done, samples=(sample,)))
    assert "4096 bytes in use of 2048" in verdict.reason


def test_a_block_of_another_size(done: BackendRun) -> None:
    # A tensor of 2 x 8 rows of 16 INT32 is 1024 bytes.
    verdict = pt.heap_conserved(moved(done, 0, end_bytes=512))
    assert "512 bytes placed for outputs of (1024,) bytes, which take 1024" in verdict.reason


def test_slots_out_of_order(done: BackendRun) -> None:
    blocks = done.heap["max_lag"].blocks
    swapped = (blocks[1], blocks[0], *blocks[2:])
    assert "slot 1 was given after slot -1" in pt.fifo_reclaimed(tampered(done, blocks=swapped)).reason
    assert "oldest live one" in pt.fifo_reclaimed(moved(done, 3, oldest_live_id=9)).reason


def test_a_live_block_reused(done: BackendRun) -> None:
    first = done.heap["max_lag"].blocks[0]
    verdict = pt.no_live_block_reused(
        moved(done, 3, begin_bytes=first.begin_bytes, end_bytes=first.end_bytes, oldest_live_id=0)
    )
    assert f"slot 3 got bytes {first.begin_bytes} to {first.end_bytes} while slot 0" in verdict.reason


def test_limits_of_one_kernel(done: BackendRun) -> None:
    assert pt.depth_within(done, 2) and not pt.depth_within(done, 1)
    # Begin of the third scope (nothing reclaimed yet in this reading) to its end: three blocks of 1 KiB.
    assert pt.high_water_within(done, 3072, ring=1)
    assert "above the limit of 1000" in pt.high_water_within(done, 1000).reason
    assert pt.residency_within(done, 0, reading="prompt")
    site = done.heap["max_lag"].scopes[1].site
    assert pt.scope_within(done, site, 1024) and not pt.scope_within(done, site, 1023)
    with pytest.raises(ValueError, match=r"no scope at 'elsewhere\.py:3'"):
        pt.scope_within(done, "elsewhere.py:3", 1)
    with pytest.raises(ValueError, match="no reading 'lazy'"):
        pt.residency_within(done, 0, reading="lazy")


def test_readings_out_of_order(done: BackendRun) -> None:
    exchanged = dict(done.heap, prompt=done.heap["max_lag"], max_lag=done.heap["prompt"])
    higher = [replace(scope, high_water_bytes=9999) for scope in exchanged["prompt"].scopes]
    exchanged["prompt"] = replace(exchanged["prompt"], scopes=tuple(higher))
    assert "9999 bytes high water in prompt" in pt.readings_are_ordered(replace(done, heap=exchanged)).reason


def test_runs_of_one_kernel() -> None:
    arguments = PROGRAM.arguments()
    with PROGRAM.kernel() as kernel:
        assert pt.bits_equal_under(kernel, arguments, scopes=("flat", "auto"), lanes=(1, 3), block_order_seed=range(2))
        assert pt.completes_with(kernel, arguments, 2048)
        verdict = pt.completes_with(kernel, arguments, 1024, scopes="flat")
        assert not verdict and "PTO902" in verdict.reason
        assert pt.monotone_in_ring_size(kernel, arguments, [1024, 2048, 4096], scopes="flat")
        first, second = pt.run(kernel, arguments), pt.run(kernel, PROGRAM.arguments(1))
    verdict = pt.bits_equal(first, second)
    assert not verdict and verdict.reason.startswith("out: ") and "the first at [0, 0]" in verdict.reason
    assert pt.outputs_match(first, {"out": pt.reference(PROGRAM, arguments)})
    wrong = pt.reference(PROGRAM, arguments) + np.eye(24, 16, dtype=np.int32)
    assert "16 of 384 elements are off, the first at [0, 0]" in pt.outputs_match(first, {"out": wrong}).reason
    assert "no output 'y'" in pt.outputs_match(first, {"y": wrong}).reason
    assert "shape" in pt.outputs_match(first, {"out": wrong[:1]}).reason


def test_a_bit_that_depends_on_an_option_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    import pto_sim.testing.run_invariants as module

    def leaky(kernel: object, args: Any, **options: Any) -> BackendRun:
        done = pt.run(kernel, args, **options)
        done.outputs["out"] = done.outputs["out"] + options.get("lanes", 1) - 1
        return done

    monkeypatch.setattr(module, "run", leaky)
    with PROGRAM.kernel() as kernel:
        verdict = pt.bits_equal_under(kernel, PROGRAM.arguments(), lanes=(1, 5))
    assert verdict.reason.startswith("under lanes=5: out: 384 of 384 elements differ")


def test_findings_as_a_verdict(done: BackendRun) -> None:
    program = replace(PROGRAM, body=(pt.Create("spare", 1), *PROGRAM.body))
    with program.kernel() as kernel:
        wasteful = pt.run(kernel, program.arguments())
    assert pt.no_findings(done)
    assert "PTO405" in pt.no_findings(wasteful).reason
    assert pt.no_findings(wasteful, ignore=["PTO405"]) and pt.no_findings(wasteful, severity="error")
    with pytest.raises(ValueError, match="severity is one of"):
        pt.no_findings(done, severity="bad")


@settings(max_examples=60)
@given(pt.scope_trees(), st.sampled_from([2048, 4096, 2**20]))
def test_scope_trees_keep_every_invariant(program: pt.TaskProgram, heap: int) -> None:
    with program.kernel() as kernel:
        done = pt.run(kernel, program.arguments(), ring_heap_bytes=(heap,) * 4)
    for invariant in (pt.heap_conserved, pt.fifo_reclaimed, pt.no_live_block_reused, pt.readings_are_ordered):
        assert invariant(done)
    assert done.fault is not None or pt.outputs_match(done, {"out": pt.reference(program, program.arguments())})
