"""Random legal programs, run by the engine in program order and out of order on real ring heaps: equal to the bit."""

from __future__ import annotations

import os

import numpy as np
import pytest
from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st

from ascend_model.heap import read_heap
from ascend_model.ring import RingFault, RingSizes
from pto_sim.lowering import lower
from pto_sim.testing import TaskProgram, orchestration_programs, reference, run
from tests.testing.event_driven import EventDriven

MIB = 2**20
sizes = st.builds(
    RingSizes,
    heap_bytes=st.tuples(*[st.sampled_from([2048, 4096, 8192, MIB])] * 4),
    task_window=st.tuples(*[st.sampled_from([4, 8, 64])] * 4),
)


def compare(program: TaskProgram, rings: RingSizes, seed: int) -> None:
    """The engine, the mathematics and the event-driven run agree; the rings stop both or neither."""
    arguments = program.arguments(seed)
    with program.kernel() as kernel:
        done = run(kernel, arguments, timing=False)
    expected = reference(program, arguments)
    np.testing.assert_array_equal(done.outputs["out"], expected)
    assert done.program is not None
    lowered = lower(done.program)
    try:
        read_heap(lowered.workload, rings)
    except RingFault as fault:
        event(f"error {fault.code}")
        with pytest.raises(RingFault):
            EventDriven(program, lowered, rings, seed).run(arguments)
        return
    event("completes")
    for order in range(3):
        actual = EventDriven(program, lowered, rings, seed * 3 + order).run(arguments)
        np.testing.assert_array_equal(actual, expected)


@settings(max_examples=300)
@given(orchestration_programs(), sizes, st.integers(0, 2**20))
def test_order_and_rings_change_no_bit(program: TaskProgram, rings: RingSizes, seed: int) -> None:
    compare(program, rings, seed)


@pytest.mark.slow
@settings(max_examples=int(os.environ.get("PTO_SIM_RANDOM_PROGRAMS", "10000")), suppress_health_check=list(HealthCheck))
@given(orchestration_programs(max_statements=12, max_depth=4), sizes, st.integers(0, 2**20))
def test_ten_thousand_programs(program: TaskProgram, rings: RingSizes, seed: int) -> None:
    compare(program, rings, seed)
