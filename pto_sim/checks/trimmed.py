"""Windows of tensors that overhang their tensor's end (PTO422)."""

from __future__ import annotations

from pto_sim.checks.catalogue import WINDOW_TRIMMED
from pto_sim.checks.check import Check
from pto_sim.program.events import SourceNote
from pto_sim.program.findings import Finding


class TrimmedWindows(Check):
    """Keeps the first trimmed window of each line."""

    def __init__(self) -> None:
        self._first: dict[str, str] = {}

    def on_note(self, note: SourceNote) -> None:
        """See `Observer`."""
        if note.kind == "trimmed window":
            self._first.setdefault(str(note.site), note.message)

    def on_restart(self) -> None:
        """See `Observer`."""
        self._first.clear()

    def findings(self) -> list[Finding]:
        """See `Check`."""
        return [WINDOW_TRIMMED.at(site, message) for site, message in self._first.items()]
