"""Scratch tensors that hold ring heap for nothing (PTO405, PTO406)."""

from __future__ import annotations

from pto_sim.checks.catalogue import SCRATCH_NEVER_READ, SCRATCH_NEVER_USED
from pto_sim.checks.check import Check, site_text
from pto_sim.program.events import RunEnd
from pto_sim.program.findings import Finding


class ScratchUse(Check):
    """Looks at every `pl.create_tensor` of the run for a task that wrote it and one that read it.

    A line that allocates in a loop is reported once, with how many of its buffers are concerned.
    """

    def __init__(self) -> None:
        self._findings: list[Finding] = []

    def on_run_end(self, end: RunEnd) -> None:
        """See `Observer`."""
        program = end.program
        written, read = _touched(end)
        groups: dict[tuple[int, str, str], list[int]] = {}
        for index, tensor in enumerate(program.tensors):
            if tensor.origin == "alloc" and index not in read:
                kind = SCRATCH_NEVER_READ if index in written else SCRATCH_NEVER_USED
                groups.setdefault((tensor.site, tensor.name, kind.code), []).append(tensor.nbytes)
        for (site, name, code), sizes in sorted(groups.items()):
            kind = SCRATCH_NEVER_READ if code == SCRATCH_NEVER_READ.code else SCRATCH_NEVER_USED
            times = f" ({len(sizes)} buffers)" if len(sizes) > 1 else ""
            self._findings.append(kind.at(site_text(program, site), f"{name}: {sum(sizes):,} bytes{times}"))

    def findings(self) -> list[Finding]:
        """See `Check`."""
        return self._findings


def _touched(end: RunEnd) -> tuple[set[int], set[int]]:
    """Indices of the tensors that a task or the orchestration wrote, and of those that one of them read."""
    accesses = [access for task in end.program.tasks for access in task.accesses]
    accesses += [touched.access for touched in end.orchestration]
    return {a.tensor for a in accesses if a.write}, {a.tensor for a in accesses if not a.write}
