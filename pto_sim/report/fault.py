"""A runtime error of the simulated device, in the form that a report shows."""

from __future__ import annotations

from dataclasses import asdict

from ascend_model.ring import RingFault
from ascend_model.stall import StallState
from pto_sim.program.errors import RuntimeFault

_HINTS = {
    1: "close the scope earlier so that its slots come back, or raise ring_task_window (PTO2_RING_TASK_WINDOW)",
    2: "raise --ring-heap, or free earlier: a scope closed sooner, scratch declared inside it",
    3: "close a scope of this ring earlier, or raise ring_task_window (PTO2_RING_TASK_WINDOW)",
    4: "let fewer producers run at once behind one scope, or raise ring_dep_pool (PTO2_RING_DEP_POOL)",
    5: "the orchestration is wrong, not a capacity: no ring size helps",
    7: "use at most one block for each core of the kind, or drop sync_start",
    8: "find out why the task takes so long, or decide on the device: a predicate, a mask, a loop in the kernel",
    11: "close scopes earlier: an entry lives as long as the task that wrote the tensor",
    100: "look at the task that still runs: a loop that does not end, or too much work for one task",
}


def runtime_fault(fault: RingFault) -> RuntimeFault:
    """The simulated runtime's error as ours, with the dump of the ring it stopped on."""
    state: dict[str, object] = {} if fault.state is None else asdict(fault.state)
    if isinstance(fault.state, StallState):
        state["sub_class"] = fault.state.sub_class
    if fault.advice is not None:
        state["advice"] = fault.advice.as_dict()
    return RuntimeFault(
        fault.code,
        fault.name,
        fault.message,
        ring_state=state,
        values="\n    ".join(fault.lines()),
        hint=_HINTS[fault.code],
    )
