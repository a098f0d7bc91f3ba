"""The task graph of a lowered program, for the checks."""

from __future__ import annotations

from ascend_model.ring import RING_COUNT
from ascend_model.workload import ScopeBegin, ScopeEnd
from pto_sim.lowering.lowered import LoweredProgram
from pto_sim.program.task_graph import GraphScope, GraphTask, TaskGraph


def task_graph(lowered: LoweredProgram) -> TaskGraph:
    """Tasks with their edges, rings and scopes; the edges are those of the Workload."""
    workload = lowered.workload
    opened: list[tuple[int, str, int]] = [(-1, "auto", 0)]  # site, mode, depth
    closed: list[int] = [len(workload.tasks)]
    stack = [0]
    tasks: list[GraphTask] = []
    for event in workload.events:
        if isinstance(event, ScopeBegin):
            stack.append(len(opened))
            opened.append((event.site, event.mode, len(stack) - 1))
            closed.append(0)
        elif isinstance(event, ScopeEnd):
            closed[stack.pop()] = len(tasks)
        else:
            task, facts = workload.tasks[event.task], lowered.facts[event.task]
            tasks.append(
                GraphTask(
                    record=facts.record,
                    kind=task.kind,
                    waits=tuple(edge.producer for edge in task.edges if edge.wait),
                    pins=tuple(edge.producer for edge in task.edges if edge.retain),
                    ring=min(len(stack) - 1, RING_COUNT - 1),
                    scope=stack[-1],
                    manual=opened[stack[-1]][1] == "manual",
                    tensors=facts.tensors,
                )
            )
    scopes = [GraphScope(*facts, at) for facts, at in zip(opened, closed, strict=True)]
    return TaskGraph(tuple(tasks), tuple(scopes))
