"""What a `TaskProgram` means, without the simulator: its launches one by one, and their values in NumPy.

Nothing of the engine is used here, so that a run of the simulator has something independent to be compared with.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from pto_sim.testing.task_program import (
    COLUMNS,
    INPUT,
    OUTPUT,
    ROWS,
    Create,
    Launch,
    Loop,
    Scope,
    Statement,
    TaskProgram,
    View,
)

Buffer = tuple[str, tuple[int, ...]]
"""A tensor of the run: its name, and the iterations of the loops in whose body it was created."""


@dataclass(frozen=True)
class Created:
    """A buffer comes to life."""

    buffer: Buffer
    chunks: int


@dataclass(frozen=True)
class BoundLaunch:
    """One launch of the run. target and sources: (buffer, first chunk), the sources with their scale."""

    launch: Launch
    target: tuple[Buffer, int]
    sources: tuple[tuple[Buffer, int, int], ...]

    def value(self, read: Mapping[Buffer, np.ndarray], block: int) -> np.ndarray:
        """What block `block` writes, from the rows that it reads. INT32 arithmetic, which wraps."""
        rows = np.full((ROWS, COLUMNS), 0, np.int64)
        for buffer, chunk, scale in self.sources:
            rows += chunk_rows(read[buffer], chunk + block).astype(np.int64) * scale
        if self.launch.update:
            rows += chunk_rows(read[self.target[0]], self.target[1] + block)
        return (rows + self.launch.constant).astype(np.int32)


def chunk_rows(array: np.ndarray, chunk: int) -> np.ndarray:
    """The rows of one chunk, as a view."""
    return array[chunk * ROWS : (chunk + 1) * ROWS]


Step = Created | BoundLaunch


def unroll(program: TaskProgram) -> Iterator[Step]:
    """The creations and launches of a run in program order, loops unrolled."""
    scope: dict[str, Buffer] = {INPUT: (INPUT, ()), OUTPUT: (OUTPUT, ())}
    yield from _unroll(program.body, scope, ())


def _unroll(body: Sequence[Statement], names: dict[str, Buffer], iterations: tuple[int, ...]) -> Iterator[Step]:
    for statement in body:
        if isinstance(statement, Create):
            names[statement.name] = (statement.name, iterations)
            yield Created(names[statement.name], statement.chunks)
        elif isinstance(statement, Launch):
            target, chunk = _bind(statement.target, names, iterations)
            sources = tuple((*_bind(view, names, iterations), scale) for view, scale in statement.sources)
            yield BoundLaunch(statement, (target, chunk), sources)
        elif isinstance(statement, Scope):
            yield from _unroll(statement.body, names, iterations)
        else:
            assert isinstance(statement, Loop)
            for index in range(statement.count):
                yield from _unroll(statement.body, dict(names), (*iterations, index))


def _bind(view: View, names: Mapping[str, Buffer], iterations: tuple[int, ...]) -> tuple[Buffer, int]:
    moved = view.step * iterations[-1] if view.step else 0
    return names[view.tensor], view.chunk + moved


def reference(program: TaskProgram, arguments: Sequence[np.ndarray]) -> np.ndarray:
    """The output of the program in program order. arguments: as `TaskProgram.arguments` gives them; not changed."""
    memory: dict[Buffer, np.ndarray] = {(INPUT, ()): arguments[0], (OUTPUT, ()): arguments[1].copy()}
    for step in unroll(program):
        if isinstance(step, Created):
            memory[step.buffer] = np.zeros((step.chunks * ROWS, COLUMNS), np.int32)
            continue
        buffer, chunk = step.target
        for block in range(step.launch.blocks):
            chunk_rows(memory[buffer], chunk + block)[:] = step.value(memory, block)
    return memory[OUTPUT, ()]
