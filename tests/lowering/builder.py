"""Writes Programs by hand, as the engine would record them, for tests that need no kernel."""

from __future__ import annotations

from contextlib import contextmanager

import numpy as np

from pto_sim.lowering.dtypes import elements, itemsize_bytes
from pto_sim.program.model import (
    Access,
    Event,
    OpSignature,
    Program,
    Site,
    Stream,
    TaskArg,
    TaskRecord,
    TensorInfo,
    TileOp,
    ValueType,
)


def row_major(shape):
    strides = [1] * len(shape)
    for axis in range(len(shape) - 2, -1, -1):
        strides[axis] = strides[axis + 1] * shape[axis + 1]
    return tuple(strides)


class BlockBuilder:
    """Records the tile ops of one block. Every op gets its own line number unless `line` pins it."""

    def __init__(self, program: ProgramBuilder) -> None:
        self.program = program
        self.ops: list[TileOp] = []
        self.types: dict[int, ValueType] = {}

    def emit(self, op, ins=(), out=None, attrs=None, gm=-1, in_place=None, scalars=(), line=None):
        """out: (shape, dtype) of a new value, or None. in_place: value number that the op updates."""
        operands = [self.types[value] for value in ins]
        if gm >= 0:
            info = self.program.tensors[gm]
            operands.append(ValueType(info.shape, info.dtype, "gm"))
        operands += [ValueType((), dtype, "scalar") for dtype in scalars]
        number, out_type = -1, None
        if in_place is not None:
            number, out_type = in_place, self.types[in_place]
        elif out is not None:
            number = len(self.types)
            out_type = ValueType(tuple(out[0]), out[1], "tile")
            self.types[number] = out_type
        site = self.program.site(line if line is not None else 1000 + len(self.ops))
        signature = OpSignature(op, tuple(operands), out_type, tuple(sorted((attrs or {}).items())), site)
        self.ops.append(TileOp(self.program.signature(signature), number, tuple(ins), gm))
        return number

    def load(self, gm, shape, dtype=None, **kw):
        return self.emit("load", out=(shape, dtype or self.program.tensors[gm].dtype), gm=gm, **kw)

    def store(self, value, gm, **kw):
        self.emit("store", (value,), gm=gm, **kw)

    def like(self, op, value, *more, **kw):
        """An op whose result has the type of its first operand."""
        return self.emit(op, (value, *more), out=self.types[value][:2], **kw)

    def cast(self, value, dtype, mode="rint", **kw):
        return self.emit("cast", (value,), out=(self.types[value].shape, dtype), attrs={"mode": mode}, **kw)

    def reduce_row(self, op, value, **kw):
        rows, _ = self.types[value].shape
        return self.emit(op, (value,), out=((rows, 1), self.types[value].dtype), **kw)

    def view(self, value, shape, op="slice", **kw):
        return self.emit(op, (value,), out=(shape, self.types[value].dtype), **kw)

    def matmul(self, a, b, *, acc=None, b_trans=False, **kw):
        left, right = self.types[a].shape, self.types[b].shape
        cols = right[-2] if b_trans else right[-1]
        dtype = "INT32" if self.types[a].dtype == "INT8" else "FP32"
        attrs = {"a_trans": False, "b_trans": b_trans}
        if acc is not None:
            return self.emit("matmul_acc", (acc, a, b), in_place=acc, attrs=attrs, **kw)
        return self.emit("matmul", (a, b), out=((left[-2], cols), dtype), attrs=attrs, **kw)

    def loop(self, trips, kind="range", stage=1, line=1):
        """Yields the trip numbers of a recorded loop."""
        self.emit("loop.begin", attrs={"kind": kind, "stage": stage}, line=line)
        for trip in range(trips):
            self.emit("loop.iter", line=line)
            yield trip
        self.emit("loop.end", line=line)


class ProgramBuilder:
    """Collects tensors, launches and events; `build` gives the Program."""

    def __init__(self) -> None:
        self.sites: dict[Site, int] = {}
        self.signatures: dict[OpSignature, int] = {}
        self.streams: dict[tuple[TileOp, ...], int] = {}
        self.tensors: list[TensorInfo] = []
        self.tasks: list[TaskRecord] = []
        self.events: list[Event] = [Event("frame_begin", "k", 0)]
        self.site(0)

    def site(self, line):
        return self.sites.setdefault(Site("kernel.py", line, "kernel"), len(self.sites))

    def signature(self, signature):
        return self.signatures.setdefault(signature, len(self.signatures))

    def tensor(self, name, shape, dtype, direction="in"):
        """An entry argument."""
        nbytes = elements(shape) * itemsize_bytes(dtype)
        self.tensors.append(TensorInfo(name, tuple(shape), dtype, nbytes, "entry", direction, 0))
        return len(self.tensors) - 1

    def create(self, name, shape, dtype, manual_dep=False):
        """A create_tensor at this point of the orchestration."""
        nbytes = elements(shape) * itemsize_bytes(dtype)
        info = TensorInfo(name, tuple(shape), dtype, nbytes, "alloc", "", self.site(len(self.events)), manual_dep)
        self.tensors.append(info)
        self.events.append(Event("alloc", len(self.tensors) - 1, 0))
        return len(self.tensors) - 1

    @contextmanager
    def scope(self, mode="auto"):
        self.events.append(Event("scope_begin", mode, self.site(5000)))
        yield
        self.events.append(Event("scope_end", None, 0))

    @contextmanager
    def body(self, kind, line=6000):
        self.events.append(Event("body_begin", kind, self.site(line)))
        yield
        self.events.append(Event("body_end", None, 0))

    def arg(self, tensor, use, offset=0, shape=None, strides=None):
        """use: some of 'r' and 'w'."""
        info = self.tensors[tensor]
        shape = info.shape if shape is None else shape
        return TaskArg(tensor, "r" in use, "w" in use, offset, shape, strides or row_major(info.shape))

    def block(self):
        return BlockBuilder(self)

    def launch(self, name, block=None, args=(), blocks=1, **kw):
        """One task whose blocks all run `block` (a BlockBuilder, or None for a trivial vector one)."""
        ops = tuple(block.ops) if block is not None else ()
        stream = self.streams.setdefault(ops, len(self.streams))
        numbers = np.full(blocks, stream, np.int32)
        accesses = kw.pop("accesses", [])
        record = TaskRecord(name, "spmd", self.site(0), blocks, numbers, list(args), accesses, **kw)
        self.tasks.append(record)
        self.events.append(Event("task", len(self.tasks) - 1, 0))
        return len(self.tasks) - 1

    def access(self, tensor, write, offsets, shape, strides, blocks=None):
        offsets = np.asarray(offsets, np.int64)
        numbers = np.arange(len(offsets), dtype=np.int32) if blocks is None else blocks
        return Access(tensor, write, 0, numbers, offsets, tuple(shape), tuple(strides))

    def build(self):
        self.events.append(Event("frame_end", None, 0))
        return Program(
            name="hand", profile="a2a3", variant="written", sites=list(self.sites),
            signatures=list(self.signatures), streams=[Stream(ops) for ops in self.streams],
            tensors=self.tensors, tasks=self.tasks, events=self.events,
        )  # fmt: skip
