"""The recorded Program: what a kernel did, without its numbers.

The engine writes it, checks and lowering read it, `program.store` saves it. It holds no array
contents, only shapes, dtypes, regions, scopes and the order of operations.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from types import FrameType
from typing import NamedTuple

import numpy as np

FORMAT_VERSION = 7


class Site(NamedTuple):
    """A line of the author's source."""

    file: str
    line: int
    function: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line}"

    @classmethod
    def of_frame(cls, frame: FrameType) -> Site:
        """The line that a frame is running."""
        return cls(frame.f_code.co_filename, frame.f_lineno, frame.f_code.co_name)


class ValueType(NamedTuple):
    """Shape and element type of an operand. `space` is 'gm', 'tile' or 'scalar'. dtype is the pl name, e.g. 'BF16'."""

    shape: tuple[int, ...]
    dtype: str
    space: str


class OpSignature(NamedTuple):
    """One operator at one line with its operand types: everything of an op that does not change from call to call.

    attrs are sorted (name, value) pairs of plain int, float, str, bool or tuples of them.
    """

    op: str
    ins: tuple[ValueType, ...]
    out: ValueType | None
    attrs: tuple[tuple[str, object], ...]
    site: int


class TileOp(NamedTuple):
    """One recorded operation of a block.

    signature: index into Program.signatures. out: value number of the result (-1: none). ins: value
    numbers of the tile operands, in operand order. gm: index into Program.tensors of the tensor that
    is read or written (-1: none). Value numbers are local to the stream. An op that updates a tile
    in place has that tile's number as `out` and among `ins`. A view (slice, reshape of a tile) has a new
    number and the viewed tile in `ins`.

    Loop structure is recorded as ops 'loop.begin' (attrs kind, stage), 'loop.iter' and 'loop.end' without operands.
    'core.mark' (attrs unit, half) says on which core the ops up to the next mark run; before the first one, and where
    unit is '', lowering decides. 'tpush' makes a slot from a tile, 'tpop' a tile from the slots of all producers,
    'tfree' gives a popped tile's slot back (attrs direction, pipe, slots, slot_bytes, split; the compiler's own pipe
    is -1).
    """

    signature: int
    out: int
    ins: tuple[int, ...]
    gm: int


@dataclass(frozen=True)
class Stream:
    """The operations of one block; blocks with the same operations share one stream."""

    ops: tuple[TileOp, ...]


@dataclass(frozen=True)
class Access:
    """GM elements that one op touched, for a group of blocks of one task.

    blocks: int32 [L] block numbers. offsets: int64 [L], element offset of the box in the tensor's storage
    (or [1] if the same for all of them). shape and strides (elements) describe the box. atomic: part of an atomic
    addition. phase: how many barriers over the task's blocks (pl.system.syncall) were passed before it. same: for each
    block of a write, whether its box held these bits already, blocks before it included; None: not known.
    op: position of the op in the block's stream, or int32 [L] where blocks of the group have different streams; -1: the
    task made no op for it, or its blocks have not ended yet.
    """

    tensor: int
    write: bool
    site: int
    blocks: np.ndarray
    offsets: np.ndarray
    shape: tuple[int, ...]
    strides: tuple[int, ...]
    atomic: bool = False
    phase: int = 0
    same: np.ndarray | None = None
    op: int | np.ndarray = -1


@dataclass
class TensorInfo:
    """A GM buffer. origin: "entry" an argument, "alloc" a create_tensor, "window" one that became part of another.


    direction: 'in', 'out' or 'inout' as declared for an entry argument, '' for an allocation.
    nbytes: unrounded size. depth: scope depth of the frame that owns an allocation (0: root).
    computed_size: its shape needs a value that its own statement list computes at run time.
    """

    name: str
    shape: tuple[int, ...]
    dtype: str
    nbytes: int
    origin: str
    direction: str
    site: int
    manual_dep: bool = False
    depth: int = 0
    computed_size: bool = False


@dataclass(frozen=True)
class TaskArg:
    """A GM tensor that a task uses through one view.

    reads, writes: what its body did (both: in place). offset, shape, strides: the view, in elements.
    alias: what the compiler takes the view for: 0 its buffer, a positive number a buffer of its own, -1 none it knows.
    no_dep: the author left it out of the automatic dependencies of this launch (pl.no_dep, no_dep_args=).
    """

    tensor: int
    reads: bool
    writes: bool
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]
    alias: int = 0
    no_dep: bool = False


class ScalarArg(NamedTuple):
    """A scalar that a launch hands to its task.

    dtype: pl name of its type. bits: what the argument's slot of 64 bits holds, unsigned; a float as FP32.
    """

    name: str
    dtype: str
    bits: int


@dataclass
class TaskRecord:
    """One launch. block_streams: int32 [blocks], index into Program.streams of each block's stream.

    split: 'none', 'up_down' or 'left_right' (how a mixed body uses its two AIV).
    form: 'spmd' or 'at'. scalars: the run-time scalars among its arguments, in order.
    computed_blocks: the number of blocks is computed at run time in the launch's own statement list.
    dumped: the tensors among its arguments that the author marked for the argument dump (pl.dump_tag, dumps=).
    """

    name: str
    form: str
    site: int
    blocks: int
    block_streams: np.ndarray
    args: list[TaskArg]
    accesses: list[Access]
    scalars: list[ScalarArg] = field(default_factory=list)
    split: str = "none"
    slot_num: int | None = None
    sync_start: bool = False
    early_resolve: bool = False
    predicated: bool = False
    explicit_deps: list[int] = field(default_factory=list)
    computed_blocks: bool = False
    dumped: list[int] = field(default_factory=list)


HostView = tuple[int, int, tuple[int, ...], tuple[int, ...]]
"""A view that the orchestrator itself touches: tensor, offset, shape and strides in elements."""


class Event(NamedTuple):
    """What the orchestrator met, in order.

    kind: 'scope_begin' (value: mode), 'scope_end', 'body_begin' (value: 'for' | 'parallel' | 'if': one
    iteration or arm, a statement list of its own), 'body_end', 'alloc' (value: tensor index),
    'task' (value: task index), 'frame_begin'/'frame_end' (the entry function's own body), 'read' and 'write' (value:
    tensor index, offset, shape and strides of the view, of which the orchestrator itself reads or writes an element).
    """

    kind: str
    value: object
    site: int


@dataclass
class Program:
    """A recorded run of one kernel: enough to lower, simulate, check and report it without its numbers.

    profile: numerics profile. launch_cores: core counts that core-count queries answered.
    variant: how the source was transformed ('written', or the scope options).
    """

    name: str
    profile: str
    variant: str
    sites: list[Site]
    signatures: list[OpSignature]
    streams: list[Stream]
    tensors: list[TensorInfo]
    tasks: list[TaskRecord]
    events: list[Event]
    queries_core_count: bool = False
    launch_cores: tuple[int, int] = (24, 48)
