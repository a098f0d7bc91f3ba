"""On-chip bytes that a block needs at the same time, by memory, and the check against what a core has.

Two figures. The peak reported counts what the compiler may keep alive together: every buffer of a pipelined tile,
inputs beside outputs, scratch of reductions, the consumer's copy of the pipe. The figure that rejects a kernel
counts one buffer for each tile and lets an op write over an input that dies, so no placement could do with less.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from pto_sim.lowering.cube_ops import l0_tile, matmul_shape
from pto_sim.lowering.lanes import Lanes
from pto_sim.lowering.lowered import CUBE_TO_VECTOR, MEMORIES, VECTOR_TO_CUBE, Pipe
from pto_sim.lowering.opclass import Role
from pto_sim.lowering.storage import BufferKeys, Lifetime, tile_bytes
from pto_sim.lowering.unit_split import ACC, AIV, MAT, VEC, UnitSplit
from pto_sim.program.errors import KernelError
from pto_sim.program.model import Program, Stream, ValueType

CAPACITY_BYTES = MappingProxyType(
    {VEC: 184 * 1024, MAT: 512 * 1024, ACC: 128 * 1024, "left": 64 * 1024, "right": 64 * 1024}
)
"""What the compiler plans with on a2a3 (pypto: src/backend/common/soc.cpp; 8 KiB of the UB's 192 are not used)."""

_SCRATCH_OPS = frozenset({"row_sum", "row_max", "row_min", "row_prod"})
"""Ops with a scratch tile of their input's size (pypto: docs/en/dev/passes/10-convert_tensor_to_tile_ops.md)."""

_TITLES = MappingProxyType({VEC: "UB (Vec)", MAT: "L1 (Mat)", ACC: "L0C (Acc)"})


@dataclass(frozen=True)
class _Tile:
    root: int
    memory: str
    nbytes: int
    copies: int
    life: Lifetime


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
        self.tiles = [tile for root, life in lives.items() for tile in self._tiles(root, life, keys)]

    def _tiles(self, root: int, life: Lifetime, keys: BufferKeys) -> list[_Tile]:
        value = self.split.types[root]
        found = []
        for memory in self.split.homes.get(root, frozenset()):
            nbytes = self._own_bytes(value, memory)
            if memory == ACC and nbytes > CAPACITY_BYTES[ACC] and self._is_tiled(root, life):
                signature = self.program.signatures[self.stream.ops[life.first].signature]
                cut = l0_tile(matmul_shape(signature))
                nbytes = tile_bytes(value._replace(shape=(cut.m, cut.n)), ACC)
            copies = keys.copies(life.first, life.last, memory)
            found.append(_Tile(root, memory, nbytes, copies, life))
        return found

    def _is_tiled(self, root: int, life: Lifetime) -> bool:
        """Whether the compiler cuts an oversized product along M and N: one matmul, results only stored.

        pypto: docs/en/dev/passes/15-auto_tile_matmul_l0.md, "K-tiling vs M/N-tiling".
        """
        users = [i for i, op in enumerate(self.stream.ops) if root in {self.split.root[value] for value in op.ins}]
        return self.split.roles[life.first] is Role.CUBE and all(
            self.split.roles[index] in (Role.STORE, Role.VIEW) for index in users
        )

    def _own_bytes(self, value: ValueType, memory: str) -> int:
        """Bytes on one core: a vector core of a split task holds its part only."""
        if memory == VEC and self.lanes.mode != "none":
            value = value._replace(shape=self.lanes.part(self.lanes.cores[0], value.shape))
        return tile_bytes(value, memory)

    def peaks(self) -> dict[str, int]:
        """Reported peak of vec, mat and acc in bytes: an estimate from above, at most the capacity.

        Where the buffers of the pipelines do not fit, the compiler gives them up; where inputs beside outputs do not
        fit either, it lets them share, down to what `check` demands.
        """
        peaks = {}
        for memory in (VEC, MAT, ACC):
            deep = memory not in self.shallow_memories()
            peaks[memory] = min(self._peak(memory, pipelined=deep), CAPACITY_BYTES[memory])
        return peaks

    def shallow_memories(self) -> frozenset[str]:
        """Memories in which the buffers of the pipelines cannot all fit, however tightly they are packed."""
        return frozenset(
            memory
            for memory in (VEC, MAT, ACC)
            if self._least_need(memory, pipelined=True)[0] + self._ring_bytes(memory) > CAPACITY_BYTES[memory]
        )

    def _peak(self, memory: str, *, pipelined: bool) -> int:
        change: dict[int, int] = defaultdict(int)
        for tile in self.tiles:
            if tile.memory == memory:
                nbytes = tile.nbytes * (tile.copies if pipelined else 1)
                change[tile.life.first] += nbytes
                change[tile.life.code_end + 1] -= nbytes
        for index, nbytes in self._scratch(memory):
            change[index] += nbytes
            change[index + 1] -= nbytes
        live = peak = 0
        for index in sorted(change):
            live += change[index]
            peak = max(peak, live)
        return peak + self._ring_bytes(memory)

    def _scratch(self, memory: str) -> list[tuple[int, int]]:
        if memory != VEC:
            return []
        found = []
        for index, op in enumerate(self.stream.ops):
            if self.program.signatures[op.signature].op in _SCRATCH_OPS and self.split.units[index] & AIV:
                found.append((index, self._own_bytes(self.split.types[op.ins[0]], VEC)))
        fractal = [t for t in self.split.transfers if t.direction == VECTOR_TO_CUBE]
        return found + [(t.at, self._own_bytes(self.split.types[t.value], VEC)) for t in fractal]

    def _ring_bytes(self, memory: str) -> int:
        """The consumer's copy of the pipe's slots."""
        if self.pipe is None:
            return 0
        own = [d for d in self.pipe.directions if (VEC if d == CUBE_TO_VECTOR else MAT) == memory]
        return len(own) * self.pipe.slots_per_direction * self.pipe.slot_bytes

    def check(self) -> None:
        """Raise KernelError if one op's operands and the tiles that must survive it exceed a memory."""
        for memory in (VEC, MAT, ACC):
            worst, at = self._least_need(memory, pipelined=False)
            if worst > CAPACITY_BYTES[memory]:
                raise self._error(memory, worst, at)

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


def merge_peaks(all_peaks: list[Mapping[str, int]]) -> Mapping[str, int]:
    """Largest use by memory over the streams of a task; memories that none uses are left out."""
    merged = {m: max((peaks.get(m, 0) for peaks in all_peaks), default=0) for m in MEMORIES}
    return MappingProxyType({memory: nbytes for memory, nbytes in merged.items() if nbytes})
