"""Explicit transfers between the cores of a block, and events: pushes, pops, frees, sync_set and sync_wait.

A push waits for its slot to be free, stores the tile and signals; a pop waits for the signal and loads; a free tells
the producer (pypto: docs/en/reference/pto-isa/01-tpush_tpop.md). The compiler's own crossings of a pl.split_aiv region
have no free of their own: it follows the last use of the popped tile.
"""

from __future__ import annotations

from collections import defaultdict

from ascend_model.isa import CORE_PIPES, Core, Kind, Pipe, VecOp
from pto_sim.lowering.block_emitter import BlockEmitter
from pto_sim.lowering.dtypes import itemsize_bytes, rows_cols
from pto_sim.lowering.lanes import Lanes
from pto_sim.lowering.lowered import CUBE_TO_VECTOR
from pto_sim.lowering.lowered import Pipe as GmPipe
from pto_sim.lowering.opclass import Role
from pto_sim.lowering.unit_split import ACC, AIC, UnitSplit
from pto_sim.program.model import OpSignature, Program, Stream, TileOp

COMPILER_PIPE = -1
SYNC_PIPES = {
    "mte1": Pipe.MTE1, "mte2": Pipe.MTE2, "mte3": Pipe.MTE3, "m": Pipe.M, "v": Pipe.V, "s": Pipe.S, "fix": Pipe.FIXP,
    "all": Pipe.S,
}  # fmt: skip
FLAG_CYCLES = 1
"""A flag within a core: pto-isa: include/pto/costmodel/a2a3/cce_costmodel/cce_costmodel_sync.hpp."""

Ring = tuple[str, int]  # direction, pipe


class PipeEnds:
    """The explicit pipes and events of one block."""

    def __init__(
        self, emitter: BlockEmitter, stream: Stream, program: Program, split: UnitSplit, pipe: GmPipe | None
    ) -> None:
        self.emitter, self.split = emitter, split
        self.default_slots = pipe.slots_per_direction if pipe is not None else 1
        self.signals: dict[int, int] = {}  # slot value -> the set that announces it
        self.fillings: dict[int, int] = {}  # slot value -> which filling of its ring it is
        self.frees: dict[tuple[Ring, int], list[int]] = defaultdict(list)
        self.pushed: dict[tuple[Ring, Core], int] = defaultdict(int)
        self.popped: dict[int, tuple[Ring, int]] = {}
        self.events: dict[tuple[int, Core], list[int]] = defaultdict(list)
        self.awaited: dict[tuple[int, Core], int] = defaultdict(int)
        self.freed_after = self._last_uses(stream, program)

    def _last_uses(self, stream: Stream, program: Program) -> dict[int, list[int]]:
        """Op -> popped values that it uses last, for the pops of the compiler's own pipe."""
        last: dict[int, int] = {}
        for index, op in enumerate(stream.ops):
            attrs = dict(program.signatures[op.signature].attrs) if self.split.roles[index] is Role.POP else {}
            if attrs.get("pipe") == COMPILER_PIPE:
                last[self.split.root[op.out]] = index
            for value in op.ins:
                root = self.split.root[value]
                if root in last:
                    last[root] = index
        result: dict[int, list[int]] = defaultdict(list)
        for root, index in last.items():
            result[index].append(root)
        return result

    def _ring(self, signature: OpSignature) -> tuple[Ring, int]:
        attrs = dict(signature.attrs)
        slots = int(str(attrs.get("slots", self.default_slots)))
        return (str(attrs["direction"]), int(str(attrs["pipe"]))), max(1, slots)

    def push(self, op: TileOp, signature: OpSignature, lanes: Lanes) -> None:
        """The producer fills the next slot and signals."""
        ring, slots = self._ring(signature)
        tile = signature.ins[0]
        root, site = self.split.root[op.ins[0]], signature.site
        core = Core.AIC if ring[0] == CUBE_TO_VECTOR else lanes.cores[0]
        place = self.pushed[ring, core]
        self.pushed[ring, core] = place + 1
        waits = self.frees[ring, place - slots] if place >= slots else []
        rows, cols = rows_cols(tile.shape)
        size = itemsize_bytes(tile.dtype)
        source: object = root
        if core is not Core.AIC:
            rows, cols = lanes.part(core, tile.shape)
            source = ("fractal", op.out)
            self.emitter.take_buffer(("fractal of", ring, signature.site), core, source, still_live=False)
            copy = (int(VecOp.COPY), rows, cols * size, 0)
            self.emitter.issue(Kind.VEC, core, copy, reads=[root], defines=source, site=site)
            pipe, kind = Pipe.MTE3, Kind.UB_TO_GM
            args: tuple[int, ...] = (1, rows * cols * size)
        elif ACC in self.split.homes[root]:
            pipe, kind, args = Pipe.FIXP, Kind.L0C_TO_GM, (rows, cols, size)
        else:
            pipe, kind, args = Pipe.MTE3, Kind.L1_TO_GM, (1, rows * cols * size)
        if waits:
            self.emitter.issue(Kind.CROSS_WAIT, core, (int(pipe),), deps=waits, site=site)
        store = self.emitter.issue(kind, core, args, reads=[source], site=site)
        self.signals[op.out] = self.emitter.issue(Kind.CROSS_SET, core, (int(pipe),), deps=[store], site=site)
        self.fillings[op.out] = place

    def pop(self, op: TileOp, signature: OpSignature, lanes: Lanes) -> None:
        """The consumer waits for every producer's signal and loads the slot."""
        ring, slots = self._ring(signature)
        out = signature.out
        assert out is not None
        to_vector = ring[0] == CUBE_TO_VECTOR
        core = lanes.cores[0] if to_vector else Core.AIC
        root, site = self.split.root[op.out], signature.site
        place = self.fillings[op.ins[0]]
        rows, cols = lanes.part(core, out.shape) if to_vector else rows_cols(out.shape)
        signals = [self.signals[value] for value in op.ins]
        self.emitter.issue(Kind.CROSS_WAIT, core, (int(Pipe.MTE2),), deps=signals, site=site)
        self.emitter.take_buffer(("slot", ring, place % slots), core, root, still_live=False)
        kind = Kind.GM_TO_UB if to_vector else Kind.GM_TO_L1
        nbytes = max(1, rows * cols) * itemsize_bytes(out.dtype)
        self.emitter.issue(kind, core, (1, nbytes), defines=root, site=site)
        self.popped[root] = (ring, place)

    def free(self, root: int, core: Core, site: int) -> None:
        """The consumer tells the producer that a slot is free."""
        ring, place = self.popped[root]
        storage = self.emitter.storage(root, core)
        users = storage.reads or storage.writes
        pipe = max(users, key=lambda found: users[found])
        free = self.emitter.issue(Kind.CROSS_SET, core, (int(pipe),), deps=users.values(), site=site)
        self.frees[ring, place].append(free)

    def after(self, index: int, unit: int, lanes: Lanes, site: int) -> None:
        """Op `index` was issued on `unit`: free the slots of the compiler's pipe that it used last."""
        for root in self.freed_after.get(index, ()):
            if root not in self.popped:
                continue
            ring, _ = self.popped[root]
            to_vector = ring[0] == CUBE_TO_VECTOR
            if to_vector == (unit != AIC):
                self.free(root, lanes.cores[0] if to_vector else Core.AIC, site)

    def synchronise(self, signature: OpSignature, core: Core) -> None:
        """One core executes an event, a flag or a barrier."""
        attrs, site, issue = dict(signature.attrs), signature.site, self.emitter.issue
        if signature.op in ("sync_set", "sync_wait"):
            pipe = SYNC_PIPES[str(attrs["pipe"])]
            event = int(str(attrs["event"]))
            pipe = pipe if pipe in CORE_PIPES[core] else Pipe.S
            if signature.op == "sync_set":
                self.events[event, core].append(issue(Kind.CROSS_SET, core, (int(pipe),), site=site))
            else:
                issue(Kind.CROSS_WAIT, core, (int(pipe),), deps=self._set_by(event, core), site=site)
        elif signature.op in ("bar_all", "fence"):
            issue(Kind.BARRIER, core, (), site=site)
        elif signature.op == "cacheinvalid":
            issue(Kind.CACHE_INVALIDATE, core, (int(bool(attrs["whole"])),), site=site)
        elif signature.op == "syncall":
            issue(Kind.ALL_CORES, core, (), site=site)
        else:
            issue(Kind.SCALAR, core, (FLAG_CYCLES,), site=site)

    def _set_by(self, event: int, core: Core) -> list[int]:
        """The sets that the next wait of a core for an event waits for."""
        number = self.awaited[event, core]
        self.awaited[event, core] = number + 1
        vector = (Core.AIV0, Core.AIV1)
        groups = (vector,) if core is Core.AIC else ((Core.AIC,), tuple(other for other in vector if other != core))
        for senders in groups:
            sets = [self.events[event, sender] for sender in senders]
            found = [of_one[number] for of_one in sets if len(of_one) > number]
            if found:
                return found
        return []
