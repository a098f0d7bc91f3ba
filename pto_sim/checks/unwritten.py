"""Reads of elements that nothing has written: of scratch (PTO408, PTO410) and of output parameters (PTO409).

Order is that of the program: whether a write is also ordered before the read is what the race checks look at. What
another block of the same task writes counts as written, because such a pair is a race of its own (PTO433).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator

import numpy as np

from pto_sim.checks.catalogue import (
    OUTPUT_READ_UNWRITTEN,
    ROWS_READ_UNWRITTEN,
    SCRATCH_READ_UNWRITTEN,
    FindingKind,
)
from pto_sim.checks.check import Check, site_text
from pto_sim.checks.element_marks import ElementMarks
from pto_sim.checks.touches import elements
from pto_sim.program.events import RunEnd
from pto_sim.program.findings import Finding
from pto_sim.program.model import Access, Program, TaskRecord, TensorInfo


class UnwrittenReads(Check):
    """Follows the written elements of every scratch tensor and output through the run, access by access.

    A pair of lines, where it is read and where the tensor comes from, is reported once for each code, at its first
    read. Whole rows of a scratch tensor of which others are written are information only: a tile takes them in
    with its other rows, and a kernel that masks them, or drops what it computes of them, is right.
    """

    def __init__(self) -> None:
        self._findings: dict[tuple[int, int, str, str], Finding] = {}

    def on_run_end(self, end: RunEnd) -> None:
        """See `Observer`."""
        program = end.program
        written = {index: ElementMarks(math.prod(program.tensors[index].shape)) for index in _starts_empty(end)}
        for access, record in _in_order(end):
            marks = written.get(access.tensor)
            if marks is None or 0 in access.shape or not len(access.offsets):
                continue
            if access.write:
                marks.mark(access)
            elif access.atomic and program.tensors[access.tensor].origin == "entry":
                marks.mark_all()  # an atomic addition makes the parameter one that the caller's values reach
            elif marks.misses(access):
                self._judge(program, marks, access, record)

    def _judge(self, program: Program, marks: ElementMarks, access: Access, record: TaskRecord | None) -> None:
        tensor = program.tensors[access.tensor]
        place_of_read = access.site, tensor.site, tensor.name
        known = {code for *place, code in self._findings if tuple(place) == place_of_read}
        assert marks.marks is not None
        if known - {ROWS_READ_UNWRITTEN.code} or (known and not _ragged(marks.marks, tensor)):
            return
        read, missing = _elements(access), _unmarked(marks.marks, access, record)
        if not len(missing):
            return
        kind = _kind(marks.marks, missing, tensor)
        key = *place_of_read, kind.code
        if key in self._findings:
            return
        place = [int(i) for i in np.unravel_index(int(missing[0]), tensor.shape)] if tensor.shape else []
        reader = f"task {record.name!r} reads" if record is not None else "the orchestration reads"
        message = (
            f"{reader} {tensor.name}{place}, which nothing has written: so are {len(missing):,} of the {len(read):,} "
            "elements that are read here"
        )
        self._findings[key] = kind.at(
            site_text(program, access.site), message, allocation=site_text(program, tensor.site)
        )

    def findings(self) -> list[Finding]:
        """See `Check`."""
        return list(self._findings.values())


def _rows(marks: np.ndarray, tensor: TensorInfo) -> np.ndarray:
    """The marks by rows, those of the last axis."""
    return marks.reshape(-1, tensor.shape[-1] if tensor.shape else 1)


def _ragged(marks: np.ndarray, tensor: TensorInfo) -> bool:
    """Whether a row is written in part, or no row at all."""
    rows = _rows(marks, tensor)
    some, whole = rows.any(axis=1), rows.all(axis=1)
    return bool((some & ~whole).any()) or not some.any()


def _kind(marks: np.ndarray, missing: np.ndarray, tensor: TensorInfo) -> FindingKind:
    if tensor.origin == "entry":
        return OUTPUT_READ_UNWRITTEN
    rows = _rows(marks, tensor)
    untouched = not rows[np.unique(missing // rows.shape[1])].any()
    return ROWS_READ_UNWRITTEN if untouched and marks.any() else SCRATCH_READ_UNWRITTEN


def _starts_empty(end: RunEnd) -> Iterator[int]:
    """Tensors that hold nothing when they come to be, as far as anything reads them."""
    program = end.program
    read = {access.tensor for access, _ in _in_order(end) if not access.write}
    for index, tensor in enumerate(program.tensors):
        scratch, output = tensor.origin == "alloc", tensor.origin == "entry" and tensor.direction == "out"
        if (scratch and index in read) or (output and index in read):
            yield index


def _in_order(end: RunEnd) -> Iterator[tuple[Access, TaskRecord | None]]:
    """Every access of the run, with its task; None where the orchestration made it."""
    waiting = iter(end.orchestration)
    touched = next(waiting, None)
    for number, record in enumerate(end.program.tasks):
        while touched is not None and touched.before <= number:
            yield touched.access, None
            touched = next(waiting, None)
        yield from ((access, record) for access in record.accesses)
    while touched is not None:
        yield touched.access, None
        touched = next(waiting, None)


def _elements(access: Access) -> np.ndarray:
    """The distinct elements that an access touches."""
    return np.unique(np.concatenate([touched.reshape(-1) for _, touched, _ in elements(access)]))


def _unmarked(marks: np.ndarray, access: Access, record: TaskRecord | None) -> np.ndarray:
    """The elements of a read that are not marked and that no other block of its task writes."""
    blocks, places = _by_block([access])
    keep = marks[places] == 0
    blocks, places = blocks[keep], places[keep]
    if record is not None and record.blocks > 1:
        writes = [a for a in record.accesses if a.write and a.tensor == access.tensor and 0 not in a.shape]
        writers, written = _by_block(writes)
        first, last = _extremes(written, writers, len(marks))
        others = (first[places] <= last[places]) & ((first[places] != blocks) | (last[places] != blocks))
        places = places[~others]
    return np.unique(places)


def _by_block(accesses: Iterable[Access]) -> tuple[np.ndarray, np.ndarray]:
    """Block and element number of everything that accesses touch."""
    blocks: list[np.ndarray] = [np.zeros(0, np.int32)]
    places: list[np.ndarray] = [np.zeros(0, np.int64)]
    for access in accesses:
        for ids, touched, _ in elements(access):
            blocks.append(np.repeat(ids, touched.shape[1]))
            places.append(touched.reshape(-1))
    return np.concatenate(blocks), np.concatenate(places)


def _extremes(places: np.ndarray, blocks: np.ndarray, size: int) -> tuple[np.ndarray, np.ndarray]:
    """The smallest and the largest block that writes each element; smallest > largest where none does."""
    first, last = np.full(size, np.iinfo(np.int32).max, np.int32), np.full(size, -1, np.int32)
    np.minimum.at(first, places, blocks)
    np.maximum.at(last, places, blocks)
    return first, last
