"""When create_tensor results are allocated: batches at the top of their statement list.

The compiler emits all creates of one statement list as `alloc_tensors` calls of at most 16 tensors at the
list's top; creates directly in a MANUAL scope are emitted just before that scope
(pypto: src/codegen/orchestration/orchestration_codegen.cpp, EmitBatchedAllocTensors). The pipe buffer of a mixed
task is created just before its launch and is batched with the others.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

from pto_sim.lowering.statement_lists import StatementList

MAX_BATCH_TENSORS = 16
"""pypto: kMaxAllocTensorsArgs."""


class Batch(NamedTuple):
    """One alloc_tensors call: ('tensor', tensor index) and ('pipe', record index) in program order."""

    members: tuple[tuple[str, int], ...]


class Open(NamedTuple):
    """A scope or body opens (kind as in StatementList)."""

    kind: str
    site: int


class Close(NamedTuple):
    """The innermost open scope or body closes."""

    kind: str


class Launch(NamedTuple):
    """A task is launched: index into Program.tasks."""

    record: int


Emitted = Batch | Open | Close | Launch


def emit_order(root: StatementList, has_pipe: Callable[[int], bool]) -> Iterator[Emitted]:
    """The orchestration in emitted order. has_pipe(record): whether that launch gets a pipe buffer."""
    yield from _batches(_creates(root, has_pipe))
    yield from _body(root, has_pipe)


def _body(statements: StatementList, has_pipe: Callable[[int], bool]) -> Iterator[Emitted]:
    for item in statements.items:
        if isinstance(item, StatementList):
            own = _batches(_creates(item, has_pipe))
            if item.kind == "manual":
                yield from own
            yield Open(item.kind, item.site)
            if item.kind != "manual":
                yield from own
            yield from _body(item, has_pipe)
            yield Close(item.kind)
        elif item[0] == "task":
            yield Launch(item[1])


def _creates(statements: StatementList, has_pipe: Callable[[int], bool]) -> list[tuple[str, int]]:
    """Tensors and pipe buffers of this list alone, in program order."""
    found: list[tuple[str, int]] = []
    for item in statements.items:
        if isinstance(item, StatementList):
            continue
        kind, index = item
        if kind == "alloc":
            found.append(("tensor", index))
        elif has_pipe(index):
            found.append(("pipe", index))
    return found


def _batches(creates: list[tuple[str, int]]) -> list[Batch]:
    return [
        Batch(tuple(creates[first : first + MAX_BATCH_TENSORS])) for first in range(0, len(creates), MAX_BATCH_TENSORS)
    ]
