"""The order in which ops of functions of one core reach their cores.

Such functions are recorded one after the other. Each core goes through its own ops in order, and stands still where it
needs what another has not issued yet: a pop before its push, a push into a ring whose slots are not free, a wait
before its set.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator

from pto_sim.lowering.opclass import Role
from pto_sim.lowering.unit_split import UnitSplit
from pto_sim.program.model import OpSignature, Stream


def placed_everywhere(split: UnitSplit) -> bool:
    """Whether every op of the stream was recorded on a core."""
    return any(place.unit for place in split.places) and all(
        place.unit for place, role in zip(split.places, split.roles, strict=True) if role is not Role.MARK
    )


def interleaved(stream: Stream, split: UnitSplit, signatures: list[OpSignature]) -> Iterator[int]:
    """Indices of the ops in issue order."""
    return _CoreOrder(stream, split, signatures).run()


class _CoreOrder:
    def __init__(self, stream: Stream, split: UnitSplit, signatures: list[OpSignature]) -> None:
        self.ops, self.split = stream.ops, split
        self.attrs = [dict(signatures[op.signature].attrs) for op in stream.ops]
        self.names = [signatures[op.signature].op for op in stream.ops]
        self.queues: dict[str, list[int]] = defaultdict(list)
        for index, place in enumerate(split.places):
            if split.roles[index] is not Role.MARK:
                self.queues[place.unit].append(index)
        self.issued: set[int] = set()  # slots that are full
        self.users: dict[int, int] = defaultdict(int)  # slot -> pops of it that are not freed
        self.source: dict[int, tuple[int, ...]] = {}  # popped value -> its slots
        self.fillings: dict[tuple[object, ...], list[int]] = defaultdict(list)
        self.events: dict[tuple[object, str], int] = defaultdict(int)
        for index, op in enumerate(self.ops):
            if split.roles[index] is Role.POP:
                self.source[op.out] = op.ins
                for slot in op.ins:
                    self.users[slot] += 1

    def run(self) -> Iterator[int]:
        heads = dict.fromkeys(self.queues, 0)
        remaining = sum(map(len, self.queues.values()))
        forced = False
        while remaining:
            moved = False
            for unit, queue in self.queues.items():
                while heads[unit] < len(queue) and (forced or self._may_issue(queue[heads[unit]], unit)):
                    index = queue[heads[unit]]
                    heads[unit] += 1
                    remaining -= 1
                    moved, forced = True, False
                    self._issue(index, unit)
                    yield index
            # A slot that the author never frees, but never needs again either, holds nobody up.
            forced = not moved

    def _ring(self, index: int, unit: str) -> tuple[object, ...]:
        return (self.attrs[index]["direction"], self.attrs[index]["pipe"], unit)

    def _may_issue(self, index: int, unit: str) -> bool:
        role = self.split.roles[index]
        if role is Role.POP:
            return all(slot in self.issued for slot in self.ops[index].ins)
        if role is Role.PUSH:
            filled, slots = self.fillings[self._ring(index, unit)], self.attrs[index].get("slots")
            return not isinstance(slots, int) or len(filled) < slots or not self.users[filled[len(filled) - slots]]
        if self.names[index] == "sync_wait":
            event = self.attrs[index]["event"]
            others = ("aiv0", "aiv1") if unit == "aic" else ("aic", "aiv0", "aiv1")
            needed = self.events[event, f"wait {unit}"] + 1
            sets = [self.events[event, other] for other in others if other != unit and other in self.queues]
            return (min if unit == "aic" else max)(sets, default=needed) >= needed
        return True

    def _issue(self, index: int, unit: str) -> None:
        op, role = self.ops[index], self.split.roles[index]
        if role is Role.PUSH:
            self.issued.add(op.out)
            self.fillings[self._ring(index, unit)].append(op.out)
        elif role is Role.FREE:
            for slot in self.source[op.ins[0]]:
                self.users[slot] -= 1
        elif self.names[index] == "sync_set":
            self.events[self.attrs[index]["event"], unit] += 1
        elif self.names[index] == "sync_wait":
            self.events[self.attrs[index]["event"], f"wait {unit}"] += 1
