"""When create_tensor results are allocated: batches at the top of their statement list.

The compiler emits all creates of one statement list as `alloc_tensors` calls of at most 16 tensors at the
list's top; creates directly in a MANUAL scope are emitted just before that scope
(pypto: src/codegen/orchestration/orchestration_codegen.cpp, EmitBatchedAllocTensors). The pipe buffer of a mixed
task is created just before its launch and is batched with the others. What has a size that its own list computes
at run time stays where it is, alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

from pto_sim.lowering.statement_lists import HostAccess, StatementList
from pto_sim.program.model import Program

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


Emitted = Batch | Open | Close | Launch | HostAccess


def emit_order(program: Program, root: StatementList, has_pipe: Callable[[int], bool]) -> Iterator[Emitted]:
    """The orchestration in emitted order. has_pipe(record): whether that launch gets a pipe buffer."""
    order = _Order(program, has_pipe)
    yield from _batches(order.creates(root))
    yield from order.body(root)


class _Order:
    def __init__(self, program: Program, has_pipe: Callable[[int], bool]) -> None:
        self.program, self.has_pipe = program, has_pipe

    def body(self, statements: StatementList) -> Iterator[Emitted]:
        for item in statements.items:
            if isinstance(item, StatementList):
                own = _batches(self.creates(item))
                if item.kind == "manual":
                    yield from own
                yield Open(item.kind, item.site)
                if item.kind != "manual":
                    yield from own
                yield from self.body(item)
                yield Close(item.kind)
                continue
            if isinstance(item, HostAccess):
                yield item
                continue
            created = self._create(item)
            if created is not None and self._stays(created):
                yield Batch((created,))
            if item[0] == "task":
                yield Launch(item[1])

    def creates(self, statements: StatementList) -> list[tuple[str, int]]:
        """Tensors and pipe buffers of this list alone that move to its top, in program order."""
        found = [self._create(item) for item in statements.items if not isinstance(item, (StatementList, HostAccess))]
        return [created for created in found if created is not None and not self._stays(created)]

    def _create(self, item: tuple[str, int]) -> tuple[str, int] | None:
        kind, index = item
        if kind == "alloc":
            return "tensor", index
        return ("pipe", index) if self.has_pipe(index) else None

    def _stays(self, created: tuple[str, int]) -> bool:
        kind, index = created
        if kind == "tensor":
            return self.program.tensors[index].computed_size
        return self.program.tasks[index].computed_blocks


def _batches(creates: list[tuple[str, int]]) -> list[Batch]:
    return [
        Batch(tuple(creates[first : first + MAX_BATCH_TENSORS])) for first in range(0, len(creates), MAX_BATCH_TENSORS)
    ]
