"""args_dump: what each task found in its arguments and what it left there.

Schema: simpler docs/dfx/args-dump.md; for scalars, src/common/platform/shared/host/args_dump_collector.cpp and
src/common/platform/include/aicpu/args_dump_aicpu.h. The kernel runs a second time with a listener that knows the
arguments of every task from the first run; both runs give the same bits.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import IO, Any

import numpy as np

from pto_sim.lowering import LoweredProgram, TaskFacts
from pto_sim.program.dtypes import DTYPES
from pto_sim.program.events import Observer
from pto_sim.program.model import Program, ScalarArg, TaskArg, TaskRecord
from pto_sim.report.dfx.identities import NO_KERNEL, Identities

FOLDER = "dfx_outputs/args_dump"
MANIFEST, PAYLOAD = "args_dump.json", "args.bin"
LEVELS = (1, 2, 3)
BEFORE, AFTER = "before_dispatch", "after_completion"
_ROLES = {"INPUT": ("input", (BEFORE,)), "OUTPUT_EXISTING": ("output", (AFTER,)), "INOUT": ("inout", (BEFORE, AFTER))}
_SCALAR_NAMES = {"FP32": "uint64"}
"""A float reaches its slot as bits of 64 (pypto: src/codegen/orchestration/orchestration_codegen.cpp, EncodeScalarVar),
so that is the type which the runtime notes."""
_NAMES = {"FP32": "float32", "FP16": "float16", "BF16": "bfloat16"}


@dataclass
class ArgumentDump(Observer):
    """Listens to a run of `program` and keeps the arguments.

    level: 1 what the author marked, 2 everything, 3 everything described and what is marked with its bytes.
    payload: a temporary file with the bytes, in order.
    """

    program: Program
    lowered: LoweredProgram
    numbers: Identities
    level: int
    payload: IO[bytes] = field(default_factory=tempfile.TemporaryFile)
    entries: list[dict[str, Any]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._elements: dict[int, Callable[[], np.ndarray]] = {}
        self._task_of = {facts.record: facts for facts in self.lowered.facts if facts.record >= 0}

    def on_restart(self) -> None:
        self._elements.clear()
        self.entries.clear()
        self.payload.seek(0)
        self.payload.truncate()

    def on_tensor(self, tensor: int, elements: Callable[[], np.ndarray]) -> None:
        self._elements[tensor] = elements

    def on_task_begin(self, task: int, name: str, blocks: int) -> None:
        self._dump(task, BEFORE)

    def on_task_end(self, task: int, record: TaskRecord) -> None:
        self._dump(task, AFTER)

    def manifest_text(self) -> str:
        """The text of args_dump.json."""
        stages = [entry["stage"] for entry in self.entries]
        roles = [entry["role"] for entry in self.entries]
        has_payload = self.level != 3 or any(entry["bin_size"] for entry in self.entries)
        document = {
            "run_dir": "args_dump",
            "bin_format": {"type": "logical_contiguous", "byte_order": "little_endian"},
            "dump_args_level": self.level,
            "total_args": len(self.entries),
            "before_dispatch": stages.count(BEFORE),
            "after_completion": stages.count(AFTER),
            **{f"{role}_args": roles.count(role) for role in ("input", "output", "inout")},
            "truncated_args": 0,
            "dropped_records": 0,
            "dropped_overwrite": 0,
            "bin_file": PAYLOAD if has_payload else None,
            "args": self.entries,
        }
        return json.dumps(document, indent=1) + "\n"

    def _dump(self, task: int, stage: str) -> None:
        record = self.program.tasks[task]
        for place, arg, role, stages in self._arguments(record, task):
            marked = arg.tensor in record.dumped
            if stage in stages and (marked or self.level != 1):
                self.entries.append(self._entry(task, place, arg, role, stage, marked or self.level == 2))
        if stage == BEFORE and self.level != 1:  # the author's marks name tensors only
            for place, scalar in enumerate(record.scalars, len(self._task_of[task].directions)):
                self.entries.append(self._scalar_entry(task, place, scalar))

    def _arguments(self, record: TaskRecord, task: int) -> Iterator[tuple[int, TaskArg, str, tuple[str, ...]]]:
        directions = self._task_of[task].directions
        for place, (arg, (_, direction)) in enumerate(zip(record.args, directions, strict=False)):
            role, stages = _ROLES[direction]
            yield place, arg, role, stages

    def _entry(self, task: int, place: int, arg: TaskArg, role: str, stage: str, payload: bool) -> dict[str, Any]:
        facts, info = self._task_of[task], self.program.tensors[arg.tensor]
        data = self._bytes(arg) if payload else b""
        begin = self.payload.tell()
        self.payload.write(data)
        return {
            **self._task_entry(facts, role, stage, place),
            "kind": "tensor",
            "dtype": _NAMES.get(info.dtype, info.dtype.lower()),
            "shape": list(arg.shape),
            "strides": list(arg.strides),
            "start_offset": arg.offset,
            "is_contiguous": _contiguous(arg),
            "truncated": False,
            "overwritten": False,
            "bin_offset": begin,
            "bin_size": len(data),
        }

    def _scalar_entry(self, task: int, place: int, scalar: ScalarArg) -> dict[str, Any]:
        return {
            **self._task_entry(self._task_of[task], "input", BEFORE, place),
            "kind": "scalar",
            "dtype": _SCALAR_NAMES.get(scalar.dtype, scalar.dtype.lower()),
            "value": _value(scalar),
            "shape": [],
            "strides": [],
            "start_offset": 0,
            "is_contiguous": True,
            "truncated": False,
            "overwritten": False,
            "bin_offset": 0,
            "bin_size": 0,
        }

    def _task_entry(self, facts: TaskFacts, role: str, stage: str, place: int) -> dict[str, Any]:
        return {
            "task_id": f"0x{self.numbers.task_ids[facts.task]:016x}",
            "func_id": [kernel for kernel in self.numbers.kernel_ids[facts.task] if kernel != NO_KERNEL],
            "role": role,
            "stage": stage,
            "arg_index": place,
        }

    def _bytes(self, arg: TaskArg) -> bytes:
        flat = self._elements[arg.tensor]()
        strides = tuple(stride * flat.itemsize for stride in arg.strides)
        return np.lib.stride_tricks.as_strided(flat[arg.offset :], arg.shape, strides).tobytes()


def _value(scalar: ScalarArg) -> int | bool:
    """The number in a slot, read as its type; the bits themselves for a float."""
    if scalar.dtype == "BOOL":
        return bool(scalar.bits)
    width = 8 * DTYPES[scalar.dtype].nbytes
    signed = DTYPES[scalar.dtype].kind == "int" and scalar.bits >> (width - 1)
    return scalar.bits - (1 << width) if signed else scalar.bits


def _contiguous(arg: TaskArg) -> bool:
    expected = 1
    for extent, stride in zip(reversed(arg.shape), reversed(arg.strides), strict=True):
        if extent != 1 and stride != expected:
            return False
        expected *= extent
    return True
