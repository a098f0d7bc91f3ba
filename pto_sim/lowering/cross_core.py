"""Transfers between cube and vector through the GM slots of a mixed task's pipe.

Each direction is a ring of slots. The producer stores the tile into its slot and signals; the consumer loads it
into its own copy of the ring, and signals the slot free after the tile's last use (pypto:
docs/en/dev/passes/21-expand_mixed_kernel.md; pto-isa: TPush, TPop, TFree).
"""

from __future__ import annotations

from collections import defaultdict

from ascend_model.isa import Core, Kind, Pipe, VecOp
from pto_sim.lowering.block_emitter import BlockEmitter
from pto_sim.lowering.dtypes import itemsize_bytes, rows_cols
from pto_sim.lowering.lanes import Lanes
from pto_sim.lowering.lowered import CUBE_TO_VECTOR
from pto_sim.lowering.lowered import Pipe as GmPipe
from pto_sim.lowering.unit_split import ACC, AIC, AIV, UnitSplit
from pto_sim.program.model import Program, Stream, ValueType


class CrossCore:
    """The pipe's state over one block."""

    def __init__(
        self,
        emitter: BlockEmitter,
        stream: Stream,
        program: Program,
        split: UnitSplit,
        pipe: GmPipe | None,
        lanes: Lanes,
    ) -> None:
        self.emitter, self.split, self.lanes = emitter, split, lanes
        self.slots = pipe.slots_per_direction if pipe is not None else 0
        self.site = [program.signatures[stream.ops[t.at].signature].site for t in split.transfers]
        last_use: dict[int, int] = {}
        for (index, _), transfer in split.crossing_of.items():
            last_use[transfer] = max(index, last_use.get(transfer, index))
        self.freed_after: dict[int, list[int]] = defaultdict(list)
        for transfer, index in last_use.items():
            self.freed_after[index].append(transfer)
        self.sequence: dict[str, list[int]] = defaultdict(list)  # direction -> transfers in the order pushed
        self.total: dict[str, int] = defaultdict(int)
        for found in split.transfers:
            self.total[found.direction] += 1
        self.position: dict[int, int] = {}
        self.signals: dict[int, list[int]] = {}
        self.frees: dict[int, list[int]] = {}

    def arrived(self, transfer: int) -> tuple[str, int]:
        """Storage key of the consumer's copy."""
        return ("arrived", transfer)

    def push(self, transfer: int) -> None:
        """The producer fills the next slot of the direction, once it is free, and signals."""
        found = self.split.transfers[transfer]
        sent = self.sequence[found.direction]
        self.position[transfer] = len(sent)
        waits = self.frees[sent[-self.slots]] if len(sent) >= self.slots else []
        sent.append(transfer)
        tile = self.split.types[found.value]
        if found.direction == CUBE_TO_VECTOR:
            self.signals[transfer] = [self._push_from_cube(transfer, tile, waits)]
        else:
            self.signals[transfer] = [self._push_from_vector(core, transfer, tile, waits) for core in self.lanes.cores]

    def _push_from_cube(self, transfer: int, tile: ValueType, waits: list[int]) -> int:
        root = self.split.root[self.split.transfers[transfer].value]
        rows, cols = rows_cols(tile.shape)
        size = itemsize_bytes(tile.dtype)
        from_acc = ACC in self.split.homes[root]
        pipe = Pipe.FIXP if from_acc else Pipe.MTE3
        kind = Kind.L0C_TO_GM if from_acc else Kind.L1_TO_GM
        args = (rows, cols, size) if from_acc else (1, rows * cols * size)
        return self._send(Core.AIC, pipe, kind, args, root, transfer, waits)

    def _push_from_vector(self, core: Core, transfer: int, tile: ValueType, waits: list[int]) -> int:
        """A tile for the cube is first rewritten in fractal order."""
        root = self.split.root[self.split.transfers[transfer].value]
        rows, cols = self.lanes.part(core, tile.shape)
        row_bytes = cols * itemsize_bytes(tile.dtype)
        fractal = ("fractal", transfer)
        site = self.site[transfer]
        buffer = ("fractal of", self.split.transfers[transfer].body, site)
        self.emitter.take_buffer(buffer, core, fractal, still_live=False)
        copy = (int(VecOp.COPY), rows, row_bytes, 0)
        self.emitter.issue(Kind.VEC, core, copy, reads=[root], defines=fractal, site=site)
        return self._send(core, Pipe.MTE3, Kind.UB_TO_GM, (1, rows * row_bytes), fractal, transfer, waits)

    def _send(
        self, core: Core, pipe: Pipe, kind: Kind, args: tuple[int, ...], source: object, transfer: int, waits: list[int]
    ) -> int:
        site = self.site[transfer]
        if waits:
            self.emitter.issue(Kind.CROSS_WAIT, core, (int(pipe),), deps=waits, site=site)
        store = self.emitter.issue(kind, core, args, reads=[source], site=site)
        return self.emitter.issue(Kind.CROSS_SET, core, (int(pipe),), deps=[store], site=site)

    def pop(self, transfer: int) -> None:
        """The consumer waits for the signal and loads the slot."""
        found = self.split.transfers[transfer]
        tile = self.split.types[found.value]
        to_vector = found.direction == CUBE_TO_VECTOR
        slot = ("slot", found.direction, self.position[transfer] % self.slots)
        site = self.site[transfer]
        for core in self.lanes.cores if to_vector else (Core.AIC,):
            rows, cols = self.lanes.part(core, tile.shape) if to_vector else rows_cols(tile.shape)
            self.emitter.issue(Kind.CROSS_WAIT, core, (int(Pipe.MTE2),), deps=self.signals[transfer], site=site)
            self.emitter.take_buffer(slot, core, self.arrived(transfer), still_live=False)
            kind = Kind.GM_TO_UB if to_vector else Kind.GM_TO_L1
            args = (1, rows * cols * itemsize_bytes(tile.dtype))
            self.emitter.issue(kind, core, args, defines=self.arrived(transfer), site=site)

    def after(self, index: int, unit: int) -> None:
        """Op `index` was issued on `unit`: free the slots of the tiles that it used last."""
        for transfer in self.freed_after.get(index, ()):
            found = self.split.transfers[transfer]
            to_vector = found.direction == CUBE_TO_VECTOR
            if unit != (AIV if to_vector else AIC):
                continue
            if self.position[transfer] + self.slots >= self.total[found.direction]:
                continue
            cores = self.lanes.cores if to_vector else (Core.AIC,)
            self.frees[transfer] = [self._free(core, transfer) for core in cores]

    def _free(self, core: Core, transfer: int) -> int:
        storage = self.emitter.storage(self.arrived(transfer), core)
        users = storage.reads or storage.writes
        pipe = max(users, key=lambda found: users[found])
        return self.emitter.issue(Kind.CROSS_SET, core, (int(pipe),), deps=users.values(), site=self.site[transfer])
