"""The task graph of a lowered program, for the checks."""

from __future__ import annotations

import numpy as np

from ascend_model.ring import RING_COUNT
from ascend_model.workload import Await, ScopeBegin, ScopeEnd, Submit
from pto_sim.lowering.core_clocks import core_order
from pto_sim.lowering.dependencies import DependencyTracker, EdgeNote
from pto_sim.lowering.lowered import LoweredProgram
from pto_sim.program.core_order import CoreOrder
from pto_sim.program.model import Program
from pto_sim.program.task_graph import GraphAwait, GraphBox, GraphEdge, GraphScope, GraphTask, TaskGraph


def task_graph(lowered: LoweredProgram, program: Program | None = None) -> TaskGraph:
    """Tasks with their edges, rings and scopes; the edges are those of the Workload.

    program: what `lowered` was made from, if the reasons of the edges and the order of the cores are wanted too.
    """
    workload = lowered.workload
    opened: list[tuple[int, str, int]] = [(-1, "auto", 0)]  # site, mode, depth
    closed: list[int] = [len(workload.tasks)]
    stack = [0]
    tasks: list[GraphTask] = []
    awaits: list[GraphAwait] = []
    for event in workload.events:
        if isinstance(event, ScopeBegin):
            stack.append(len(opened))
            opened.append((event.site, event.mode, len(stack) - 1))
            closed.append(0)
        elif isinstance(event, ScopeEnd):
            closed[stack.pop()] = len(tasks)
        elif isinstance(event, Await):
            awaits.append(_awaited(event, tasks))
        elif isinstance(event, Submit):
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
                    pipe_nbytes=facts.pipe.total_bytes if facts.pipe is not None else 0,
                )
            )
    scopes = [GraphScope(*facts, at) for facts, at in zip(opened, closed, strict=True)]
    if program is None:
        return TaskGraph(tuple(tasks), tuple(scopes), awaits=tuple(awaits))
    edges, cores = _edges(program, lowered, tasks), _core_orders(program, lowered)
    return TaskGraph(tuple(tasks), tuple(scopes), edges, tuple(awaits), cores)


def _core_orders(program: Program, lowered: LoweredProgram) -> dict[int, dict[int, CoreOrder]]:
    """The order of the cores of each mixed task: by record and stream."""
    found: dict[int, dict[int, CoreOrder]] = {}
    known: dict[tuple[int, str, int], CoreOrder] = {}
    for facts in lowered.facts:
        if facts.record < 0 or facts.kind != "MIX":
            continue
        record, orders = program.tasks[facts.record], found.setdefault(facts.record, {})
        slots = facts.pipe.slots_per_direction if facts.pipe is not None else 0
        for stream in np.unique(record.block_streams).tolist():
            # Streams that differ in their tensors alone share one split.
            split = lowered.splits[stream]
            key = id(split), record.split, slots
            if key not in known:
                known[key] = core_order(program.streams[stream], split, program, record.split, slots)
            orders[stream] = known[key]
    return found


def _awaited(event: Await, tasks: list[GraphTask]) -> GraphAwait:
    """What has completed when the orchestrator goes on: producers, and for a write the tasks that hold them."""
    producers = set(event.tasks)
    readers = {number for number, task in enumerate(tasks) if event.consumers and producers & set(task.pins)}
    return GraphAwait(len(tasks), tuple(sorted(producers | readers)))


def _edges(program: Program, lowered: LoweredProgram, tasks: list[GraphTask]) -> tuple[GraphEdge, ...]:
    """Why each edge exists: the runtime's search for producers, once more and with its reasons."""
    notes: list[EdgeNote] = []
    tracker = DependencyTracker(program, notes.append)
    pipe_owner: dict[int, int] = {}
    directions: dict[int, tuple[str, ...]] = {}
    for facts, task in zip(lowered.facts, tasks, strict=True):
        for kind, index in facts.members:
            if kind == "tensor":
                tracker.allocate(index, facts.task)
            else:
                pipe_owner[index] = facts.task
        if facts.record < 0:
            continue
        args = len(program.tasks[facts.record].args)
        directions[facts.task] = own = tuple(direction for _, direction in facts.directions[:args])
        owner = pipe_owner.get(facts.record)
        tracker.submit(facts.record, facts.task, own, manual=task.manual, pipe_owner=owner)
    return tuple(_edge(note, directions[note.consumer]) for note in notes)


def _edge(note: EdgeNote, directions: tuple[str, ...]) -> GraphEdge:
    argument = note.arg if note.arg < len(directions) else -1
    direction = directions[argument] if argument >= 0 else ""
    region = note.match.region if note.match is not None else None
    box = None if region is None else GraphBox(region.offset, region.shape, region.strides)
    return GraphEdge(note.consumer, note.edge.producer, note.edge.source, argument, direction, box)
