"""GM boxes as the memory pipes see them: contiguous runs, and the distinct bytes that a task touches."""

from __future__ import annotations

from collections import defaultdict

import numpy as np

from pto_sim.lowering.dtypes import elements, itemsize_bytes
from pto_sim.program.model import Program, TaskRecord


def contiguous_runs(box: tuple[int, ...], tensor: tuple[int, ...]) -> tuple[int, int]:
    """(runs, elements of a run) of a box in a row-major tensor; a box of lower rank lacks leading axes."""
    box = (1,) * (len(tensor) - len(box)) + box
    run = 1
    for extent, full in zip(reversed(box), reversed(tensor), strict=False):
        run *= extent
        if extent != full:
            break
    return elements(box) // run if run else 0, run


def unique_gm_nbytes(record: TaskRecord, program: Program) -> tuple[int, int]:
    """Distinct GM bytes that all blocks of a task (read, written). Bytes read and written count in both."""
    groups: dict[tuple[int, bool, tuple[int, ...], tuple[int, ...]], list[np.ndarray]] = defaultdict(list)
    for access in record.accesses:
        groups[access.tensor, access.write, access.shape, access.strides].append(np.asarray(access.offsets))
    spans: dict[tuple[int, bool], list[tuple[np.ndarray, int]]] = defaultdict(list)
    for (tensor, write, shape, strides), offsets in groups.items():
        starts = np.unique(np.concatenate(offsets)) if len(offsets) > 1 or len(offsets[0]) > 1 else offsets[0]
        spans[tensor, write].append(_run_starts(starts, shape, strides))
    totals = [0, 0]
    for (tensor, write), found in spans.items():
        size = itemsize_bytes(program.tensors[tensor].dtype)
        totals[int(write)] += _union_length(found) * size
    return totals[0], totals[1]


def _run_starts(starts: np.ndarray, shape: tuple[int, ...], strides: tuple[int, ...]) -> tuple[np.ndarray, int]:
    """Starts of all contiguous runs of equal boxes, and the length of a run, in elements."""
    run = 1
    axes = sorted(((stride, extent) for extent, stride in zip(shape, strides, strict=True) if extent != 1))
    for stride, extent in axes:
        if stride == run:
            run *= extent
        else:
            # Boxes may overlap, so a start may stand here twice; the union counts it once.
            starts = (starts[:, None] + np.arange(extent, dtype=np.int64) * stride).reshape(-1)
    return (starts, run) if elements(shape) else (starts[:0], 0)


def _union_length(spans: list[tuple[np.ndarray, int]]) -> int:
    """Elements covered by the intervals [start, start + length)."""
    if len(spans) == 1 and len(spans[0][0]) == 1:  # one block with one box, as most tasks of a large graph have
        return spans[0][1]
    begin = np.concatenate([starts for starts, _ in spans])
    if not len(begin):
        return 0
    end = np.concatenate([starts + length for starts, length in spans])
    order = np.argsort(begin, kind="stable")
    begin, end = begin[order], end[order]
    reached = np.maximum.accumulate(end)
    before = np.concatenate((begin[:1], reached[:-1]))
    return int(np.maximum(0, end - np.maximum(begin, before)).sum())
