"""Cycles of one instruction: a function of its arguments and the chip alone, for a whole stream at once.

An instruction holds its pipe for `hold` cycles, after a `head` that overlaps the instruction before it if
that one is still running; its result is there `tail` cycles after it let go. What the scalar unit spends on
issuing it is `issue`. All are whole cycles, rounded up once per instruction.
Sources of the formulas: pto-isa: include/pto/costmodel/a2a3 (cube, vector, sync) and arch_config.hpp
(transfers); pypto: include/pypto/backend/common/backend_handler.h (fixpipe drain).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ascend_model.chipspec import ChipSpec
from ascend_model.isa import COUNT_MODE_OPS, KIND_PIPE, VECTOR_REPEAT_BYTES, Kind, Pipe, VecOp
from ascend_model.workload import InstructionStream

_GM_MOVES = {
    Kind.GM_TO_UB: "gm_to_ub",
    Kind.GM_TO_L1: "gm_to_l1",
    Kind.UB_TO_GM: "ub_to_gm",
    Kind.L1_TO_GM: "l1_to_gm",
}
_LOCAL_MOVES = {
    Kind.L1_TO_L0A: "l1_to_l0a",
    Kind.L1_TO_L0B: "l1_to_l0b",
    Kind.L1_TO_BIAS: "l1_to_bias",
    Kind.L1_FILL: "l1_fill",
}
_DRAINS = {Kind.L0C_TO_GM: "l0c_to_gm", Kind.L0C_TO_L1: "l0c_to_l1"}
_CUBE_INPUT_BYTES = (1, 2, 4)


@dataclass(frozen=True)
class StreamCost:
    """Costs of a stream's n instructions: int8 [n] pipe, int64 [n] cycles and int64 [n] GM bytes.

    gm_read_bytes, gm_write_bytes: bytes the instruction asks for. l2_bytes: what it moves at the L2 side:
    whole lines for every run of a load or store (pypto's performance hint PH001), real bytes for a drain.
    """

    pipe: np.ndarray
    issue_cycles: np.ndarray
    head_cycles: np.ndarray
    hold_cycles: np.ndarray
    tail_cycles: np.ndarray
    gm_read_bytes: np.ndarray
    gm_write_bytes: np.ndarray
    l2_bytes: np.ndarray


def stream_cost(stream: InstructionStream, spec: ChipSpec) -> StreamCost:
    """Costs of every instruction of `stream` on `spec`.

    Raises ValueError on an argument outside what the instruction allows (an input width of the cube that is
    not 1, 2 or 4 bytes, an unknown vector operation, a flag other than 0 or 1).
    """
    n = len(stream)
    pipe = KIND_PIPE[stream.kind].copy()
    queued = pipe < 0
    pipe[queued] = stream.args[queued, 0]
    cost = StreamCost(pipe, *(np.zeros(n, dtype=np.int64) for _ in range(7)))
    _gm_transfers(stream, spec, cost)
    _local_transfers(stream, spec, cost)
    _drains(stream, spec, cost)
    _matmuls(stream, spec, cost)
    _vector_ops(stream, spec, cost)
    _scalar_and_sync(stream, spec, cost)
    _issue(stream, spec, cost)
    return cost


def vector_repeats(rows: np.ndarray, row_bytes: np.ndarray, contiguous: np.ndarray) -> np.ndarray:
    """Repeats of vector instructions over int64 [n] rows: packed rows share repeats, others do not."""
    packed = -(-rows * row_bytes // VECTOR_REPEAT_BYTES)
    by_row = rows * -(-row_bytes // VECTOR_REPEAT_BYTES)
    return np.where(contiguous == 1, packed, by_row)


def drain_cycles(m: np.ndarray, n: np.ndarray, elem_bytes: np.ndarray, spec: ChipSpec) -> np.ndarray:
    """Fixpipe cycles, float64, to read an m x n tile out of L0C, whatever it is written to."""
    pieces = np.maximum(1, -(-n * elem_bytes // int(spec["fixpipe.piece_bytes"])))
    odd_divisor = pieces // (pieces & -pieces)
    row = np.maximum(spec["fixpipe.row_min_cycles"], n * elem_bytes / spec["fixpipe.row_bytes_per_cycle"])
    return spec["fixpipe.base_cycles"] + m * (row + spec["fixpipe.odd_cycles"] * (odd_divisor - 1))


def cube_fractals(m: np.ndarray, k: np.ndarray, n: np.ndarray, elem_bytes: np.ndarray, spec: ChipSpec) -> np.ndarray:
    """16 x 16 x (32 bytes of k) steps of an (m x k) times (k x n) product, int64."""
    rows = -(-m // int(spec["cube.fractal_m_elems"]))
    columns = -(-n // int(spec["cube.fractal_n_elems"]))
    return rows * columns * -(-k * elem_bytes // int(spec["cube.fractal_k_bytes"]))


def _gm_transfers(stream: InstructionStream, spec: ChipSpec, cost: StreamCost) -> None:
    line_bytes = int(spec["memory.l2_line_bytes"])
    for kind, move in _GM_MOVES.items():
        at = stream.kind == kind
        runs, run_bytes = stream.args[at, 0], stream.args[at, 1]
        moved = runs * (-(-run_bytes // line_bytes) * line_bytes)
        _move(at, moved, move, spec, cost)
        cost.l2_bytes[at] = moved
        reads = kind in (Kind.GM_TO_UB, Kind.GM_TO_L1)
        (cost.gm_read_bytes if reads else cost.gm_write_bytes)[at] = runs * run_bytes


def _local_transfers(stream: InstructionStream, spec: ChipSpec, cost: StreamCost) -> None:
    for kind, move in _LOCAL_MOVES.items():
        at = stream.kind == kind
        _move(at, stream.args[at, 0], move, spec, cost)


def _move(at: np.ndarray, nbytes: np.ndarray, move: str, spec: ChipSpec, cost: StreamCost) -> None:
    cycles = spec[f"move.{move}.startup_cycles"] + nbytes / spec[f"move.{move}.bytes_per_cycle"]
    cost.hold_cycles[at] = _whole(cycles)
    cost.tail_cycles[at] = _whole(spec[f"move.{move}.latency_cycles"])


def _drains(stream: InstructionStream, spec: ChipSpec, cost: StreamCost) -> None:
    for kind, move in _DRAINS.items():
        at = stream.kind == kind
        m, n, elem_bytes = stream.args[at, 0], stream.args[at, 1], stream.args[at, 2]
        nbytes = m * n * elem_bytes
        _move(at, nbytes, move, spec, cost)
        cost.hold_cycles[at] = np.maximum(cost.hold_cycles[at], _whole(drain_cycles(m, n, elem_bytes, spec)))
        if kind == Kind.L0C_TO_GM:
            cost.gm_write_bytes[at] = nbytes
            cost.l2_bytes[at] = nbytes


def _matmuls(stream: InstructionStream, spec: ChipSpec, cost: StreamCost) -> None:
    at = stream.kind == Kind.MMAD
    m, k, n, elem_bytes = stream.args[at].T
    if not np.isin(elem_bytes, _CUBE_INPUT_BYTES).all():
        raise ValueError(f"MMAD: elem_bytes {sorted(set(elem_bytes.tolist()))}; the cube takes {_CUBE_INPUT_BYTES}")
    per_fractal = np.where(elem_bytes == 4, spec["cube.fractal_fp32_cycles"], spec["cube.fractal_cycles"])
    cycles = spec["cube.head_cycles"] + per_fractal * cube_fractals(m, k, n, elem_bytes, spec)
    cost.hold_cycles[at] = _whole(cycles)


def _vector_ops(stream: InstructionStream, spec: ChipSpec, cost: StreamCost) -> None:
    at = stream.kind == Kind.VEC
    op, rows, row_bytes, contiguous = stream.args[at].T
    if op.size and op.max() >= len(VecOp):
        raise ValueError(f"VEC: operation {op.max()}; VecOp ends at {len(VecOp) - 1}")
    if contiguous.size and contiguous.max() > 1:
        raise ValueError(f"VEC: contiguous is 0 or 1, not {contiguous.max()}")
    table = np.array(
        [[spec[f"vector.{o.name.lower()}.{part}_cycles"] for part in ("head", "slope", "tail")] for o in VecOp]
    )
    masked = np.where(contiguous == 1, rows * row_bytes, row_bytes) % VECTOR_REPEAT_BYTES != 0
    counted = masked & np.isin(op, [int(o) for o in COUNT_MODE_OPS])
    extra = np.where(counted, spec["vector.count_mode_cycles"], 0.0)
    cost.head_cycles[at] = _whole(table[op, 0])
    cost.hold_cycles[at] = _whole(table[op, 1] * vector_repeats(rows, row_bytes, contiguous) + extra)
    cost.tail_cycles[at] = _whole(table[op, 2])


def _scalar_and_sync(stream: InstructionStream, spec: ChipSpec, cost: StreamCost) -> None:
    kind, line_bytes = stream.kind, int(spec["memory.l2_line_bytes"])
    at = kind == Kind.SCALAR
    cost.hold_cycles[at] = stream.args[at, 0]
    cost.hold_cycles[kind == Kind.GM_READ_SCALAR] = _whole(spec["scalar.gm_read_cycles"])
    cost.hold_cycles[kind == Kind.GM_WRITE_SCALAR] = _whole(spec["scalar.gm_write_cycles"])
    for word, nbytes in ((Kind.GM_READ_SCALAR, cost.gm_read_bytes), (Kind.GM_WRITE_SCALAR, cost.gm_write_bytes)):
        at = kind == word
        nbytes[at] = stream.args[at, 0]
        cost.l2_bytes[at] = line_bytes
    cost.hold_cycles[(kind == Kind.CROSS_SET) | (kind == Kind.CROSS_WAIT)] = _whole(spec["sync.flag_issue_cycles"])
    cost.hold_cycles[kind == Kind.BARRIER] = _whole(spec["sync.barrier_cycles"])
    cost.hold_cycles[kind == Kind.ALL_CORES] = _whole(spec["sync.all_cores_cycles"])
    at = kind == Kind.CACHE_INVALIDATE
    whole, line = _whole(spec["sync.cache_invalidate_cycles"]), _whole(spec["sync.line_invalidate_cycles"])
    cost.hold_cycles[at] = np.where(stream.args[at, 0] == 1, whole, line)


def _issue(stream: InstructionStream, spec: ChipSpec, cost: StreamCost) -> None:
    """Issue cycles: one slot for the instruction, two (set and wait) for each pipe of the core it waits for.

    A wait for the same pipe is one pipe barrier. Results of the scalar unit are operands and need no flag;
    other cores are waited for by CROSS_SET and CROSS_WAIT instructions of their own.
    """
    n = len(stream)
    consumer = np.repeat(np.arange(n), np.diff(stream.dep_offsets))
    producer = stream.dep_indices
    own_core = stream.core[consumer] == stream.core[producer]
    flagged = own_core & (cost.pipe[producer] != Pipe.S) & (cost.pipe[consumer] != Pipe.S)
    pairs = np.unique(consumer[flagged].astype(np.int64) * len(Pipe) + cost.pipe[producer[flagged]])
    waits = pairs // len(Pipe)
    slots = np.where(pairs % len(Pipe) == cost.pipe[waits], 1, 2)
    flags = np.bincount(waits, weights=slots, minlength=n)
    issue = spec["scalar.issue_cycles"] + flags * spec["sync.flag_issue_cycles"]
    cost.issue_cycles[:] = np.where(cost.pipe == Pipe.S, 0, _whole(issue))


def _whole(cycles: np.ndarray | float) -> np.ndarray:
    """Rounded up to whole cycles; a float that is whole but for rounding noise stays."""
    return np.ceil(np.asarray(cycles) - 1e-9).astype(np.int64)
