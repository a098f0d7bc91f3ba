"""Numbers under which the runtime knows tasks, kernels and buffers.

Task ids are (ring << 32) | local, where local counts the tasks of a ring (simpler: PTO2TaskId). A kernel has one id for
each core kind that it runs on. Buffers have addresses of a device whose memory is never used twice, so that one address
is one tensor.
"""

from __future__ import annotations

from dataclasses import dataclass

from ascend_model.isa import Core
from ascend_model.ring import OUTPUT_ALIGN_BYTES, RING_COUNT, block_nbytes
from pto_sim.lowering import LoweredProgram, task_graph

_ENTRY_BASE = 0x1000_0000_0000
_RING_BASE = 0x2000_0000_0000
_RING_SPAN = 0x0100_0000_0000
NO_KERNEL = -1


@dataclass(frozen=True)
class Identities:
    """task_ids: by task. kernel_ids: by task, the kernels on AIC, AIV0 and AIV1, -1 for none. kernel_names: by kernel
    id. addresses: by tensor of the program; pipe_addresses: by launch record, of its pipe buffer.
    pipe_owners: by launch record, the allocation batch of its pipe buffer. manual: by task."""

    task_ids: tuple[int, ...]
    kernel_ids: tuple[tuple[int, int, int], ...]
    kernel_names: tuple[str, ...]
    addresses: dict[int, int]
    pipe_addresses: dict[int, int]
    pipe_owners: dict[int, int]
    manual: tuple[bool, ...]


def identities(lowered: LoweredProgram, entry_nbytes: dict[int, int]) -> Identities:
    """The numbers of one run. entry_nbytes: sizes of the tensors that no task allocates, by tensor."""
    graph = task_graph(lowered)
    next_local = [0] * RING_COUNT
    ids: list[int] = []
    for task in graph.tasks:
        ids.append(task.ring << 32 | next_local[task.ring])
        next_local[task.ring] += 1
    kernel_ids, names = _kernels(lowered)
    addresses, pipes, owners = _addresses(lowered, [task.ring for task in graph.tasks])
    at = _ENTRY_BASE
    for tensor, nbytes in sorted(entry_nbytes.items()):
        if tensor not in addresses:
            addresses[tensor] = at
            at += _whole(nbytes)
    manual = tuple(task.manual for task in graph.tasks)
    return Identities(tuple(ids), kernel_ids, names, addresses, pipes, owners, manual)


def _kernels(lowered: LoweredProgram) -> tuple[tuple[tuple[int, int, int], ...], tuple[str, ...]]:
    """Kernel ids in the order of first launch; kernels of one name and different places get a number behind it."""
    streams = lowered.workload.streams
    known: dict[tuple[str, int, str], int] = {}
    names: list[str] = []

    def number(name: str, site: int, suffix: str) -> int:
        key = (name, site, suffix)
        if key not in known:
            known[key] = len(names)
            same = len({place for other, place, _ in known if other == name}) - 1
            names.append(f"{name}{f'_{same}' if same else ''}{suffix}")
        return known[key]

    result: list[tuple[int, int, int]] = []
    for task in lowered.workload.tasks:
        slots = [NO_KERNEL] * 3
        if task.kind == "MIX":
            used = {int(core) for stream in set(task.block_streams.tolist()) for core in set(streams[stream].core)}
            slots[0] = number(task.name, task.site, "_aic")
            vector = number(task.name, task.site, "_aiv")
            slots[1] = vector
            slots[2] = vector if int(Core.AIV1) in used else NO_KERNEL
        elif task.kind in ("AIC", "AIV"):
            slots[task.kind == "AIV"] = number(task.name, task.site, "")
        result.append((slots[0], slots[1], slots[2]))
    return tuple(result), tuple(names)


def _addresses(lowered: LoweredProgram, rings: list[int]) -> tuple[dict[int, int], dict[int, int], dict[int, int]]:
    """Addresses of allocated tensors and of pipe buffers, and the batches that own the latter."""
    head = [_RING_BASE + ring * _RING_SPAN for ring in range(RING_COUNT)]
    tensors: dict[int, int] = {}
    pipes: dict[int, int] = {}
    owners: dict[int, int] = {}
    for task, facts, ring in zip(lowered.workload.tasks, lowered.facts, rings, strict=True):
        at = head[ring]
        for (kind, index), nbytes in zip(facts.members, task.output_nbytes, strict=True):
            if kind == "tensor":
                tensors[index] = at
            else:
                pipes[index], owners[index] = at, task.id
            at += _whole(nbytes)
        head[ring] += block_nbytes(task.output_nbytes)
    return tensors, pipes, owners


def _whole(nbytes: int) -> int:
    return -(-nbytes // OUTPUT_ALIGN_BYTES) * OUTPUT_ALIGN_BYTES
