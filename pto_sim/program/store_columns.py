"""The parts of a Program that grow with the work it recorded, as flat int64 columns.

Operations, block lists and GM accesses are stored column by column. A ragged list is two columns: its values, and
`<name>_len`, how many of them belong to each owner.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import numpy as np

from pto_sim.program.json_codec import DecodeError
from pto_sim.program.model import Access, Program, Stream, TileOp

_RAGGED = (
    "op_ins", "block_streams", "access_blocks", "access_offsets", "access_shape", "access_strides", "access_same",
    "access_op",
)  # fmt: skip
COLUMNS = ("stream_len", "op", "access_len", "access", *_RAGGED, *(f"{name}_len" for name in _RAGGED))


def pack(program: Program) -> dict[str, np.ndarray]:
    """Columns of `program`, by the names in COLUMNS.

    `op` holds (signature, out, gm) for each operation, `access` holds (tensor, flags, site) for each access.
    """
    ops = [op for stream in program.streams for op in stream.ops]
    accesses = [access for task in program.tasks for access in task.accesses]
    columns = {
        "stream_len": _flat([[len(stream.ops)] for stream in program.streams]),
        "op": _flat([(op.signature, op.out, op.gm) for op in ops]),
        "access_len": _flat([[len(task.accesses)] for task in program.tasks]),
        "access": _flat([(access.tensor, _flags(access), access.site) for access in accesses]),
    }
    lists: dict[str, list[Sequence[int] | np.ndarray]] = {
        "op_ins": [op.ins for op in ops],
        "block_streams": [task.block_streams for task in program.tasks],
        "access_blocks": [access.blocks for access in accesses],
        "access_offsets": [access.offsets for access in accesses],
        "access_shape": [access.shape for access in accesses],
        "access_strides": [access.strides for access in accesses],
        "access_same": [() if access.same is None else access.same for access in accesses],
        "access_op": [access.op if isinstance(access.op, np.ndarray) else (access.op,) for access in accesses],
    }
    for name, rows in lists.items():
        columns[name] = _flat(rows)
        columns[f"{name}_len"] = np.array([len(row) for row in rows], np.int64)
    return columns


def unpack(program: Program, columns: dict[str, np.ndarray]) -> None:
    """Fill the streams, block lists and accesses of `program` from `columns`. Raises DecodeError if they do not fit."""
    ragged = {name: list(_rows(columns, name)) for name in _RAGGED}
    ops = [
        TileOp(signature, out, tuple(ins.tolist()), gm)
        for (signature, out, gm), ins in _paired(_triples(columns, "op"), ragged["op_ins"], "op_ins")
    ]
    program.streams.extend(Stream(tuple(part)) for part in _split(ops, columns["stream_len"], "stream_len"))
    for task, streams in _paired(program.tasks, ragged["block_streams"], "block_streams"):
        task.block_streams = streams.astype(np.int32)
    boxes = zip(*(_same_length(ragged[name], columns["access"], name) for name in _RAGGED[2:]), strict=True)
    accesses = [
        Access(
            tensor,
            bool(flags & 1),
            site,
            blocks.astype(np.int32),
            offsets,
            tuple(shape.tolist()),
            tuple(steps.tolist()),
            bool(flags & 2),
            flags >> 2,
            same.astype(np.bool_) if len(same) else None,
            op.astype(np.int32) if len(op) != 1 else int(op[0]),
        )
        for (tensor, flags, site), (blocks, offsets, shape, steps, same, op) in zip(
            _triples(columns, "access"), boxes, strict=True
        )
    ]
    parts = list(_split(accesses, columns["access_len"], "access_len"))
    for task, part in _paired(program.tasks, parts, "access_len"):
        task.accesses.extend(part)


def _flags(access: Access) -> int:
    """write, atomic and phase in one number: bit 0, bit 1, and the rest."""
    return int(access.write) | int(access.atomic) << 1 | access.phase << 2


def check_indices(program: Program) -> None:
    """Raise DecodeError if `program` points at a site, signature, stream, tensor or task that it does not have."""
    sites, tensors, tasks = len(program.sites), len(program.tensors), len(program.tasks)
    _within([signature.site for signature in program.signatures], sites, "site of a signature")
    _within([tensor.site for tensor in program.tensors], sites, "site of a tensor")
    _within([event.site for event in program.events], sites, "site of an event")
    for stream in program.streams:
        _within([op.signature for op in stream.ops], len(program.signatures), "signature of an operation")
        _within([op.gm + 1 for op in stream.ops], tensors + 1, "tensor of an operation")
    for task in program.tasks:
        _within([task.site], sites, "site of a task")
        _within(task.block_streams, len(program.streams), "stream of a block")
        _within([arg.tensor for arg in task.args], tensors, "tensor of an argument")
        _within(task.explicit_deps, tasks, "task of a dependency")
        _within([access.tensor for access in task.accesses], tensors, "tensor of an access")
        _within([access.site for access in task.accesses], sites, "site of an access")
    for event in program.events:
        if event.kind in ("read", "write"):
            _check_view(event.value, tensors, event.kind)
    for kind, limit in (("alloc", tensors), ("task", tasks)):
        values = [event.value for event in program.events if event.kind == kind]
        if any(type(value) is not int for value in values):
            raise DecodeError(f"an event '{kind}' without a number")
        _within(values, limit, f"number of an event '{kind}'")  # type: ignore[arg-type]


def _check_view(value: object, tensors: int, kind: str) -> None:
    """An access of the orchestrator itself: tensor, offset, shape, strides."""
    where = f"value of an event '{kind}'"
    if not isinstance(value, tuple) or len(value) != 4 or [type(part) for part in value[:2]] != [int, int]:
        raise DecodeError(f"{where}: expected [tensor, offset, shape, strides]")
    tensor, offset, shape, strides = value
    _within([tensor], tensors, f"tensor in the {where}")
    if offset < 0 or not all(isinstance(part, tuple) and all(type(n) is int for n in part) for part in value[2:]):
        raise DecodeError(f"{where}: expected an offset of 0 or more and lists of integers")
    if len(shape) != len(strides):
        raise DecodeError(f"{where}: {len(shape)} extents and {len(strides)} strides")


def _within(indices: Sequence[int] | np.ndarray, limit: int, what: str) -> None:
    if len(indices) and not (min(indices) >= 0 and max(indices) < limit):
        raise DecodeError(f"{what} is out of range: {min(indices)}..{max(indices)}, there are {limit}")


def _flat(rows: Sequence[Sequence[int] | np.ndarray]) -> np.ndarray:
    if not rows:
        return np.zeros(0, np.int64)
    return np.concatenate([np.asarray(row, np.int64) for row in rows])


def _triples(columns: dict[str, np.ndarray], name: str) -> list[list[int]]:
    if len(columns[name]) % 3:
        raise DecodeError(f"{name}: not a multiple of three values")
    return columns[name].reshape(-1, 3).tolist()


def _rows(columns: dict[str, np.ndarray], name: str) -> Iterator[np.ndarray]:
    """The rows of a ragged list."""
    lengths, values = columns[f"{name}_len"], columns[name]
    ends = _ends(lengths, len(values), name)
    for length, end in zip(lengths.tolist(), ends.tolist(), strict=True):
        yield values[end - length : end]


def _split(items: list, lengths: np.ndarray, name: str) -> Iterator[list]:
    ends = _ends(lengths, len(items), name)
    for length, end in zip(lengths.tolist(), ends.tolist(), strict=True):
        yield items[end - length : end]


def _ends(lengths: np.ndarray, total: int, name: str) -> np.ndarray:
    """Running sums of `lengths`, which must be within [0, total] and sum to it."""
    if len(lengths) and (lengths.min() < 0 or lengths.max() > total):
        raise DecodeError(f"{name}: a length is out of range")
    ends = np.cumsum(lengths)
    if (int(ends[-1]) if len(ends) else 0) != total:
        raise DecodeError(f"{name}: lengths do not add up to {total}")
    return ends


def _same_length(rows: list[np.ndarray], triples: np.ndarray, name: str) -> list[np.ndarray]:
    if len(rows) * 3 != len(triples):
        raise DecodeError(f"{name}: {len(rows)} rows for {len(triples) // 3} accesses")
    return rows


def _paired(owners: Sequence, rows: Sequence, name: str) -> Iterable:
    if len(owners) != len(rows):
        raise DecodeError(f"{name}: {len(rows)} rows for {len(owners)} owners")
    return zip(owners, rows, strict=True)
