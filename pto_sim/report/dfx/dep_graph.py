"""deps.json: every task, tensor and dependency of a run, each dependency with its reason.

Schema: simpler docs/dfx/dep-gen.md section 4 and src/a2a3/runtime/tensormap_and_ringbuffer/host/dep_gen_replay.cpp.
As there, tasks never retire, so the edges contain those that the running device would have skipped.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from pto_sim.lowering import LoweredProgram
from pto_sim.lowering.dependencies import DependencyTracker, EdgeNote
from pto_sim.lowering.lowered import TaskFacts
from pto_sim.program.model import Program, TaskArg
from pto_sim.report.dfx.identities import Identities

FILE_NAME = "dfx_outputs/deps.json"
UNTRACKED = "UNKNOWN"
"""How the schema writes an argument without automatic dependencies (NO_DEP)."""

_DTYPES = {
    "FP32": "FLOAT32", "FP16": "FLOAT16", "BF16": "BFLOAT16", "BOOL": "BOOL",
    **{f"{sign}INT{bits}": f"{sign}INT{bits}" for sign in ("", "U") for bits in (8, 16, 32, 64)},
}  # fmt: skip


def dep_graph_text(program: Program, lowered: LoweredProgram, numbers: Identities) -> str:
    """The file's text. program: what `lowered` was made from."""
    return json.dumps(dep_graph(program, lowered, numbers), separators=(",", ":")) + "\n"


def dep_graph(program: Program, lowered: LoweredProgram, numbers: Identities) -> dict[str, Any]:
    """The document. 64-bit numbers are decimal strings, for readers whose numbers have 53 bits."""
    writer = _Writer(program, lowered, numbers)
    tasks = [writer.task(facts) for facts in lowered.facts if facts.kind != "ALLOC"]
    edges = [writer.edge(note) for note in _notes(program, lowered, numbers)]
    return {"tasks": tasks, "tensors": list(writer.tensors.values()), "edges": edges}


def tensor_identity(address: int, version: int = 0) -> int:
    """FNV-1a over the 8 bytes of the address and the 4 of the version, little endian."""
    state = 0xCBF29CE484222325
    for byte in address.to_bytes(8, "little") + version.to_bytes(4, "little"):
        state = (state ^ byte) * 0x100000001B3 % 2**64
    return state


def _notes(program: Program, lowered: LoweredProgram, numbers: Identities) -> Iterator[EdgeNote]:
    """Why each edge exists. An explicit or creator edge counts once for a pair, and not after another one."""
    found: list[EdgeNote] = []
    tracker = DependencyTracker(program, found.append)
    for facts in lowered.facts:
        if facts.kind == "ALLOC":
            for tensor in facts.tensors:
                tracker.allocate(tensor, facts.task)
            continue
        recorded = program.tasks[facts.record]
        directions = tuple(direction for _, direction in facts.directions[: len(recorded.args)])
        owner = numbers.pipe_owners.get(facts.record)
        tracker.submit(facts.record, facts.task, directions, manual=numbers.manual[facts.task], pipe_owner=owner)
        seen: set[int] = set()
        for note in found:
            if note.match is not None or note.edge.producer not in seen:
                yield note
            seen.add(note.edge.producer)
        found.clear()


class _Writer:
    """Rows of the three tables; tensors are entered as they are met."""

    def __init__(self, program: Program, lowered: LoweredProgram, numbers: Identities) -> None:
        self.program, self.lowered, self.numbers = program, lowered, numbers
        self.tensors: dict[str, dict[str, Any]] = {}

    def task(self, facts: TaskFacts) -> dict[str, Any]:
        task, recorded = self.lowered.workload.tasks[facts.task], self.program.tasks[facts.record]
        directions = [direction for _, direction in facts.directions]
        args = [
            {"idx": place, "type": UNTRACKED if arg.no_dep else direction, **self._view(arg)}
            for place, (arg, direction) in enumerate(zip(recorded.args, directions, strict=False))
        ]
        if facts.record in self.numbers.pipe_addresses:
            args.append({"idx": len(args), "type": directions[-1], **self._pipe_view(facts)})
        return {
            "task_id": str(self.numbers.task_ids[facts.task]),
            "scope": "manual" if self.numbers.manual[facts.task] else "auto",
            "early_dispatch": task.early_resolve,
            "kernel_ids": list(self.numbers.kernel_ids[facts.task]),
            "block_num": max(1, len(task.block_streams)),
            "args": args,
        }

    def edge(self, note: EdgeNote) -> dict[str, Any]:
        row: dict[str, Any] = {
            "pred": str(self.numbers.task_ids[note.edge.producer]),
            "succ": str(self.numbers.task_ids[note.consumer]),
            "arg": note.arg,
            "source": note.edge.source,
            "flags": [name for name, given in (("wait", note.edge.wait), ("retain", note.edge.retain)) if given],
        }
        if note.arg < 0:
            return row
        if note.match is not None:
            row["overlap"] = note.match.overlap.value
        facts = self.lowered.facts[note.consumer]
        recorded = self.program.tasks[facts.record]
        view = self._view(recorded.args[note.arg]) if note.arg < len(recorded.args) else self._pipe_view(facts)
        row["tensor_id"] = view.pop("tensor_id")
        row.update({f"consumer_{key}": value for key, value in view.items()})
        if note.match is not None:
            region = note.match.region
            row["producer_shape"], row["producer_start_offset"] = list(region.shape), str(region.offset)
            row["producer_strides"] = list(region.strides)
        return row

    def _view(self, arg: TaskArg) -> dict[str, Any]:
        info = self.program.tensors[arg.tensor]
        elements = 1
        for extent in info.shape:
            elements *= extent
        return {
            "tensor_id": self._enter(self.numbers.addresses[arg.tensor], _DTYPES[info.dtype], elements),
            "dtype": _DTYPES[info.dtype],
            "shape": list(arg.shape),
            "start_offset": str(arg.offset),
            "strides": list(arg.strides),
        }

    def _pipe_view(self, facts: TaskFacts) -> dict[str, Any]:
        assert facts.pipe is not None
        nbytes = facts.pipe.total_bytes
        identity = self._enter(self.numbers.pipe_addresses[facts.record], "UINT8", nbytes)
        return {"tensor_id": identity, "dtype": "UINT8", "shape": [nbytes], "start_offset": "0", "strides": [1]}

    def _enter(self, address: int, dtype: str, elements: int) -> str:
        identity = str(tensor_identity(address))
        self.tensors.setdefault(
            identity,
            {"tensor_id": identity, "buffer_addr": str(address), "version": 0, "dtype": dtype,
             "buffer_numel": str(elements)},
        )  # fmt: skip
        return identity
