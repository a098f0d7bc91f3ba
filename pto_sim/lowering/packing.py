"""How many bytes a memory takes when tiles whose lifetimes do not meet share buffers.

The rule of the compiler's planner: largest tile first, into the first buffer that is free for its whole lifetime; a
buffer is as large as its first tile. An op may write over an operand that it reads last, unless it still needs it
(pypto: docs/en/dev/passes/33-memory_reuse.md, first-fit-decreasing packing and no-alias guard).
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

NOT_IN_PLACE = frozenset(
    {
        "recip", "rsqrt", "row_sum", "row_max", "row_min", "row_prod", "mrgsort", "fmod", "fmods", "transpose", "prelu",
        "gather", "sel", "cmp", "concat", "sort32", "move",
    }
)  # fmt: skip
"""Ops that read an operand after they have begun to write the result."""


def reads_ahead(op: str, widens: bool) -> bool:
    """Whether no operand of an op may share the buffer of its result. widens: the result's elements are larger."""
    return op in NOT_IN_PLACE or (op == "cast" and widens)


def keeps_vector(op: str) -> bool:
    """Whether an op reads its second operand again for each row or column, so that the result may not cover it."""
    return op.startswith(("row_expand", "col_expand"))


class Interval(NamedTuple):
    """A tile that needs a buffer of its own from moment `first` to moment `last`, both included.

    Op i reads at moment 2i and writes at 2i + 1.
    """

    nbytes: int
    first: int
    last: int


def packed_bytes(intervals: Iterable[Interval]) -> int:
    """Bytes of all buffers after packing."""
    buffers: list[list[Interval]] = []
    total = 0
    for interval in sorted(intervals, key=lambda i: (-i.nbytes, i.first, i.last)):
        for members in buffers:
            if all(m.last < interval.first or interval.last < m.first for m in members):
                members.append(interval)
                break
        else:
            buffers.append([interval])
            total += interval.nbytes
    return total
