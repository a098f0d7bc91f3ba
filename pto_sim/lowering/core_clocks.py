"""Which work of one core of a block is over when another core does something: vector clocks over a stream.

A core goes through its ops in program order, and waits for another only where a tile or a token crosses (the consumer
for the push, the producer for a free slot), at an event and at a barrier (pypto: docs/en/reference/pto-isa/
01-tpush_tpop.md, docs/en/dev/passes/21-expand_mixed_kernel.md). Where the compiler frees a slot is not modelled: the
producer that waits for one is taken to wait for all that the consumer did before it in program order.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable

from pto_sim.lowering.gm_fences import gm_fences
from pto_sim.lowering.lowered import CUBE_TO_VECTOR
from pto_sim.lowering.opclass import Role
from pto_sim.lowering.pipe_ends import COMPILER_PIPE
from pto_sim.lowering.unit_split import AIC, AIV, UnitSplit
from pto_sim.program.core_order import CUBE, FIRST_LANE, SECOND_LANE, Clock, CoreOrder, CoreUse
from pto_sim.program.model import OpSignature, Program, Stream, TileOp

_LANES = (FIRST_LANE, SECOND_LANE)
_CORES = {"aic": CUBE, "aiv0": FIRST_LANE, "aiv1": SECOND_LANE}
_BARRIERS = {"mix": (CUBE, *_LANES), "aic_only": (CUBE,), "aiv_only": _LANES}
_GM_ROLES = frozenset({Role.LOAD, Role.STORE, Role.READ, Role.WRITE, Role.GATHER, Role.SCATTER})
_WRITES = frozenset({Role.STORE, Role.WRITE, Role.SCATTER})

_Segment = tuple[int, int]
"""A core and the number of one of its segments."""


class _Segments:
    """The segments of the three cores, and for each the segments of others that it waited for when it began."""

    def __init__(self) -> None:
        self.now = [0, 0, 0]
        self._begun: list[_Segment] = [(core, 0) for core in (CUBE, *_LANES)]
        self._awaited: dict[_Segment, list[_Segment]] = defaultdict(list)

    def here(self, core: int) -> _Segment:
        """The segment that a core is in."""
        return core, self.now[core]

    def signal(self, core: int) -> _Segment:
        """The core tells others that what it did so far is over. Returns the segment that ends with it."""
        ended = self.here(core)
        self._begin(core)
        return ended

    def wait(self, core: int, signals: Iterable[_Segment] = ()) -> _Segment:
        """The core waits for signals. Returns the segment that begins, for signals that are given later."""
        begun = self._begin(core)
        self.add(begun, signals)
        return begun

    def add(self, segment: _Segment, signals: Iterable[_Segment]) -> None:
        """More signals without which a segment did not begin."""
        self._awaited[segment].extend(signals)

    def _begin(self, core: int) -> _Segment:
        self.now[core] += 1
        self._begun.append(self.here(core))
        return self.here(core)

    def clocks(self) -> dict[_Segment, Clock]:
        """The clock of each segment. A wait may stand before its signal in the stream: it goes on until all settles."""
        known = {segment: [0, 0, 0] for segment in self._begun}
        settled = False
        while not settled:
            settled = True
            for core, number in self._begun:
                clock = known[core, number]
                before = list(clock)
                clock[core] = number
                if number:
                    _merge(clock, known[core, number - 1])
                for other, ended in self._awaited.get((core, number), ()):
                    _merge(clock, known[other, ended])
                    clock[other] = max(clock[other], ended + 1)
                settled = settled and clock == before
        return {segment: (clock[0], clock[1], clock[2]) for segment, clock in known.items()}


def _merge(clock: list[int], other: list[int]) -> None:
    for core in range(3):
        clock[core] = max(clock[core], other[core])


def core_order(stream: Stream, split: UnitSplit, program: Program, split_mode: str, slots: int) -> CoreOrder:
    """The cores of a mixed task that access GM in each op of a stream.

    split_mode: the task's ('none': the second vector core only answers handshakes). slots: of a direction of the
    compiler's pipe.
    """
    return _Walk(stream, split, program.signatures, split_mode, max(1, slots)).run()


class _Walk:
    def __init__(
        self, stream: Stream, split: UnitSplit, signatures: list[OpSignature], split_mode: str, slots: int
    ) -> None:
        self.ops, self.split, self.split_mode, self.slots = stream.ops, split, split_mode, slots
        self.signatures = [signatures[op.signature] for op in stream.ops]
        units = {place.unit for place in split.places if place.unit}
        self.placed = bool(units)
        # Functions of one core may leave a lane out; a region has both.
        self.lanes = tuple(lane for lane in _LANES if not units & {"aiv0", "aiv1"} or f"aiv{lane - 1}" in units)
        self.segments = _Segments()
        self.rings = _Rings(self.segments, slots)
        self.events = _Events(self.segments)
        self.before: dict[int, list[str]] = defaultdict(list)  # op -> directions of transfers just before it
        for transfer in split.transfers:
            if not transfer.fence:
                self.before[transfer.at].append(transfer.direction)
        fences = gm_fences(self.ops, split.roles, split.units, split.places, split.nest)
        self.token_of = {fence.load: fence.store for fence in fences}  # load -> store
        self.tokens: dict[int, _Segment] = dict.fromkeys((fence.store for fence in fences), (CUBE, 0))

    def run(self) -> CoreOrder:
        """Go through the stream once, then resolve the clocks."""
        found: dict[int, list[tuple[CoreUse, _Segment]]] = {}
        for index, op in enumerate(self.ops):
            for direction in self.before.get(index, ()):
                self.rings.cross(direction)
            role = self.split.roles[index]
            if role in _GM_ROLES and op.gm >= 0:
                uses = self._uses(index, role)
                if index in self.token_of:
                    for use in uses:
                        self.segments.wait(use.core, [self.tokens[self.token_of[index]]])
                found[index] = [(use, self.segments.here(use.core)) for use in uses]
                if index in self.tokens:
                    self.tokens[index] = self.segments.signal(CUBE)
            else:
                self._synchronise(index, op, role)
        self.events.resolve()
        clocks = self.segments.clocks()
        return {
            index: tuple(use._replace(clock=clocks[segment]) for use, segment in uses) for index, uses in found.items()
        }

    # -- who accesses GM ------------------------------------------------------------------------------

    def _uses(self, index: int, role: Role) -> list[CoreUse]:
        """The cores that execute an op; their clocks are not known yet."""
        unit, half = self.split.places[index]
        if unit:
            return self._placed(index, role, _CORES[unit], half)
        units = self.split.units[index]
        # A scalar that only one core needs is read on that core alone, and which one it is has not been worked out.
        cube = units & AIC and not (role is Role.READ and units & AIV)
        uses = [CoreUse(CUBE, (0, 0, 0))] if cube else []
        if not units & AIV:
            return uses
        if not self.placed and self.split_mode == "none":
            return [*uses, CoreUse(FIRST_LANE, (0, 0, 0))]
        mode = "none" if self.placed else self.split_mode
        return [*uses, *(self._on_lane(index, role, lane, mode) for lane in self.lanes)]

    def _placed(self, index: int, role: Role, core: int, half: str) -> list[CoreUse]:
        """An op that was recorded on one core. A store of a lane that works on whole tiles was recorded as its half."""
        use = CoreUse(core, (0, 0, 0))
        if half == "none":
            return [use]
        use = self._on_lane(index, role, core, half)
        return [use._replace(half="none") if role is Role.STORE else use]

    def _on_lane(self, index: int, role: Role, lane: int, mode: str) -> CoreUse:
        """A lane's part of an op that both lanes execute."""
        signature = self.signatures[index]
        tile = signature.out if role is Role.LOAD else signature.ins[0] if role is Role.STORE else None
        if tile is not None and mode != "none" and tile.shape[0 if mode == "up_down" else -1] > 1:
            return CoreUse(lane, (0, 0, 0), mode, tile.shape)
        return CoreUse(lane, (0, 0, 0), shared=role in _WRITES)

    # -- what orders the cores ------------------------------------------------------------------------

    def _synchronise(self, index: int, op: TileOp, role: Role) -> None:
        signature = self.signatures[index]
        attrs = dict(signature.attrs)
        unit = self.split.places[index].unit
        if role in (Role.PUSH, Role.POP, Role.FREE):
            ring = str(attrs["direction"]), int(str(attrs["pipe"]))
            core = _CORES[unit] if unit else CUBE if (ring[0] == CUBE_TO_VECTOR) == (role is Role.PUSH) else FIRST_LANE
            if role is Role.PUSH:
                self.rings.push(op, core, ring, attrs.get("slots"))
            elif role is Role.POP:
                self.rings.pop(op, core, ring)
            else:
                self.rings.free(op, core)
        elif signature.op in ("sync_set", "sync_wait"):
            units = attrs["units"]
            assert isinstance(units, tuple)
            for name in units:
                if signature.op == "sync_set":
                    self.events.set(attrs["event"], _CORES[str(name)], bool(attrs["to_lane"]))
                else:
                    self.events.wait(attrs["event"], _CORES[str(name)])
        elif signature.op == "syncall":
            cores = _BARRIERS[str(attrs["core_type"])]
            for core in cores if not unit else (_CORES[unit],):
                self.events.barrier(core, cores)


class _Rings:
    """The pipes between cube and lanes."""

    def __init__(self, segments: _Segments, slots: int) -> None:
        self.segments, self.slots = segments, slots
        self.crossed: dict[str, int] = defaultdict(int)  # direction -> transfers so far
        self.filled: dict[tuple[str, int, int], list[int]] = defaultdict(list)  # ring, core -> slots in order
        self.pushed: dict[int, _Segment] = {}  # slot -> what ended with its push
        self.popping: dict[int, list[_Segment]] = defaultdict(list)  # slot -> what began with its pop
        self.freeing: dict[int, list[_Segment]] = defaultdict(list)  # slot -> pushes that wait for it to be free
        self.freed: dict[int, list[_Segment]] = defaultdict(list)
        self.source: dict[int, tuple[int, ...]] = {}  # popped value -> its slots
        self.gathers: list[tuple[_Segment, list[_Segment]]] = []  # pop of the cube, and what its push waited for

    def cross(self, direction: str) -> None:
        """A transfer of the compiler's between the statements of both cores."""
        producers, consumers = ((CUBE,), _LANES) if direction == CUBE_TO_VECTOR else (_LANES, (CUBE,))
        self.crossed[direction] += 1
        if self.crossed[direction] > self.slots:
            frees = [self.segments.signal(core) for core in consumers]
            for core in producers:
                self.segments.wait(core, frees)
        signals = [self.segments.signal(core) for core in producers]
        for core in consumers:
            self.segments.wait(core, signals)

    def push(self, op: TileOp, core: int, ring: tuple[str, int], slots: object) -> None:
        """A core fills the next slot."""
        filled = self.filled[(*ring, core)]
        place = len(filled)
        filled.append(op.out)
        if ring[1] == COMPILER_PIPE:
            self._push_in_region(op.out, core, ring[0], place)
            return
        if isinstance(slots, int) and place >= slots:
            old = filled[place - slots]
            self.freeing[old].append(self.segments.wait(core, self.freed[old]))
        self._announce(op.out, self.segments.signal(core))

    def _push_in_region(self, slot: int, core: int, direction: str, place: int) -> None:
        """A push of a pl.split_aiv region, whose lanes were recorded one after the other.

        Both take part in each crossing; the cube pops what they gather where the first lane pushes.
        """
        segments, full = self.segments, place >= self.slots
        if direction == CUBE_TO_VECTOR:
            if full:
                segments.wait(core, [segments.signal(lane) for lane in _LANES])
            self._announce(slot, segments.signal(core))
            return
        if place == len(self.gathers):
            frees = [segments.signal(CUBE)] if full else []
            self.gathers.append((segments.wait(CUBE), frees))
        popped, frees = self.gathers[place]
        if frees:
            segments.wait(core, frees)
        self.popping[slot].append(popped)
        self._announce(slot, segments.signal(core))

    def _announce(self, slot: int, signal: _Segment) -> None:
        self.pushed[slot] = signal
        for segment in self.popping[slot]:
            self.segments.add(segment, [signal])

    def pop(self, op: TileOp, core: int, ring: tuple[str, int]) -> None:
        """A core takes a slot from every producer."""
        self.source[op.out] = op.ins
        if ring[1] == COMPILER_PIPE and ring[0] != CUBE_TO_VECTOR:
            return
        begun = self.segments.wait(core, [self.pushed[slot] for slot in op.ins if slot in self.pushed])
        for slot in op.ins:
            self.popping[slot].append(begun)

    def free(self, op: TileOp, core: int) -> None:
        """A core gives the slots of a popped tile back."""
        ended = self.segments.signal(core)
        for slot in self.source[op.ins[0]]:
            self.freed[slot].append(ended)
            for segment in self.freeing[slot]:
                self.segments.add(segment, [ended])


class _Events:
    """Events between the cores of a block, and barriers."""

    def __init__(self, segments: _Segments) -> None:
        self.segments = segments
        self.sets: dict[tuple[object, int, int], list[_Segment]] = defaultdict(list)  # event, from, to
        self.waits: dict[tuple[object, int], list[_Segment]] = defaultdict(list)
        self.met: dict[tuple[tuple[int, ...], int], int] = defaultdict(int)  # cores, core -> barriers so far
        self.barriers: dict[tuple[tuple[int, ...], int], tuple[list[_Segment], list[_Segment]]] = {}

    def set(self, event: object, core: int, to_lane: bool) -> None:
        """A core signals: the cube both lanes, a lane the cube or (to_lane) the other lane."""
        ended = self.segments.signal(core)
        for target in _LANES if core == CUBE or to_lane else (CUBE,):
            self.sets[event, core, target].append(ended)

    def wait(self, event: object, core: int) -> None:
        """A core waits."""
        self.waits[event, core].append(self.segments.wait(core))

    def resolve(self) -> None:
        """Give each wait the sets that it needed: the one with its number of every core that it may come from."""
        for (event, core), waits in self.waits.items():
            for number, begun in enumerate(waits):
                for sender in (CUBE, *_LANES):
                    sets = self.sets.get((event, sender, core), [])
                    if sender != core and number < len(sets):
                        self.segments.add(begun, [sets[number]])

    def barrier(self, core: int, cores: tuple[int, ...]) -> None:
        """A core comes to a barrier of `cores`: its n-th meets the n-th of the others."""
        number = self.met[cores, core]
        self.met[cores, core] += 1
        ended, begun = self.barriers.setdefault((cores, number), ([], []))
        ended.append(self.segments.signal(core))
        begun.append(self.segments.wait(core, ended[:-1]))
        for segment in begun[:-1]:
            self.segments.add(segment, ended[-1:])
