"""A workload in which one scope takes less of its ring: fewer tasks, smaller blocks, fewer dependencies."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace

from ascend_model.ring import block_nbytes
from ascend_model.workload import Await, Event, ScopeBegin, ScopeEnd, Submit, Task, Workload


def _waits(task: Task) -> int:
    return sum(edge.wait for edge in task.edges)


MEASURES: dict[str, tuple[str, Callable[[Task], int]]] = {
    "task_window": ("tasks", lambda task: 1),
    "heap_bytes": ("bytes", lambda task: block_nbytes(task.output_nbytes)),
    "dep_pool": ("entries", _waits),
}
"""By field of `RingSizes`: the unit, and what a task takes of it."""


def instances_of(workload: Workload, site: str, depth: int) -> tuple[tuple[int, ...], ...]:
    """The tasks of every instance of a scope, without those of the scopes inside it. Depth 0: the root scope."""
    open_scopes: list[list[int]] = [[]]
    found = [open_scopes[0]] if depth == 0 else []
    for event in workload.events:
        if isinstance(event, ScopeBegin):
            open_scopes.append([])
            if len(open_scopes) - 1 == depth and workload.sites[event.site] == site:
                found.append(open_scopes[-1])
        elif isinstance(event, ScopeEnd):
            open_scopes.pop()
        elif isinstance(event, Submit):
            open_scopes[-1].append(event.task)
    return tuple(map(tuple, found))


def with_less(workload: Workload, instances: Iterable[Sequence[int]], resource: str, less: int) -> Workload:
    """`workload` with `less` taken away from each instance, from its last tasks on."""
    measure = MEASURES[resource][1]
    tasks = list(workload.tasks)
    removed: set[int] = set()
    for instance in instances:
        left = less
        for index in reversed(instance):
            cut = min(left, measure(tasks[index]))
            if not cut:
                continue
            left -= cut
            if resource == "task_window":
                removed.add(index)
            elif resource == "heap_bytes":
                tasks[index] = tasks[index]._replace(output_nbytes=(measure(tasks[index]) - cut,), output_names=("",))
            else:
                tasks[index] = _with_fewer_waits(tasks[index], cut)
    kept = tuple(_without(task, removed) for task in tasks) if removed else tuple(tasks)
    events = tuple(_with_fewer_tasks(workload.events, removed)) if removed else workload.events
    return replace(workload, tasks=kept, events=events)


def _with_fewer_tasks(events: Iterable[Event], removed: set[int]) -> Iterator[Event]:
    for event in events:
        if isinstance(event, Await):
            yield event._replace(tasks=tuple(task for task in event.tasks if task not in removed))
        elif not isinstance(event, Submit) or event.task not in removed:
            yield event


def _with_fewer_waits(task: Task, cut: int) -> Task:
    waits = [edge for edge in task.edges if edge.wait]
    gone = set(map(id, waits[len(waits) - cut :]))
    return task._replace(edges=tuple(edge for edge in task.edges if id(edge) not in gone))


def _without(task: Task, removed: set[int]) -> Task:
    if not any(edge.producer in removed for edge in task.edges):
        return task
    return task._replace(edges=tuple(edge for edge in task.edges if edge.producer not in removed))
