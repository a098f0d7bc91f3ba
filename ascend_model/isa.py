"""Instruction kinds of a core, the pipes that run them, and why a pipe waits.

The level of detail is one instruction per transfer, matmul step or vector instruction, with all its
repeats: what the hardware's queues hold, and no finer.
Sources: pto-isa: include/pto/costmodel/a2a3 (kinds and formulas), include/pto/costmodel/perf_sim/latency.hpp
(which pipe runs what); simpler: src/a2a3/docs/hardware.md (a cluster is 1 AIC + 2 AIV).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from enum import Enum, IntEnum, unique

import numpy as np

from ascend_model.workload import InstructionStream

ARG_COUNT = 4
"""Columns of `InstructionStream.args`."""

VECTOR_REPEAT_BYTES = 256
"""Bytes that one repeat of a vector instruction covers (64 fp32 or 128 fp16 elements)."""


@unique
class Core(IntEnum):
    """The cores of one cluster."""

    AIC = 0
    AIV0 = 1
    AIV1 = 2


@unique
class Pipe(IntEnum):
    """In-order queues of a core. S is the scalar unit, which also issues to every other pipe."""

    S = 0
    MTE1 = 1
    MTE2 = 2
    MTE3 = 3
    M = 4
    FIXP = 5
    V = 6


CORE_PIPES: dict[Core, tuple[Pipe, ...]] = {
    Core.AIC: (Pipe.S, Pipe.MTE1, Pipe.MTE2, Pipe.MTE3, Pipe.M, Pipe.FIXP),
    Core.AIV0: (Pipe.S, Pipe.MTE2, Pipe.MTE3, Pipe.V),
    Core.AIV1: (Pipe.S, Pipe.MTE2, Pipe.MTE3, Pipe.V),
}
"""The pipes that each core has."""


@unique
class Kind(IntEnum):
    """Instruction kinds. `ARG_NAMES` gives the meaning of the argument columns.

    GM_TO_UB, GM_TO_L1: a load. `runs` contiguous pieces of `run_bytes` each; a piece occupies whole L2
    lines, so merge adjacent rows into one run. UB_TO_GM, L1_TO_GM: the same for a store.
    L0C_TO_GM, L0C_TO_L1: fixpipe drain of an m x n accumulator tile, `elem_bytes` per *output* element.
    L1_TO_L0A, L1_TO_L0B, L1_TO_BIAS: `nbytes` moved (fractal-padded as stored). L1_FILL: `nbytes` written.
    MMAD: (m x k) times (k x n) into L0C, `elem_bytes` per *input* element (1 int8, 2 fp16/bf16, 4 fp32).
    VEC: one vector instruction over `rows` rows of `row_bytes` valid bytes, the rows packed if
    `contiguous` is 1; `op` is a `VecOp`.
    SCALAR: `cycles` of address or loop arithmetic. GM_READ_SCALAR, GM_WRITE_SCALAR: `nbytes` of one word.
    CROSS_SET, CROSS_WAIT: one end of a cross-core signal, queued on pipe `pipe` (a `Pipe`; a wait on S
    stops all issue). The wait must name its set as a dependency.
    BARRIER: stops issue until every earlier instruction of the same core has completed.
    CACHE_INVALIDATE: the data cache, all of it if `whole` is 1, else one line. ALL_CORES: a barrier over the cores of
    a task, from arrival to release.
    """

    GM_TO_UB = 0
    GM_TO_L1 = 1
    UB_TO_GM = 2
    L1_TO_GM = 3
    L0C_TO_GM = 4
    L0C_TO_L1 = 5
    L1_TO_L0A = 6
    L1_TO_L0B = 7
    L1_TO_BIAS = 8
    L1_FILL = 9
    MMAD = 10
    VEC = 11
    SCALAR = 12
    GM_READ_SCALAR = 13
    GM_WRITE_SCALAR = 14
    CROSS_SET = 15
    CROSS_WAIT = 16
    BARRIER = 17
    CACHE_INVALIDATE = 18
    ALL_CORES = 19


_RUNS = ("runs", "run_bytes")
_DRAIN = ("m", "n", "elem_bytes")

ARG_NAMES: dict[Kind, tuple[str, ...]] = {
    Kind.GM_TO_UB: _RUNS,
    Kind.GM_TO_L1: _RUNS,
    Kind.UB_TO_GM: _RUNS,
    Kind.L1_TO_GM: _RUNS,
    Kind.L0C_TO_GM: _DRAIN,
    Kind.L0C_TO_L1: _DRAIN,
    Kind.L1_TO_L0A: ("nbytes",),
    Kind.L1_TO_L0B: ("nbytes",),
    Kind.L1_TO_BIAS: ("nbytes",),
    Kind.L1_FILL: ("nbytes",),
    Kind.MMAD: ("m", "k", "n", "elem_bytes"),
    Kind.VEC: ("op", "rows", "row_bytes", "contiguous"),
    Kind.SCALAR: ("cycles",),
    Kind.GM_READ_SCALAR: ("nbytes",),
    Kind.GM_WRITE_SCALAR: ("nbytes",),
    Kind.CROSS_SET: ("pipe",),
    Kind.CROSS_WAIT: ("pipe",),
    Kind.BARRIER: (),
    Kind.CACHE_INVALIDATE: ("whole",),
    Kind.ALL_CORES: (),
}
"""Names of the argument columns that a kind uses, in order; the other columns are 0."""

_AIC_ONLY = -1
_AIV_ONLY = -2
_ANY_CORE = -3

_HOME: dict[Kind, tuple[int, Pipe | None]] = {
    Kind.GM_TO_UB: (_AIV_ONLY, Pipe.MTE2),
    Kind.GM_TO_L1: (_AIC_ONLY, Pipe.MTE2),
    Kind.UB_TO_GM: (_AIV_ONLY, Pipe.MTE3),
    Kind.L1_TO_GM: (_AIC_ONLY, Pipe.MTE3),
    Kind.L0C_TO_GM: (_AIC_ONLY, Pipe.FIXP),
    Kind.L0C_TO_L1: (_AIC_ONLY, Pipe.FIXP),
    Kind.L1_TO_L0A: (_AIC_ONLY, Pipe.MTE1),
    Kind.L1_TO_L0B: (_AIC_ONLY, Pipe.MTE1),
    Kind.L1_TO_BIAS: (_AIC_ONLY, Pipe.MTE1),
    Kind.L1_FILL: (_AIC_ONLY, Pipe.MTE2),
    Kind.MMAD: (_AIC_ONLY, Pipe.M),
    Kind.VEC: (_AIV_ONLY, Pipe.V),
    Kind.SCALAR: (_ANY_CORE, Pipe.S),
    Kind.GM_READ_SCALAR: (_ANY_CORE, Pipe.S),
    Kind.GM_WRITE_SCALAR: (_ANY_CORE, Pipe.S),
    Kind.CROSS_SET: (_ANY_CORE, None),
    Kind.CROSS_WAIT: (_ANY_CORE, None),
    Kind.BARRIER: (_ANY_CORE, Pipe.S),
    Kind.CACHE_INVALIDATE: (_ANY_CORE, Pipe.S),
    Kind.ALL_CORES: (_ANY_CORE, Pipe.S),
}

KIND_PIPE = np.array([-1 if _HOME[k][1] is None else int(_HOME[k][1] or 0) for k in Kind], dtype=np.int8)
"""Pipe by kind; -1 where the instruction names its pipe in its first argument. Read-only."""
KIND_PIPE.flags.writeable = False


@unique
class VecOp(IntEnum):
    """Cost classes of vector instructions: one row of head, slope and tail each (`vector.*` of a chip).

    ADD covers vadd, vsub; MAX_MIN vmax, vmin; BITWISE vand, vor, vnot; MAXS vmaxs, vrelu; COPY vcopy and
    vector_dup; CGMAX also vcgmin; CONV every cast; OTHER the instructions nobody has calibrated (vbitsort,
    vaxpy, shifts, vcmax, vcmin, vgatherb, vnchwconv, other compares).
    """

    ADD = 0
    MAX_MIN = 1
    MUL = 2
    DIV = 3
    BITWISE = 4
    ADDS = 5
    MULS = 6
    MAXS = 7
    MINS = 8
    LRELU = 9
    ABS = 10
    EXP = 11
    EXP_FP16 = 12
    LN = 13
    SQRT = 14
    RSQRT = 15
    COPY = 16
    BRCB = 17
    CADD = 18
    CGADD = 19
    CGMAX = 20
    SEL = 21
    CMPV = 22
    CONV = 23
    REDUCEV2 = 24
    GATHER = 25
    MRGSORT4 = 26
    OTHER = 27


COUNT_MODE_OPS = (VecOp.ADD, VecOp.MAX_MIN, VecOp.MUL, VecOp.DIV, VecOp.BITWISE)
"""Two-operand instructions that pay extra when the mask counts elements (row bytes not whole repeats)."""


@unique
class WaitReason(str, Enum):
    """Why a pipe, a task or a runtime process is not working. A closed set."""

    ISSUE = "issue"  # the scalar unit has not issued the instruction yet
    FLAG = "flag"  # waits for another pipe of the same core
    DEPENDENCY = "dependency"  # waits for a result of the same pipe (vector drain), or a task for its fan-in
    CROSS_CORE = "cross_core"  # waits for another core of the cluster
    BARRIER = "barrier"  # everything earlier on the core must complete first
    PIPE_BUSY = "pipe_busy"  # an earlier instruction holds the pipe
    BANDWIDTH = "bandwidth"  # shared L2 or HBM bandwidth is taken by other cores
    CAPACITY = "capacity"  # no room: ring heap, task window, buffer
    CORE_BUSY = "core_busy"  # no core of the wanted kind is free
    RUNTIME = "runtime"  # the orchestrator or a scheduler has not got to it
    NO_WORK = "no_work"  # nothing left, or never anything, for this unit


def pipe_of(kind: Kind, args: Sequence[int] = ()) -> Pipe:
    """The pipe that runs an instruction; `args` are needed for CROSS_SET and CROSS_WAIT only."""
    pipe = _HOME[kind][1]
    return Pipe(args[0]) if pipe is None else pipe


class StreamBuilder:
    """Collects one block's instructions in program order and packs them into an `InstructionStream`."""

    def __init__(self) -> None:
        self._kind: list[int] = []
        self._core: list[int] = []
        self._args: list[tuple[int, ...]] = []
        self._dep_offsets: list[int] = [0]
        self._dep_indices: list[int] = []
        self._site: list[int] = []

    def __len__(self) -> int:
        return len(self._kind)

    def append(self, kind: Kind, core: Core, args: Sequence[int] = (), deps: Iterable[int] = (), site: int = 0) -> int:
        """Adds an instruction and returns its index.

        args: one integer for each name in `ARG_NAMES[kind]`. deps: indices of earlier instructions that
        must have completed before this one starts; duplicates are dropped.
        Raises ValueError when the core has no such instruction, an argument is missing or negative, or a
        dependency is not an earlier instruction.
        """
        names = ARG_NAMES[kind]
        if len(args) != len(names):
            raise ValueError(f"{kind.name} takes arguments ({', '.join(names)}); got {tuple(args)}")
        if any(value < 0 for value in args):
            raise ValueError(f"{kind.name}: negative argument in {dict(zip(names, args, strict=True))}")
        allowed = _HOME[kind][0]
        if (allowed == _AIC_ONLY and core != Core.AIC) or (allowed == _AIV_ONLY and core == Core.AIC):
            raise ValueError(f"{core.name} has no {kind.name}; it belongs to an {'AIC' if core else 'AIV'}")
        if _HOME[kind][1] is None and Pipe(args[0]) not in CORE_PIPES[core]:
            raise ValueError(f"{kind.name}: {core.name} has no pipe {Pipe(args[0]).name}")
        index = len(self._kind)
        sources = sorted(set(deps))
        if sources and not 0 <= sources[0] <= sources[-1] < index:
            raise ValueError(f"instruction {index} ({kind.name}) depends on {sources}, not all of them earlier")
        self._kind.append(int(kind))
        self._core.append(int(core))
        self._args.append(tuple(args) + (0,) * (ARG_COUNT - len(args)))
        self._dep_indices.extend(sources)
        self._dep_offsets.append(len(self._dep_indices))
        self._site.append(site)
        return index

    def build(self) -> InstructionStream:
        """The instructions so far as parallel arrays (see `InstructionStream` for dtypes)."""
        return InstructionStream(
            kind=np.array(self._kind, dtype=np.int16),
            core=np.array(self._core, dtype=np.int8),
            args=np.array(self._args, dtype=np.int64).reshape(len(self._kind), ARG_COUNT),
            dep_offsets=np.array(self._dep_offsets, dtype=np.int32),
            dep_indices=np.array(self._dep_indices, dtype=np.int32),
            site=np.array(self._site, dtype=np.int32),
        )
