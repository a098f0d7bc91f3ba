"""Which elements of an entry tensor were written."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from pto_sim.program.events import OrchestrationAccess
from pto_sim.program.model import Access, Program

if TYPE_CHECKING:
    from pto_sim.engine.run import Run
    from pto_sim.engine.storage import Storage


def written_masks(program: Program, orchestration: Sequence[OrchestrationAccess] = ()) -> dict[str, np.ndarray | None]:
    """For each entry tensor, by name: a bool mask of the elements that a store reached, None if all were.

    Tensors that the kernel only reads have an all-False mask of their shape. An in-place argument is left out: the
    caller's values are there where nothing is written, and a mask would be as large as a cache.
    """
    writes: dict[int, list[Access]] = {}
    by_tasks = (access for task in program.tasks for access in task.accesses)
    for access in (*by_tasks, *(touched.access for touched in orchestration)):
        if access.write:
            writes.setdefault(access.tensor, []).append(access)
    result: dict[str, np.ndarray | None] = {}
    for index, info in enumerate(program.tensors):
        if info.origin != "entry" or info.direction == "inout":
            continue
        if index not in writes:
            # As large as an argument, and most arguments are only read: one element stands for all.
            result[info.name] = np.broadcast_to(np.False_, info.shape)
            continue
        mask = np.zeros(info.shape, bool)
        for access in writes[index]:
            _mark(mask.reshape(-1), access)
        result[info.name] = None if mask.all() else mask
    return result


def _mark(flat: np.ndarray, access: Access) -> None:
    for offset in access.offsets.tolist():
        box = np.lib.stride_tricks.as_strided(flat[offset:], access.shape, access.strides)
        box[...] = True


def take_host_values(run: Run, storage: Storage) -> None:
    """Give the elements of an entry output that nothing has written yet the caller's values.

    An atomic addition reads what it adds to, which makes an output an argument that is read and written (pypto:
    src/ir/op/tile_ops/memory.cpp, the argument effect of tile.store).
    """
    host, storage.host = storage.host, None
    assert host is not None
    mask = np.zeros(storage.flat.size, bool)
    for task in run.recorder.tasks:
        for access in task.accesses:
            if access.write and access.tensor == storage.tensor:
                _mark(mask, access)
    for touched in run.recorder.orchestration:
        if touched.access.write and touched.access.tensor == storage.tensor:
            _mark(mask, touched.access)
    if run.core is not None:
        for access in run.core.recorder.finished_accesses():
            if access.write and access.tensor == storage.tensor:
                _mark(mask, access)
    storage.flat[~mask] = host[~mask]
