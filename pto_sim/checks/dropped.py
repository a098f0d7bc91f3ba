"""Outputs of any function that its source rebinds to an unrelated value (PTO407)."""

from __future__ import annotations

from pto_sim.checks.catalogue import WRITE_DROPPED
from pto_sim.checks.check import Check
from pto_sim.program.events import SourceNote
from pto_sim.program.findings import Finding


class DroppedWrites(Check):
    """Collects what the frontend saw in the source of the functions that ran."""

    def __init__(self) -> None:
        self._notes: list[SourceNote] = []

    def on_note(self, note: SourceNote) -> None:
        """See `Observer`."""
        if note.kind == "dropped write":
            self._notes.append(note)

    def on_restart(self) -> None:
        """See `Observer`."""
        self._notes.clear()

    def findings(self) -> list[Finding]:
        """See `Check`."""
        return [WRITE_DROPPED.at(str(note.site), f"{note.message} is only rebound") for note in self._notes]
