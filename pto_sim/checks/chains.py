"""The longest chain of tasks that wait for each other, with and without some of the edges."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence

from pto_sim.program.task_graph import GraphTask

Pair = tuple[int, int]


def longest_chain_us(
    tasks: Sequence[GraphTask],
    durations_us: Sequence[float],
    dropped: Collection[Pair] = (),
    instead: Mapping[int, Iterable[int]] | None = None,
) -> float:
    """How long the tasks take if each starts when the tasks that it waits for have run, and cores are never short.

    dropped: (producer, consumer) pairs that are left out, waits that order nothing. instead: tasks for which a consumer
    waits in their place. What waits for the consumer still waits for the dropped producer, because it may have relied
    on that.
    """
    done = [0.0] * len(tasks)  # of the task and of all that is behind its edges, dropped or not
    longest = 0.0
    for number, task in enumerate(tasks):
        kept = [producer for producer in task.waits if (producer, number) not in dropped]
        start = max((done[producer] for producer in kept), default=0.0)
        if instead:
            start = max([start, *(done[producer] for producer in instead.get(number, ()))])
        end = start + durations_us[number]
        longest = max(longest, end)
        done[number] = max([end, *(done[producer] for producer in task.waits)])
    return longest
