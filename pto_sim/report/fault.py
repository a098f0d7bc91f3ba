"""A runtime error of the simulated device, in the form that a report shows."""

from __future__ import annotations

from dataclasses import asdict

from ascend_model.ring import RingFault
from pto_sim.program.errors import RuntimeFault


def runtime_fault(fault: RingFault) -> RuntimeFault:
    """The simulated runtime's error as ours, with the dump of the ring it stopped on."""
    state = {} if fault.state is None else asdict(fault.state)
    lines = "" if fault.state is None else "\n    ".join(fault.state.lines())
    return RuntimeFault(
        fault.code,
        fault.name,
        fault.message,
        ring_state=state,
        values=lines,
        hint="raise --ring-heap, or free earlier: a scope closed sooner, scratch declared inside it",
    )
