"""A state machine for ring allocators: allocate, retire, look, in any order, against a plain list of live blocks.

    from pto_sim.testing import ring_machine

    TestMyRing = ring_machine(lambda: MyRing(heap_bytes=16384), heap_bytes=16384).TestCase

The allocator is anything with the methods of `RingAllocator`; pto-sim tests its own ring with this machine.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

ALIGN_BYTES = 1024


class RingAllocator(Protocol):
    """A heap that gives contiguous blocks and takes them back in the order of allocation."""

    def allocate(self, nbytes: int) -> tuple[int, int] | None:
        """Begin and end of a block of `nbytes` (a multiple of 1024), or None if there is no room now."""

    def retire(self) -> None:
        """Give back the oldest live block."""

    def used_bytes(self) -> int:
        """Bytes from the oldest live block to the newest, pieces skipped at the ring's end included."""


def ring_machine(
    new_ring: Callable[[], RingAllocator], *, heap_bytes: int, max_live: int | None = None
) -> type[RuleBasedStateMachine]:
    """The state machine of a ring of `heap_bytes`. max_live: blocks that may be live at once, None for any number.

    Its rules: blocks lie inside the heap and never overlap a live one; a full ring says None and does not change; an
    empty ring takes every block up to its size; what is used never exceeds the heap and is never less than what lives.
    """

    class RingMachine(RuleBasedStateMachine):
        def __init__(self) -> None:
            super().__init__()
            self.ring = new_ring()
            self.live: list[tuple[int, int]] = []

        @rule(kib=st.integers(0, heap_bytes // ALIGN_BYTES + 1))
        def allocate(self, kib: int) -> None:
            nbytes, before = kib * ALIGN_BYTES, self.ring.used_bytes()
            placed = self.ring.allocate(nbytes)
            if placed is None:
                full = max_live is not None and len(self.live) >= max_live
                held = any(end > begin for begin, end in self.live)
                assert full or held or nbytes > heap_bytes, f"an empty ring refused {nbytes} bytes"
                assert self.ring.used_bytes() == before, "a refused allocation changed the ring"
                return
            begin, end = placed
            assert max_live is None or len(self.live) < max_live, f"more than {max_live} blocks are live"
            assert end - begin == nbytes and 0 <= begin <= end <= heap_bytes, f"block {placed} for {nbytes} bytes"
            for other in self.live:
                assert end <= other[0] or other[1] <= begin or begin == end or other[0] == other[1], (
                    f"block {placed} overlaps the live block {other}"
                )
            self.live.append(placed)

        @precondition(lambda self: self.live)
        @rule()
        def retire(self) -> None:
            self.ring.retire()
            self.live.pop(0)

        @invariant()
        def bytes_are_conserved(self) -> None:
            used, alive = self.ring.used_bytes(), sum(end - begin for begin, end in self.live)
            assert alive <= used <= heap_bytes, f"{used} bytes in use of {heap_bytes}, {alive} alive"

    machine: Any = RingMachine
    return machine
