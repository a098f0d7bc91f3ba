"""The order in which a block's ops reach the cores, and how many buffers a pipelined tile has.

Ops go out in program order, except in a `pl.pipeline` whose body sends a tile to the vector cores and takes one
back: there the compiler lets the cube run ahead (pypto: docs/en/dev/passes/26-skew_cross_core_pipeline.md).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

from pto_sim.lowering.core_order import interleaved, placed_everywhere
from pto_sim.lowering.lowered import CUBE_TO_VECTOR
from pto_sim.lowering.opclass import Role
from pto_sim.lowering.unit_split import AIC, AIV, BOTH, UnitSplit
from pto_sim.program.model import OpSignature, Stream

OP, PUSH, POP = "op", "push", "pop"


class Step(NamedTuple):
    """One thing to issue: the part of op `number` on `units`, or one end of transfer `number`."""

    what: str
    number: int
    units: int


class Depth(NamedTuple):
    """Buffers of a tile of a pipeline loop, on the cube's and on the vector's side."""

    aic: int
    aiv: int


@dataclass(frozen=True)
class Schedule:
    """steps in issue order; depths: `loop.begin` op of each pipeline loop -> its buffer depth."""

    steps: tuple[Step, ...]
    depths: dict[int, Depth]

    def depth(self, loop: int, unit: int) -> int:
        """Buffers on a side (AIC or AIV) for tiles of the loop that `loop` begins."""
        depth = self.depths.get(loop)
        if depth is None:
            return 1
        return depth.aic if unit == AIC else depth.aiv


def schedule(stream: Stream, split: UnitSplit, slots_per_direction: int, signatures: list[OpSignature]) -> Schedule:
    """Issue order of a stream. slots_per_direction bounds how far the cube may run ahead."""
    found = _Scheduler(stream, split, slots_per_direction).run()
    if not placed_everywhere(split):
        return found
    # Functions of one core each: no transfer of the compiler's, and nothing for it to move.
    units = [BOTH if role is Role.LOOP else unit for role, unit in zip(split.roles, split.units, strict=True)]
    steps = (Step(OP, index, units[index]) for index in interleaved(stream, split, signatures) if units[index])
    return Schedule(tuple(steps), found.depths)


@dataclass(frozen=True)
class _Halves:
    """The iterations of a skewable loop: for each trip the cube's produce steps, vector steps, cube's rest."""

    produce: list[list[Step]]
    vector: list[list[Step]]
    consume: list[list[Step]]
    depth: int


class _Scheduler:
    def __init__(self, stream: Stream, split: UnitSplit, slots: int) -> None:
        self.ops, self.split, self.slots = stream.ops, split, slots
        self.bodies = split.nest.bodies
        self.before: dict[int, list[int]] = defaultdict(list)  # op -> transfers just before it
        for number, transfer in enumerate(split.transfers):
            self.before[transfer.at].append(number)
        self.trips: dict[int, list[int]] = defaultdict(list)  # loop.begin op -> its bodies
        for body in self.bodies[1:]:
            self.trips[body.loop].append(body.id)

    def run(self) -> Schedule:
        depths: dict[int, Depth] = {}
        skewed: dict[int, _Halves] = {}
        for loop, bodies in self.trips.items():
            first = self.bodies[bodies[0]]
            if first.kind != "pipeline" or first.stage < 2:
                continue
            inside = [self._transfers_in(body) for body in bodies]
            directions = {self.split.transfers[t].direction for found in inside for t in found}
            if len(directions) < 2:
                depths[loop] = Depth(first.stage, first.stage)
                continue
            halves = self._halves(bodies, inside, first.stage)
            depths[loop] = Depth(halves.depth if halves else 1, 1)
            if halves:
                skewed[bodies[0]] = halves
        return Schedule(tuple(self._order(skewed)), depths)

    def _transfers_in(self, body: int) -> list[int]:
        first, last = self.bodies[body].first, self.bodies[body].last
        return [t for t, transfer in enumerate(self.split.transfers) if first <= transfer.at < last]

    def _steps(self, first: int, last: int) -> Iterator[Step]:
        for index in range(first, last):
            for transfer in self.before[index]:
                to_vector = self.split.transfers[transfer].direction == CUBE_TO_VECTOR
                yield Step(PUSH, transfer, AIC if to_vector else AIV)
                yield Step(POP, transfer, AIV if to_vector else AIC)
            units = BOTH if self.split.roles[index] is Role.LOOP else self.split.units[index]
            if units:
                yield Step(OP, index, units)

    def _halves(self, bodies: list[int], inside: list[list[int]], stage: int) -> _Halves | None:
        """Split each iteration for the skew; None if the compiler runs the loop sequentially instead."""
        depth = self._feasible_depth(len(bodies), stage)
        if depth == 0:
            return None
        halves = _Halves([], [], [], depth)
        for body, transfers in zip(bodies, inside, strict=True):
            if len(transfers) != 2 or any(self.split.transfers[t].body != body for t in transfers):
                return None
            push = next(t for t in transfers if self.split.transfers[t].direction == CUBE_TO_VECTOR)
            if push != transfers[0] or self.split.transfers[push].fence:
                return None
            if not self._split_iteration(body, push, halves):
                return None
        return halves

    def _feasible_depth(self, trips: int, stage: int) -> int:
        for depth in range(min(max(2, stage - 1), self.slots), 1, -1):
            if trips % depth == 0 and trips >= 2 * depth:
                return depth
        return 1 if trips >= 2 else 0

    def _split_iteration(self, body: int, push: int, halves: _Halves) -> bool:
        first, last = self.bodies[body].first, self.bodies[body].last
        leading = self._slice(first, last, self.split.root[self.split.transfers[push].value])
        produced = {self.split.root[self.ops[i].out] for i in leading if self.ops[i].out >= 0}
        produce: list[Step] = []
        vector: list[Step] = []
        consume: list[Step] = []
        mark = Step(OP, first - 1, AIC)  # the iteration's loop.iter
        produce.append(mark)
        vector.append(mark._replace(units=AIV))
        for step in self._steps(first, last):
            if step.units & AIV:
                vector.append(step._replace(units=AIV))
            if step.units & AIC:
                ahead = step.number == push if step.what == PUSH else step.what == OP and step.number in leading
                if not ahead and step.what == OP and self._reads(step.number) & produced:
                    return False
                (produce if ahead else consume).append(step._replace(units=AIC))
        halves.produce.append(produce)
        halves.vector.append(vector)
        halves.consume.append(consume)
        return True

    def _reads(self, index: int) -> set[int]:
        return {self.split.root[value] for value in self.ops[index].ins}

    def _slice(self, first: int, last: int, wanted: int) -> set[int]:
        """Cube-side ops of the iteration that the value `wanted` comes from."""
        needed = {wanted}
        found: set[int] = set()
        for index in range(last - 1, first - 1, -1):
            out = self.ops[index].out
            if out >= 0 and self.split.root[out] in needed and self.split.units[index] & AIC:
                found.add(index)
                needed |= self._reads(index)
        return found

    def _order(self, skewed: dict[int, _Halves]) -> Iterator[Step]:
        index = 0
        by_mark = {self.bodies[body].first - 1: (body, halves) for body, halves in skewed.items()}
        while index < len(self.ops):
            if index in by_mark:
                body, halves = by_mark[index]
                yield from _skew(halves)
                index = self.bodies[self.trips[self.bodies[body].loop][-1]].last
                continue
            yield from self._steps(index, index + 1)
            index += 1


def _skew(halves: _Halves) -> Iterator[Step]:
    """D produces, then groups of: the vector's part of a group, the next group's produces, the group's rest."""
    depth, trips = halves.depth, len(halves.produce)
    for trip in range(depth):
        yield from halves.produce[trip]
    for group in range(0, trips, depth):
        for trip in range(group, group + depth):
            yield from halves.vector[trip]
        for trip in range(group + depth, min(group + 2 * depth, trips)):
            yield from halves.produce[trip]
        for trip in range(group, group + depth):
            yield from halves.consume[trip]
