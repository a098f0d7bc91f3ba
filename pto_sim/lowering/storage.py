"""Tile storage of a block: which buffer a value gets, how long it lives, how many bytes it takes."""

from __future__ import annotations

from dataclasses import dataclass

from pto_sim.lowering.dtypes import itemsize_bytes, nbytes, rows_cols
from pto_sim.lowering.opclass import Role
from pto_sim.lowering.schedule import Schedule
from pto_sim.lowering.unit_split import ACC, AIC, AIV, VEC, UnitSplit
from pto_sim.program.model import Stream, ValueType

ALIGNMENT_BYTES = 32
"""Start of every on-chip tile (pypto: docs/en/dev/passes/34-allocate_memory_addr.md)."""


def tile_bytes(value: ValueType, memory: str) -> int:
    """Bytes that a tile takes in a memory.

    An accumulator is allocated in whole row groups: 16 rows, 32 for INT32 (pypto: GetL0cMAlignment).
    """
    if memory == ACC:
        rows, cols = rows_cols(value.shape)
        group = 32 if value.dtype == "INT32" else 16
        return -(-rows // group) * group * cols * itemsize_bytes(value.dtype)
    return -(-nbytes(value) // ALIGNMENT_BYTES) * ALIGNMENT_BYTES


@dataclass(frozen=True)
class Lifetime:
    """Ops at which the storage of a root is written first and used last, in program order.

    code_end: the last use as the compiler sees it: a value used in a loop that it was not made in stays until the
    loop ends.
    """

    first: int
    last: int
    code_end: int


def lifetimes(stream: Stream, split: UnitSplit) -> dict[int, Lifetime]:
    """Lifetime of every root that has an instruction."""
    nest = split.nest
    loop_end = {body.loop: body.last for body in nest.bodies[1:]}  # the last body's end is kept
    first: dict[int, int] = {}
    last: dict[int, int] = {}
    code_end: dict[int, int] = {}
    for index, op in enumerate(stream.ops):
        if not split.units[index] and split.roles[index] not in (Role.VIEW, Role.CREATE):
            continue
        values = op.ins if op.out < 0 else (*op.ins, op.out)
        for root in {split.root[value] for value in values}:
            if root not in first:
                if split.roles[index] is not Role.CREATE:
                    first[root] = last[root] = code_end[root] = index
                continue
            last[root] = max(last[root], index)
            code_end[root] = max(code_end[root], index)
            inside = nest.chain(nest.body_of[first[root]])
            for body in nest.chain(nest.body_of[index]):
                if body in inside:
                    break
                code_end[root] = max(code_end[root], loop_end[nest.bodies[body].loop])
    return {root: Lifetime(first[root], last[root], code_end[root]) for root in first}


class BufferKeys:
    """Names the buffer that an op's result gets: one for each statement, times the depth of its pipelines.

    shallow: memories in which pipelined tiles have one buffer each, because they do not all fit.
    """

    def __init__(
        self, stream: Stream, split: UnitSplit, order: Schedule, shallow: frozenset[str] = frozenset()
    ) -> None:
        self.stream, self.nest, self.order, self.shallow = stream, split.nest, order, shallow
        self._nth: list[int] = []
        count: dict[tuple[int, int], int] = {}
        for index, op in enumerate(stream.ops):
            place = (self.nest.body_of[index], op.signature)
            self._nth.append(count.get(place, 0))
            count[place] = self._nth[-1] + 1

    def statement(self, index: int) -> tuple[object, ...]:
        """Identity of the statement of op `index`: the same in every repetition of its loop."""
        body = self.nest.bodies[self.nest.body_of[index]]
        return body.statement, self.stream.ops[index].signature, self._nth[index]

    def key(self, index: int, memory: str) -> tuple[object, ...]:
        """Identity of the buffer that op `index` writes in a memory."""
        turn = tuple(self.nest.bodies[loop].trip % depth for loop, depth in self._depths(index, memory))
        return *self.statement(index), memory, turn

    def clones(self, index: int, unit: int) -> int:
        """How many times the pipelines around op `index` repeat its code side by side."""
        count = 1
        for ancestor in self.nest.chain(self.nest.body_of[index]):
            body = self.nest.bodies[ancestor]
            if body.kind == "pipeline":
                count *= self.order.depth(body.loop, unit)
        return count

    def copies(self, index: int, last: int, memory: str) -> int:
        """How many buffers a value made by op `index` and last used by op `last` has in a memory.

        A value that outlives its iteration, such as an accumulator, is carried in one buffer.
        """
        count = 1
        for body, depth in self._depths(index, memory):
            if last < self.nest.bodies[body].last:
                count *= depth
        return count

    def _depths(self, index: int, memory: str) -> list[tuple[int, int]]:
        """(body, buffers) of each pipeline iteration around op `index`, innermost first."""
        if memory in self.shallow:
            return []
        unit = AIV if memory == VEC else AIC
        found = []
        for ancestor in self.nest.chain(self.nest.body_of[index]):
            body = self.nest.bodies[ancestor]
            if body.kind == "pipeline":
                found.append((ancestor, self.order.depth(body.loop, unit)))
        return found
