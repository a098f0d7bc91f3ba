"""What authors test their own kernels with: strategies, invariants, a state machine, a pytest plugin.

May import every package of the lower tiers. Needs hypothesis (`pip install pto-sim[testing]`). Names are imported when
they are asked for, because pytest loads the plugin of this package wherever pto-sim is installed.
"""

from __future__ import annotations

from importlib import import_module
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pto_sim.testing.allocator_machine import RingAllocator, ring_machine
    from pto_sim.testing.golden_value import Golden, golden
    from pto_sim.testing.heap_invariants import (
        depth_within,
        fifo_reclaimed,
        heap_conserved,
        high_water_within,
        no_live_block_reused,
        readings_are_ordered,
        residency_within,
        scope_within,
    )
    from pto_sim.testing.machines import chips, ring_configurations, ring_heaps
    from pto_sim.testing.program_strategies import orchestration_programs, scope_trees
    from pto_sim.testing.run_invariants import (
        bits_equal,
        bits_equal_under,
        completes_with,
        monotone_in_ring_size,
        no_findings,
        outputs_match,
    )
    from pto_sim.testing.runs import run
    from pto_sim.testing.task_program import Create, Launch, Loop, Scope, TaskProgram, View
    from pto_sim.testing.unrolling import reference
    from pto_sim.testing.values import dtypes, shapes, special_values, tensors
    from pto_sim.testing.verdict import Verdict

_NAMES = {
    "golden_value": "Golden golden",
    "heap_invariants": (
        "depth_within fifo_reclaimed heap_conserved high_water_within "
        "no_live_block_reused readings_are_ordered residency_within scope_within"
    ),
    "machines": "chips ring_configurations ring_heaps",
    "program_strategies": "orchestration_programs scope_trees",
    "allocator_machine": "RingAllocator ring_machine",
    "run_invariants": "bits_equal bits_equal_under completes_with monotone_in_ring_size no_findings outputs_match",
    "runs": "run",
    "task_program": "Create Launch Loop Scope TaskProgram View",
    "unrolling": "reference",
    "values": "dtypes shapes special_values tensors",
    "verdict": "Verdict",
}
_MODULES = MappingProxyType({name: module for module, names in _NAMES.items() for name in names.split()})


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)


__all__ = [
    "Create",
    "Golden",
    "Launch",
    "Loop",
    "RingAllocator",
    "Scope",
    "TaskProgram",
    "Verdict",
    "View",
    "bits_equal",
    "bits_equal_under",
    "chips",
    "completes_with",
    "depth_within",
    "dtypes",
    "fifo_reclaimed",
    "golden",
    "heap_conserved",
    "high_water_within",
    "monotone_in_ring_size",
    "no_findings",
    "no_live_block_reused",
    "orchestration_programs",
    "outputs_match",
    "readings_are_ordered",
    "reference",
    "residency_within",
    "ring_configurations",
    "ring_heaps",
    "ring_machine",
    "run",
    "scope_trees",
    "scope_within",
    "shapes",
    "special_values",
    "tensors",
]
