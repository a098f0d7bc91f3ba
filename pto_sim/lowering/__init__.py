"""Lowering: a recorded Program to the hardware model's Workload, as the a2a3 compiler would.

It decides what timing and capacity need and no more: the unit of each op, the memory of each tile, what crosses
between cube and vector, allocation batches, argument directions, task edges and instruction streams.

May import `program`, `numerics` and `ascend_model`.
"""

from pto_sim.lowering.graph import task_graph
from pto_sim.lowering.lower import lower
from pto_sim.lowering.lowered import L0Use, LoweredProgram, Pipe, TaskFacts

__all__ = ["L0Use", "LoweredProgram", "Pipe", "TaskFacts", "lower", "task_graph"]
