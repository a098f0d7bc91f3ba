"""What lowering returns: a Workload for the hardware model, and facts of each task for the reports."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING

from ascend_model.workload import Workload

if TYPE_CHECKING:
    from pto_sim.lowering.unit_split import UnitSplit

CUBE_TO_VECTOR = "c2v"
VECTOR_TO_CUBE = "v2c"

MEMORIES = ("vec", "mat", "left", "right", "acc")


@dataclass(frozen=True)
class Pipe:
    """The hidden GM ring of a mixed task, one ring for each direction and block.

    directions: some of 'c2v' (cube to vector) and 'v2c'. slots: of one block over all directions.
    rings: (direction, slots, slot bytes) of each ring that the author sets up; without one the compiler does.
    total_bytes: what the task's gm_pipe_buffer takes in the heap, unrounded.
    """

    directions: tuple[str, ...]
    slot_bytes: int
    slots: int
    blocks: int
    rings: tuple[tuple[str, int, int], ...] = ()

    @property
    def slots_per_direction(self) -> int:
        """Slots of one ring: how far a producer may run ahead of its consumer."""
        return self.slots // len(self.directions) if self.directions else 0

    @property
    def total_bytes(self) -> int:
        """Bytes of the gm_pipe_buffer before rounding."""
        own = sum(slots * slot_bytes for _, slots, slot_bytes in self.rings)
        return self.blocks * (self.slots * self.slot_bytes + own)

    def ring_bytes(self, direction: str) -> int:
        """Bytes of the consumer's own copy of a direction's slots."""
        own = sum(slots * slot_bytes for found, slots, slot_bytes in self.rings if found == direction)
        return own + (self.slots_per_direction * self.slot_bytes if direction in self.directions else 0)


@dataclass(frozen=True)
class L0Use:
    """An L0 product (m, n, k) that a matmul of the task was cut into. dtype is that of the operands."""

    op: str
    m: int
    n: int
    k: int
    dtype: str


@dataclass(frozen=True)
class TaskFacts:
    """Reported facts of one task of the Workload.

    record: index into Program.tasks, -1 for an allocation batch. directions: (tensor name, direction) in
    argument order, directions as the runtime names them, the pipe buffer last. onchip_peak_bytes: by memory
    (vec, mat, left, right, acc), the largest over the task's streams. members: what an allocation batch owns, in order:
    ('tensor', index into Program.tensors) or ('pipe', index into Program.tasks of the launch whose buffer it is).
    """

    task: int
    name: str
    kind: str
    record: int = -1
    pipe: Pipe | None = None
    l0_tiles: tuple[L0Use, ...] = ()
    onchip_peak_bytes: Mapping[str, int] = field(default_factory=lambda: MappingProxyType({}))
    directions: tuple[tuple[str, str], ...] = ()
    members: tuple[tuple[str, int], ...] = ()

    @property
    def tensors(self) -> tuple[int, ...]:
        """Indices into Program.tensors of what an allocation batch owns."""
        return tuple(index for kind, index in self.members if kind == "tensor")


@dataclass(frozen=True)
class LoweredProgram:
    """A Workload, the facts of its tasks (same order) and the slot rule that sized the pipes.

    splits: where the ops of each stream of a launched task run, by stream of the program.
    """

    workload: Workload
    facts: tuple[TaskFacts, ...]
    pipe_slots: str
    splits: Mapping[int, UnitSplit] = field(default_factory=lambda: MappingProxyType({}))
