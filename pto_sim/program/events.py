"""What the engine publishes while a kernel runs. Checks, progress displays and tests subscribe to it.

The engine and the checks do not import each other: both import this module.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from pto_sim.program.model import Access, Program, Site, TaskRecord


class OrchestrationAccess(NamedTuple):
    """What the orchestration itself read or wrote of a tensor, between tasks.

    before: how many tasks had been launched. predicate: an operand of the predicate= of task `before`, which the
    scheduler reads when that task is ready, and not the orchestration.
    """

    before: int
    access: Access
    predicate: bool = False


@dataclass(frozen=True)
class RunEnd:
    """What is known when the entry function has returned.

    written: for each entry tensor, by parameter name, the elements that a store reached: a bool array of the
    tensor's shape, or None if it was written completely. A name that is absent was not followed.
    orchestration: pl.read, pl.write, initial values and predicates, in order.
    """

    program: Program
    written: Mapping[str, np.ndarray | None] = field(default_factory=dict)
    orchestration: Sequence[OrchestrationAccess] = ()


class SourceNote(NamedTuple):
    """What the source of a kernel function shows before it runs, or what its run met at a line.

    kind: 'dropped write' (the source), 'undefined index' (a run: an index outside, for which the device has no value),
    'profiles part' (a run that compares them: the first result that the other profile does not have), 'trimmed window'
    (a run: a slice in orchestration that overhangs its tensor).
    """

    kind: str
    site: Site
    message: str


class Observer:
    """Base of everything that listens to a run. Every method does nothing until a subclass overrides it.

    The engine calls the methods in execution order, on the thread that runs the kernel. An observer must not
    change what it is given.
    """

    def on_note(self, note: SourceNote) -> None:
        """A kernel function runs for the first time and its source has something to say, or a line met such a value."""

    def on_tensor(self, tensor: int, elements: Callable[[], np.ndarray]) -> None:
        """Tensor `tensor` (its index in `Program.tensors`) exists. elements(): what it holds now, flat; do not change
        it. It is empty once the tensor's scope has closed."""

    def on_task_begin(self, task: int, name: str, blocks: int) -> None:
        """Task `task` (its index in `Program.tasks`) starts to execute."""

    def on_access(self, task: int, access: Access) -> None:
        """A GM box was read or written."""

    def on_restart(self) -> None:
        """The run starts again from its first statement: forget what was told so far."""

    def on_task_end(self, task: int, record: TaskRecord) -> None:
        """Task `task` has executed; `record` is complete."""

    def on_run_end(self, end: RunEnd) -> None:
        """The entry function has returned."""
