"""Lowers each distinct stream of a program once for each way it is used."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from ascend_model.workload import InstructionStream
from pto_sim.lowering.capacity import Capacity, merge_peaks, task_peaks
from pto_sim.lowering.instructions import LoweredStream, StreamLowering
from pto_sim.lowering.lanes import lanes_of
from pto_sim.lowering.lowered import L0Use, Pipe
from pto_sim.lowering.pipes import author_rings, size_pipe
from pto_sim.lowering.row_width import check_rows
from pto_sim.lowering.schedule import schedule
from pto_sim.lowering.storage import BufferKeys, lifetimes
from pto_sim.lowering.unit_split import UnitSplit, split_units, task_kind
from pto_sim.program.model import Program, TaskRecord


@dataclass(frozen=True)
class TaskShape:
    """What the streams of a task make of it. block_streams: int32 [blocks] into `instruction_streams()`."""

    kind: str
    pipe: Pipe | None
    block_streams: np.ndarray
    l0_tiles: tuple[L0Use, ...]
    peaks: Mapping[str, int]


class _Use(NamedTuple):
    """A stream as one kind of task uses it; slots per direction and slot bytes shape its hand-overs."""

    stream: int
    kind: str
    split: str
    slots: int
    slot_bytes: int


class StreamPool:
    """The lowered streams of a program."""

    def __init__(self, program: Program, pipe_slots: str) -> None:
        self.program, self.pipe_slots = program, pipe_slots
        self._alike: dict[tuple[object, ...], int] = {}
        self._representative: dict[int, int] = {}
        self._splits: dict[int, UnitSplit] = {}
        self._lowered: dict[_Use, int] = {}
        self._streams: list[LoweredStream] = []
        self._capacities: list[Capacity] = []
        self._l0_peaks: list[Mapping[str, int]] = []
        self._peaks: dict[tuple[int, ...], Mapping[str, int]] = {}

    def instruction_streams(self) -> tuple[InstructionStream, ...]:
        """All streams lowered so far."""
        return tuple(found.instructions for found in self._streams)

    def splits(self) -> dict[int, UnitSplit]:
        """Where the ops of each stream run, for the streams that `shape` has met."""
        return {stream: self._splits[like] for stream, like in self._representative.items()}

    def shape(self, record: TaskRecord) -> TaskShape:
        """Kind, pipe and lowered streams of one launch. Raises what `lower` raises."""
        if record.form == "dummy":
            return TaskShape("DUMMY", None, np.zeros(0, np.int32), (), {})
        alike = [self._first_like(stream) for stream in np.asarray(record.block_streams).tolist()]
        streams, inverse = np.unique(np.asarray(alike, np.int32), return_inverse=True)
        splits = [self._split(int(stream)) for stream in streams]
        units = 0
        for split in splits:
            units |= split.needs
        both_lanes = any(place.unit == "aiv1" for split in splits for place in split.places)
        kind = "MIX" if both_lanes else task_kind(units)
        transfers = [transfer for split in splits for transfer in (*split.transfers, *split.crossings)]
        rings = author_rings((self.program.streams[s] for s in streams), self.program.signatures)
        pipe = size_pipe(transfers, record.blocks, self.pipe_slots, record.slot_num, rings)
        numbers = np.array([self._lower(int(s), kind, record.split, pipe) for s in streams], dtype=np.int32)
        tiles = {tile: None for number in numbers for tile in self._streams[number].l0_tiles}
        peaks = self._peaks_of(tuple(numbers.tolist()))
        blocks = numbers[inverse].astype(np.int32) if len(numbers) else np.zeros(0, np.int32)
        return TaskShape(kind, pipe, blocks, tuple(tiles), peaks)

    def _peaks_of(self, numbers: tuple[int, ...]) -> Mapping[str, int]:
        """On-chip peaks of a task that runs these lowered streams."""
        if numbers not in self._peaks:
            on_chip = [task_peaks([self._capacities[n] for n in numbers])] if numbers else []
            self._peaks[numbers] = merge_peaks([*on_chip, *(self._l0_peaks[number] for number in numbers)])
        return self._peaks[numbers]

    def _first_like(self, stream: int) -> int:
        """The first stream that differs from this one in nothing but which tensors it uses: they are lowered alike.

        An iteration that allocates its scratch anew records a stream of its own, whose tensors have other numbers.
        """
        found = self._representative.get(stream)
        if found is None:
            tensors: dict[int, int] = {}
            ops = tuple(
                op if op.gm < 0 else op._replace(gm=tensors.setdefault(op.gm, len(tensors)))
                for op in self.program.streams[stream].ops
            )
            infos = [self.program.tensors[tensor] for tensor in tensors]
            key = ops, tuple((info.shape, info.dtype, info.nbytes, info.origin) for info in infos)
            found = self._representative[stream] = self._alike.setdefault(key, stream)
        return found

    def _split(self, stream: int) -> UnitSplit:
        if stream not in self._splits:
            self._splits[stream] = split_units(self.program.streams[stream], self.program)
        return self._splits[stream]

    def _lower(self, stream: int, kind: str, split_mode: str, pipe: Pipe | None) -> int:
        slots, slot_bytes = (pipe.slots_per_direction, pipe.slot_bytes) if pipe else (0, 0)
        use = _Use(stream, kind, split_mode if kind == "MIX" else "none", slots, slot_bytes)
        known = self._lowered.get(use)
        if known is not None:
            return known
        recorded, split = self.program.streams[stream], self._split(stream)
        lanes = lanes_of(kind, split_mode)
        order = schedule(recorded, split, max(1, slots), self.program.signatures)
        lives = lifetimes(recorded, split)
        capacity = Capacity(recorded, self.program, split, lives, BufferKeys(recorded, split, order), lanes, pipe)
        check_rows(recorded, self.program, split, lives)
        capacity.check()
        keys = BufferKeys(recorded, split, order, capacity.shallow_memories())
        lowered = StreamLowering(recorded, self.program, split, order, lives, keys, pipe, lanes).run()
        self._lowered[use] = len(self._streams)
        self._streams.append(lowered)
        self._capacities.append(capacity)
        self._l0_peaks.append(
            merge_peaks([capacity.l0_peaks(), {"left": lowered.left_bytes, "right": lowered.right_bytes}])
        )
        return self._lowered[use]
