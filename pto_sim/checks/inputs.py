"""Writes to arguments that are declared as inputs (PTO403, PTO404)."""

from __future__ import annotations

from pto_sim.checks.catalogue import INPUT_CHANGED, INPUT_WRITTEN_UNCHANGED
from pto_sim.checks.check import Check, site_text
from pto_sim.program.events import RunEnd
from pto_sim.program.findings import Finding
from pto_sim.program.model import Access, Program


class InputWrites(Check):
    """Groups writes by tensor and line; a line that changed no bit in the whole run is reported as information only."""

    def __init__(self) -> None:
        self._changed: dict[tuple[int, int], bool] = {}
        self._program: Program | None = None

    def on_access(self, task: int, access: Access) -> None:
        """See `Observer`."""
        if access.write:
            key = access.tensor, access.site
            changed = access.same is None or not access.same.all()
            self._changed[key] = self._changed.get(key, False) or changed

    def on_restart(self) -> None:
        """See `Observer`."""
        self._changed.clear()

    def on_run_end(self, end: RunEnd) -> None:
        """See `Observer`."""
        self._program = end.program
        for touched in end.orchestration:
            if touched.access.write:
                self._changed[touched.access.tensor, touched.access.site] = True

    def findings(self) -> list[Finding]:
        """See `Check`."""
        program, found = self._program, []
        if program is None:
            return []
        for (index, site), changed in sorted(self._changed.items()):
            tensor = program.tensors[index]
            if tensor.origin == "entry" and tensor.direction == "in":
                kind = INPUT_CHANGED if changed else INPUT_WRITTEN_UNCHANGED
                message = f"{tensor.name} is declared as an input and is written here"
                found.append(kind.at(site_text(program, site), message, allocation=site_text(program, tensor.site)))
        return found
