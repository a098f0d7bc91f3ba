"""On-chip bytes that a block needs at the same time, by memory, and the check against what a core has.

Two figures. The peak reported counts what the compiler may keep alive together: every buffer of a pipelined tile,
inputs beside outputs, scratch of ops, the consumer's copy of the pipe, and what packing of lifetimes into buffers
leaves unused. The figure that rejects a kernel
counts one buffer for each tile and lets an op write over an input that dies, so no placement could do with less.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

from pto_sim.lowering.cube_ops import fractal_bytes, l0_tile, matmul_shape
from pto_sim.lowering.dtypes import itemsize_bytes
from pto_sim.lowering.lanes import Lanes
from pto_sim.lowering.lowered import CUBE_TO_VECTOR, MEMORIES, VECTOR_TO_CUBE, Pipe
from pto_sim.lowering.opclass import Role
from pto_sim.lowering.packing import Interval, keeps_vector, packed_bytes, reads_ahead
from pto_sim.lowering.scratch import scratch_bytes
from pto_sim.lowering.storage import ALIGNMENT_BYTES, BufferKeys, Lifetime, tile_bytes
from pto_sim.lowering.unit_split import ACC, AIC, AIV, MAT, VEC, UnitSplit
from pto_sim.program.errors import KernelError
from pto_sim.program.model import Program, Stream, ValueType

CAPACITY_BYTES = MappingProxyType(
    {VEC: 184 * 1024, MAT: 512 * 1024, ACC: 128 * 1024, "left": 64 * 1024, "right": 64 * 1024}
)
"""What the compiler plans with on a2a3 (pypto: src/backend/common/soc.cpp; 8 KiB of the UB's 192 are not used)."""

CARRIED_BYTES = 1024
"""Margin for the small tiles that clones of a pipelined body hand on: records of the compiler need up to this more."""

_TITLES = MappingProxyType({VEC: "UB (Vec)", MAT: "L1 (Mat)", ACC: "L0C (Acc)"})


@dataclass(frozen=True)
class _Tile:
    root: int
    memory: str
    nbytes: int
    copies: int
    life: Lifetime
    statement: tuple[object, ...]


class Capacity:
    """On-chip use of one stream."""

    def __init__(
        self,
        stream: Stream,
        program: Program,
        split: UnitSplit,
        lives: Mapping[int, Lifetime],
        keys: BufferKeys,
        lanes: Lanes,
        pipe: Pipe | None,
    ) -> None:
        self.stream, self.program, self.split, self.lanes, self.pipe = stream, program, split, lanes, pipe
        self.keys = keys
        self.tiles = [tile for root, life in lives.items() for tile in self._tiles(root, life, keys)]

    def _tiles(self, root: int, life: Lifetime, keys: BufferKeys) -> list[_Tile]:
        value = self.split.types[root]
        found: list[_Tile] = []
        if self.split.roles[life.first] is Role.POP:
            return found  # a popped tile lies in the pipe's own slot
        for memory in self.split.homes.get(root, frozenset()):
            nbytes = self._own_bytes(value, memory)
            if memory == ACC and nbytes > CAPACITY_BYTES[ACC] and self._is_tiled(root, life):
                signature = self.program.signatures[self.stream.ops[life.first].signature]
                cut = l0_tile(matmul_shape(signature))
                nbytes = tile_bytes(value._replace(shape=(cut.m, cut.n)), ACC)
            if memory == MAT and self._is_paged(root):
                nbytes = tile_bytes(value._replace(shape=value.shape[-2:]), MAT)
            copies = keys.copies(life.first, life.last, memory)
            found.append(_Tile(root, memory, nbytes, copies, life, keys.statement(life.first)))
        return found

    def _is_tiled(self, root: int, life: Lifetime) -> bool:
        """Whether the compiler cuts an oversized product along M and N: each part of the result is drained on its own.

        It does where the result is only stored, or cast on its way to L1, and where it is the accumulator of a loop
        over K (pypto: docs/en/dev/passes/15-auto_tile_matmul_l0.md, "K-tiling vs M/N-tiling", "Mat-scratch").
        """
        users = [i for i, op in enumerate(self.stream.ops) if root in {self.split.root[value] for value in op.ins}]
        return self.split.roles[life.first] is Role.CUBE and all(self._drains(index, root, life) for index in users)

    def _is_paged(self, root: int) -> bool:
        """Whether the compiler loads an operand of batch products page by page: the operands do not fit L1 together.

        pypto: src/ir/transforms/flatten_tile_nd_to_2d/batch_matmul.cpp, BatchOperandsWholeFit.
        """
        users = [i for i, op in enumerate(self.stream.ops) if root in {self.split.root[value] for value in op.ins}]
        if len(self.split.types[root].shape) < 3 or not users:
            return False
        return all(
            self.split.roles[index] is Role.CUBE and self._operand_bytes(index) > CAPACITY_BYTES[MAT] for index in users
        )

    def _operand_bytes(self, index: int) -> int:
        """L1 bytes of the whole operands of a product."""
        roots = {self.split.root[value] for value in self.stream.ops[index].ins}
        return sum(
            tile_bytes(self.split.types[root], MAT) for root in roots if MAT in self.split.homes.get(root, frozenset())
        )

    def _drains(self, index: int, root: int, life: Lifetime) -> bool:
        role, op = self.split.roles[index], self.stream.ops[index]
        if role is Role.VECTOR:
            return self.split.homes[self.split.root[op.out]] == {MAT}
        if role is Role.CUBE:
            loop = self._loop(life.first)
            carried = op.out >= 0 and self.split.root[op.out] == root and op.ins[0] == op.out
            return carried and loop >= 0 and self._loop(index) == loop
        return role in (Role.STORE, Role.VIEW)

    def _loop(self, index: int) -> int:
        """The `loop.begin` of the loop around an op, -1 outside every loop."""
        return self.split.nest.bodies[self.split.nest.body_of[index]].loop

    def _own_bytes(self, value: ValueType, memory: str) -> int:
        """Bytes on one core: a vector core of a split task holds its part only."""
        if memory == VEC and self.lanes.mode != "none":
            value = value._replace(shape=self.lanes.part(self.lanes.cores[0], value.shape))
        return tile_bytes(value, memory)

    @property
    def computes_in_pipeline(self) -> bool:
        """Whether a pipelined loop makes tiles in UB, not only moves them."""
        made = (t.life.first for t in self.tiles if t.memory == VEC)
        return any(self.split.roles[index] is Role.VECTOR and self.keys.clones(index, AIV) > 1 for index in made)

    def l0_peaks(self) -> dict[str, int]:
        """Reported peak of left and right in bytes: operand tiles of the product that needs most.

        The compiler keeps the tiles of clones of a pipelined body apart, and two of each where K is cut, as far as
        they fit (pypto: docs/en/dev/passes/33-memory_reuse.md, pipeline-stage guard).
        """
        peaks = {"left": 0, "right": 0}
        for index, op in enumerate(self.stream.ops):
            if self.split.roles[index] is not Role.CUBE or not self.split.units[index]:
                continue
            shape = matmul_shape(self.program.signatures[op.signature])
            cut = l0_tile(shape)
            count = self.keys.clones(index, AIC) * (2 if cut.k < shape.k else 1)
            for side, rows in (("left", cut.m), ("right", cut.n)):
                nbytes = fractal_bytes(rows, cut.k, shape.itemsize_bytes)
                fitting = max(1, min(count, CAPACITY_BYTES[side] // nbytes))
                peaks[side] = max(peaks[side], fitting * nbytes)
        return peaks

    def shallow_memories(self) -> frozenset[str]:
        """Memories in which the buffers of the pipelines cannot all fit, however tightly they are packed."""
        return frozenset(
            memory
            for memory in (VEC, MAT, ACC)
            if self._least_need(memory, pipelined=True)[0] + self.ring_bytes(memory) > CAPACITY_BYTES[memory]
        )

    def statements(self, memory: str) -> dict[tuple[object, ...], list[Interval]]:
        """Buffers that each statement needs in a memory; the compiler plans for statements, not for repetitions."""
        pipelined = memory not in self.shallow_memories()
        found: dict[tuple[object, ...], list[Interval]] = {}
        for tile in self.tiles:
            if tile.memory == memory:
                found.setdefault(tile.statement, [self._interval(tile)] * (tile.copies if pipelined else 1))
        for index, nbytes in self._scratch(memory):
            copies = self.keys.clones(index, AIV) if pipelined else 1
            key = (*self.keys.statement(index), "scratch")
            found.setdefault(key, [Interval(nbytes, 2 * index, 2 * index + 1)] * copies)
        return found

    def _interval(self, tile: _Tile) -> Interval:
        """When the buffer of a tile is not free for another."""
        made = self.program.signatures[self.stream.ops[tile.life.first].signature]
        widens = bool(made.ins) and itemsize_bytes(self.split.types[tile.root].dtype) > itemsize_bytes(
            made.ins[0].dtype
        )
        begin = 2 * tile.life.first + (0 if reads_ahead(made.op, widens) else 1)
        end = tile.life.code_end
        user = self.stream.ops[end]
        second = [self.split.root[value] for value in user.ins[1:2]]
        kept = tile.root in second and keeps_vector(self.program.signatures[user.signature].op)
        return Interval(tile.nbytes, begin, max(begin, 2 * end + (1 if kept else 0)))

    def _scratch(self, memory: str) -> list[tuple[int, int]]:
        """(op, bytes) of what is needed while single ops run."""
        if memory != VEC:
            return []
        found = []
        for index, op in enumerate(self.stream.ops):
            nbytes = scratch_bytes(self.program.signatures[op.signature]) if self.split.units[index] & AIV else 0
            if nbytes:
                found.append((index, -(-nbytes // ALIGNMENT_BYTES) * ALIGNMENT_BYTES))
        fractal = [t for t in self.split.transfers if t.direction == VECTOR_TO_CUBE]
        return found + [(t.at, self._own_bytes(self.split.types[t.value], VEC)) for t in fractal]

    def ring_bytes(self, memory: str) -> int:
        """The consumer's copy of the pipe's slots."""
        if self.pipe is None:
            return 0
        consumers = {VEC: CUBE_TO_VECTOR, MAT: VECTOR_TO_CUBE}
        return self.pipe.ring_bytes(consumers[memory]) if memory in consumers else 0

    def check(self) -> None:
        """Raise KernelError if a pipe's slots, or an op's operands and what must survive it, exceed a memory."""
        for memory in (VEC, MAT, ACC):
            if self.ring_bytes(memory) > CAPACITY_BYTES[memory]:
                raise self._ring_error(memory)
            worst, at = self._least_need(memory, pipelined=False)
            if worst > CAPACITY_BYTES[memory]:
                raise self._error(memory, worst, at)

    def _ring_error(self, memory: str) -> KernelError:
        crossing = [*self.split.transfers, *self.split.crossings]
        pipes = (i for i, op in enumerate(self.stream.ops) if self.program.signatures[op.signature].op == "pipe")
        at = crossing[0].at if crossing else next(pipes, 0)
        site = self.program.signatures[self.stream.ops[at].signature].site if self.stream.ops else 0
        return KernelError(
            "PTO301",
            f"the slots of the pipe between the cores need more {_TITLES[memory]} than a core has",
            site=self.program.sites[site],
            values=f"{self.ring_bytes(memory)} B of slots, {CAPACITY_BYTES[memory]} B available",
            hint="fewer slots: pl.cross_core_slot(slot_num=2), or slot_num= of the pipe; or a smaller tile",
        )

    def _least_need(self, memory: str, *, pipelined: bool) -> tuple[int, int]:
        """The largest set that must coexist, and the op where: just before an op, or just after it."""
        change: dict[int, int] = defaultdict(int)
        for tile in self.tiles:
            if tile.memory == memory:
                nbytes = tile.nbytes * (tile.copies if pipelined else 1)
                change[2 * tile.life.first + 1] += nbytes
                end = 2 * tile.life.last + (2 if tile.life.last == tile.life.first else 1)
                change[end] -= nbytes
        live = worst = at = 0
        for moment in sorted(change):
            live += change[moment]
            if live > worst:
                worst, at = live, moment // 2
        return worst, at

    def _error(self, memory: str, worst: int, at: int) -> KernelError:
        signature = self.program.signatures[self.stream.ops[at].signature]
        live = [t for t in self.tiles if t.memory == memory and t.life.first <= at <= t.life.last]
        names = []
        for tile in sorted(live, key=lambda t: -t.nbytes)[:4]:
            made = self.program.signatures[self.stream.ops[tile.life.first].signature]
            value = self.split.types[tile.root]
            shape = "x".join(map(str, value.shape))
            names.append(f"{made.op} [{shape}] {value.dtype} {tile.nbytes} B ({self.program.sites[made.site]})")
        return KernelError(
            "PTO301",
            f"the tiles alive at {signature.op} need more {_TITLES[memory]} than a core has",
            site=self.program.sites[signature.site],
            values=f"{worst} B needed, {CAPACITY_BYTES[memory]} B available; largest: " + "; ".join(names),
            hint="make the tiles smaller, or store one to GM before the next is made",
        )


def task_peaks(streams: Sequence[Capacity]) -> dict[str, int]:
    """Reported peak of vec, mat and acc of a task: an estimate from above, at most the capacity.

    streams: what its blocks run. A statement that only some of them reach needs its buffers all the same. Where the
    buffers of the pipelines do not fit, the compiler gives them up; where that is not enough, it lets more share.
    """
    peaks = {}
    for memory in (VEC, MAT, ACC):
        statements: dict[tuple[object, ...], list[Interval]] = {}
        begin = 0
        for stream in streams:
            for key, own in stream.statements(memory).items():
                statements.setdefault(key, [i._replace(first=i.first + begin, last=i.last + begin) for i in own])
            begin += 2 * len(stream.stream.ops) + 2
        intervals = [interval for own in statements.values() for interval in own]
        margin = CARRIED_BYTES if memory == VEC and any(s.computes_in_pipeline for s in streams) else 0
        ring = max(stream.ring_bytes(memory) for stream in streams)
        peaks[memory] = min(packed_bytes(intervals) + ring + margin, CAPACITY_BYTES[memory])
    return peaks


def merge_peaks(all_peaks: list[Mapping[str, int]]) -> Mapping[str, int]:
    """Largest use by memory over the streams of a task; memories that none uses are left out."""
    merged = {m: max((peaks.get(m, 0) for peaks in all_peaks), default=0) for m in MEMORIES}
    return MappingProxyType({memory: nbytes for memory, nbytes in merged.items() if nbytes})
