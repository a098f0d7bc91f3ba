"""Barriers that wait for blocks which cannot start (PTO437)."""

from __future__ import annotations

from collections.abc import Iterator

from pto_sim.checks.catalogue import BARRIER_OF_WAVES
from pto_sim.checks.check import Check, site_text
from pto_sim.program.events import RunEnd
from pto_sim.program.findings import Finding
from pto_sim.program.model import Program, TaskRecord
from pto_sim.program.task_graph import TaskGraph


class Barriers(Check):
    """Looks at the soft barriers of tasks that have more blocks than there are cores for them.

    Such a block holds its core while it waits, so the blocks of a second wave never get one.
    """

    def __init__(self) -> None:
        self._program: Program | None = None
        self._graph: TaskGraph | None = None

    def on_run_end(self, end: RunEnd) -> None:
        """See `Observer`."""
        self._program = end.program

    def on_graph(self, graph: TaskGraph) -> None:
        """See `Check`."""
        self._graph = graph

    def findings(self) -> list[Finding]:
        """See `Check`."""
        program, graph = self._program, self._graph
        if program is None or graph is None:
            return []
        clusters, vectors = program.launch_cores
        found: dict[int, Finding] = {}
        for task in graph.tasks:
            cores, what = (vectors, "vector cores") if task.kind == "AIV" else (clusters, "clusters")
            if task.record < 0 or program.tasks[task.record].blocks <= cores:
                continue
            record = program.tasks[task.record]
            for site in _barriers(program, record):
                message = (
                    f"the {record.blocks} blocks of task {record.name!r} wait here for each other, and there are only "
                    f"{cores} {what} to run them"
                )
                launch = site_text(program, record.site)
                found.setdefault(site, BARRIER_OF_WAVES.at(site_text(program, site), message, other=launch))
        return list(found.values())


def _barriers(program: Program, record: TaskRecord) -> Iterator[int]:
    """Lines of the barriers that the blocks of a task come to."""
    for stream in sorted(set(record.block_streams.tolist())):
        for operation in program.streams[stream].ops:
            signature = program.signatures[operation.signature]
            if signature.op == "syncall":
                yield signature.site
