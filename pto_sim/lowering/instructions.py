"""The instruction stream of one block, from its recorded tile ops.

GM loads are MTE2 (into UB on a vector core, L1 on the cube), L1 to L0 extracts MTE1, products MMAD, accumulators
leave through FIXP, vector tiles through MTE3. A tile that crosses is stored to its GM slot, signalled, and loaded
on the other side; its slot is signalled free after the last use.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

from ascend_model.isa import Core, Kind
from ascend_model.workload import InstructionStream
from pto_sim.lowering.block_emitter import BlockEmitter
from pto_sim.lowering.cross_core import CrossCore
from pto_sim.lowering.cube_emission import CubeEmission
from pto_sim.lowering.dtypes import itemsize_bytes, nbytes, rows_cols
from pto_sim.lowering.gm_boxes import contiguous_runs
from pto_sim.lowering.lanes import Lanes
from pto_sim.lowering.lowered import L0Use
from pto_sim.lowering.lowered import Pipe as GmPipe
from pto_sim.lowering.opclass import Role
from pto_sim.lowering.pipe_ends import PipeEnds
from pto_sim.lowering.scalar_loops import SCALAR_STEP_CYCLES, accessed_box, emit_gather, emit_scatter
from pto_sim.lowering.schedule import OP, PUSH, Schedule, Step
from pto_sim.lowering.storage import BufferKeys, Lifetime
from pto_sim.lowering.tile_aliases import loads_into_tiles, unpacked_views
from pto_sim.lowering.unit_split import ACC, AIC, AIV, MAT, VEC, UnitSplit
from pto_sim.lowering.vector_emission import emit_vector
from pto_sim.numerics.optable import OP_TABLE
from pto_sim.program.model import OpSignature, Program, Stream, TileOp


@dataclass(frozen=True)
class LoweredStream:
    """One block's instructions, its L0 products, and the largest L0A and L0B use in bytes."""

    instructions: InstructionStream
    l0_tiles: tuple[L0Use, ...]
    left_bytes: int
    right_bytes: int


class StreamLowering:
    """Lowers one stream. pipe: of the task it belongs to, None if nothing crosses. lanes: its vector cores."""

    def __init__(
        self,
        stream: Stream,
        program: Program,
        split: UnitSplit,
        order: Schedule,
        lives: dict[int, Lifetime],
        keys: BufferKeys,
        pipe: GmPipe | None,
        lanes: Lanes,
    ) -> None:
        self.stream, self.program, self.split, self.order, self.lanes = stream, program, split, order, lanes
        self.lives = lives
        self.emitter = BlockEmitter()
        self.keys = keys
        self.cross = CrossCore(self.emitter, stream, program, split, pipe, lanes)
        self.cube = CubeEmission(self.emitter)
        self.ends = PipeEnds(self.emitter, stream, program, split, pipe)
        self.block_lanes = lanes
        self.unpacked = set(unpacked_views(stream, program, split))
        self.stored_into = dict(loads_into_tiles(stream, split))

    def run(self) -> LoweredStream:
        """Issue every step and pack the stream."""
        for step in self.order.steps:
            if step.what == OP:
                self._issue(step)
            elif step.what == PUSH:
                self.cross.push(step.number)
            else:
                self.cross.pop(step.number)
        cube = self.cube
        return LoweredStream(self.emitter.builder.build(), tuple(cube.uses), cube.left_bytes, cube.right_bytes)

    def _issue(self, step: Step) -> None:
        index = step.number
        op = self.stream.ops[index]
        signature = self.program.signatures[op.signature]
        role = self.split.roles[index]
        place = self.split.places[index]
        placed = 0 if not place.unit else AIC if place.unit == "aic" else AIV
        self.lanes = Lanes(place.half, (place.core,)) if placed == AIV else self.block_lanes
        for unit in (AIC, AIV):
            if step.units & self.split.needs & unit and (not placed or placed == unit):
                self._ISSUE[role](self, index, op, signature, unit)
                self.cross.after(index, unit)
                self.ends.after(index, unit, self.lanes, signature.site)

    def _cores(self, unit: int) -> Iterator[Core]:
        yield from (Core.AIC,) if unit == AIC else self.lanes.cores

    def _define(self, index: int, unit: int, core: Core) -> int:
        """Take the buffer of op `index`'s result; returns the value's root."""
        root = self.split.root[self.stream.ops[index].out]
        buffer = self.keys.key(index, self._memory(root, unit))
        holder = self.emitter.occupant(buffer, core)
        still_live = isinstance(holder, int) and self.lives[holder].last >= index
        self.emitter.take_buffer(buffer, core, root, still_live=still_live)
        return root

    def _memory(self, root: int, unit: int) -> str:
        """Where a side keeps a value."""
        if unit == AIV:
            return VEC
        return ACC if ACC in self.split.homes[root] else MAT

    def _source(self, index: int, value: int) -> object:
        """Storage key of an operand: its root, or the tile that a transfer left on this side."""
        transfer = self.split.crossing_of.get((index, value))
        return self.split.root[value] if transfer is None else self.cross.arrived(transfer)

    def _loop(self, index: int, op: TileOp, signature: OpSignature, unit: int) -> None:
        if signature.op == "loop.iter":
            for core in self._cores(unit):
                self.emitter.issue(Kind.SCALAR, core, (SCALAR_STEP_CYCLES,), site=signature.site)

    def _load(self, index: int, op: TileOp, signature: OpSignature, unit: int) -> None:
        out = signature.out
        assert out is not None
        tensor = next((v.shape for v in signature.ins if v.space == "gm"), self.program.tensors[op.gm].shape)
        runs, run = contiguous_runs(out.shape, tensor)
        run_bytes = run * itemsize_bytes(out.dtype)
        target = self.stored_into.get(index)
        tokens = [self._source(index, v) for i, v in self.split.crossing_of if i == index] if unit == AIV else []
        for core in self._cores(unit):
            args = (runs, run_bytes) if unit == AIC else self.lanes.runs(core, runs, run_bytes, out.shape)
            if not args[0] or not args[1]:
                continue
            kind = Kind.GM_TO_L1 if unit == AIC else Kind.GM_TO_UB
            if target is not None:
                self.emitter.issue(kind, core, args, reads=tokens, updates=target, site=signature.site)
            else:
                root = self._define(index, unit, core)
                self.emitter.issue(kind, core, args, reads=tokens, defines=root, site=signature.site)

    def _store(self, index: int, op: TileOp, signature: OpSignature, unit: int) -> None:
        value = op.ins[0]
        source, root = self.split.types[value], self.split.root[value]
        info = self.program.tensors[op.gm]
        if ACC in self.split.homes[root] and unit == AIC:
            rows, cols = rows_cols(source.shape)
            args = (rows, cols, itemsize_bytes(info.dtype))
            self.emitter.issue(Kind.L0C_TO_GM, Core.AIC, args, reads=[root], site=signature.site)
            return
        tensor = next((v.shape for v in signature.ins if v.space == "gm"), info.shape)
        runs, run = contiguous_runs(source.shape, tensor)
        run_bytes = run * itemsize_bytes(source.dtype)
        if unit == AIC:
            self.emitter.issue(Kind.L1_TO_GM, Core.AIC, (runs, run_bytes), reads=[root], site=signature.site)
            return
        for core in self.lanes.writers(source.shape):
            args2 = self.lanes.runs(core, runs, run_bytes, source.shape)
            if args2[0] and args2[1]:
                self.emitter.issue(Kind.UB_TO_GM, core, args2, reads=[root], site=signature.site)

    def _read(self, index: int, op: TileOp, signature: OpSignature, unit: int) -> None:
        size = nbytes(signature.out) if signature.out is not None else itemsize_bytes(self._gm_dtype(op))
        for core in self._cores(unit):
            self.emitter.issue(Kind.GM_READ_SCALAR, core, (size,), site=signature.site)

    def _write(self, index: int, op: TileOp, signature: OpSignature, unit: int) -> None:
        core = Core.AIC if unit == AIC else self.lanes.cores[0]
        self.emitter.issue(Kind.GM_WRITE_SCALAR, core, (itemsize_bytes(self._gm_dtype(op)),), site=signature.site)

    def _gm_dtype(self, op: TileOp) -> str:
        return self.program.tensors[op.gm].dtype

    def _create(self, index: int, op: TileOp, signature: OpSignature, unit: int) -> None:
        for core in self._cores(unit):
            self._define(index, unit, core)

    def _assemble(self, index: int, op: TileOp, signature: OpSignature, unit: int) -> None:
        target, value = self.split.root[op.out], op.ins[1]
        source = self.split.types[value]
        rows, cols = rows_cols(source.shape)
        if index in self.stored_into:
            return
        if unit == AIC:
            args = (rows, cols, itemsize_bytes(self.split.types[op.out].dtype))
            self.emitter.issue(
                Kind.L0C_TO_L1, Core.AIC, args, reads=[self.split.root[value]], updates=target, site=signature.site
            )
            return
        reads = [self._source(index, value)]
        emit_vector(
            self.emitter,
            self.lanes,
            "assemble",
            source,
            source.dtype,
            index,
            reads,
            site=signature.site,
            packed=False,
            updates=target,
        )

    def _matmul(self, index: int, op: TileOp, signature: OpSignature, unit: int) -> None:
        root = self.split.root[op.out]
        fresh = root not in [self.split.root[value] for value in op.ins]
        if fresh:
            self._define(index, AIC, Core.AIC)
        operands = [self._in_l1(index, value, signature) for value in op.ins[-2:]]
        bias = self._in_l1(index, op.ins[0], signature) if signature.op == "matmul_bias" else None
        self.cube.emit(signature, operands, root, fresh=fresh, bias=bias)

    def _in_l1(self, index: int, value: int, signature: OpSignature) -> object:
        """Key of a matmul operand in L1; an accumulator is first drained there."""
        if (index, value) in self.split.crossing_of:
            return self._source(index, value)
        root = self.split.root[value]
        homes = self.split.homes[root]
        if MAT in homes:
            return root
        shape = self.split.types[value]
        rows, cols = rows_cols(shape.shape)
        key = ("in l1", index, value)
        self.emitter.issue(
            Kind.L0C_TO_L1,
            Core.AIC,
            (rows, cols, itemsize_bytes(shape.dtype)),
            reads=[root],
            defines=key,
            site=signature.site,
        )
        return key

    def _vector(self, index: int, op: TileOp, signature: OpSignature, unit: int) -> None:
        root = self.split.root[op.out]
        out = signature.out
        assert out is not None
        if unit == AIC:  # a downcast folded into the drain to L1
            rows, cols = rows_cols(out.shape)
            self._define(index, AIC, Core.AIC)
            args = (rows, cols, itemsize_bytes(out.dtype))
            self.emitter.issue(
                Kind.L0C_TO_L1, Core.AIC, args, reads=[self.split.root[op.ins[0]]], defines=root, site=signature.site
            )
            return
        for core in self.lanes.cores:
            self._define(index, AIV, core)
        tiles = [self.split.types[value] for value in op.ins]
        main = tiles[0] if tiles and signature.op.startswith(("row_sum", "row_max", "row_min", "col_")) else out
        if signature.op.startswith("col_expand"):
            main = out
        if signature.op == "cast" and itemsize_bytes(tiles[0].dtype) > itemsize_bytes(out.dtype):
            main = tiles[0]
        packed = not any(value in self.unpacked for value in op.ins)
        reads = [self._source(index, value) for value in op.ins]
        dtype = tiles[0].dtype if tiles else out.dtype
        # An elementwise op takes one element for each row as its second operand: it is expanded first.
        row = OP_TABLE[signature.op].shape_rule == "same_or_row" if signature.op in OP_TABLE else False
        row = row and len(tiles) == 2 and rows_cols(tiles[1].shape)[1] == 1 < rows_cols(out.shape)[1]
        scalar = any(value.space == "scalar" for value in signature.ins)
        emit_vector(
            self.emitter,
            self.lanes,
            signature.op,
            main,
            dtype,
            index,
            reads,
            site=signature.site,
            packed=packed,
            defines=root,
            scalar_operand=scalar,
            row_operand=row,
        )

    def _scalar(self, index: int, op: TileOp, signature: OpSignature, unit: int) -> None:
        """The scalar unit reads one element of a tile."""
        reads = [self._source(index, value) for value in op.ins]
        for core in self._cores(unit):
            self.emitter.issue(Kind.SCALAR, core, (SCALAR_STEP_CYCLES,), reads=reads, site=signature.site)

    def _gather(self, index: int, op: TileOp, signature: OpSignature, unit: int) -> None:
        """Rows or elements of GM by index. In the cube's memory the index is read from GM."""
        out = signature.out
        assert out is not None
        reads = [self._source(index, value) for value in op.ins] if unit == AIV else []
        for core in self._cores(unit):
            valid = accessed_box(signature)
            extent = valid if unit == AIC else self.lanes.part(core, valid)
            root = self._define(index, unit, core)
            emit_gather(self.emitter, core, signature, extent, itemsize_bytes(out.dtype), reads, root)

    def _scatter(self, index: int, op: TileOp, signature: OpSignature, unit: int) -> None:
        """Elements of a tile to GM by index."""
        source = self.split.types[op.ins[0]]
        reads = [self._source(index, value) for value in op.ins]
        for core in self.lanes.writers(source.shape):
            rows, cols = self.lanes.part(core, accessed_box(signature))
            emit_scatter(self.emitter, core, signature, rows * cols, itemsize_bytes(source.dtype), reads)

    def _push(self, index: int, op: TileOp, signature: OpSignature, unit: int) -> None:
        self.ends.push(op, signature, self.lanes)

    def _pop(self, index: int, op: TileOp, signature: OpSignature, unit: int) -> None:
        self.ends.pop(op, signature, self.lanes)

    def _free(self, index: int, op: TileOp, signature: OpSignature, unit: int) -> None:
        self.ends.free(self.split.root[op.ins[0]], next(iter(self._cores(unit))), signature.site)

    def _sync(self, index: int, op: TileOp, signature: OpSignature, unit: int) -> None:
        for core in self._cores(unit):
            self.ends.synchronise(signature, core)

    def _nothing(self, index: int, op: TileOp, signature: OpSignature, unit: int) -> None:
        """A view has no instruction."""

    _ISSUE: ClassVar = {
        Role.LOOP: _loop, Role.LOAD: _load, Role.STORE: _store, Role.READ: _read, Role.WRITE: _write,
        Role.SCALAR: _scalar, Role.GATHER: _gather, Role.SCATTER: _scatter,
        Role.CREATE: _create, Role.ASSEMBLE: _assemble, Role.CUBE: _matmul, Role.VECTOR: _vector, Role.VIEW: _nothing,
        Role.MARK: _nothing, Role.PUSH: _push, Role.POP: _pop, Role.FREE: _free, Role.SYNC: _sync,
    }  # fmt: skip
