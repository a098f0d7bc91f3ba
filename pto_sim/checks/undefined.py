"""Indices outside what they count in, in the profile that has a value for them (PTO420)."""

from __future__ import annotations

from pto_sim.checks.catalogue import UNDEFINED_INDEX
from pto_sim.checks.check import Check
from pto_sim.program.events import SourceNote
from pto_sim.program.findings import Finding


class UndefinedIndices(Check):
    """Keeps the first bad index of each line; the profile `a2a3` raises an error there instead."""

    def __init__(self) -> None:
        self._first: dict[str, str] = {}

    def on_note(self, note: SourceNote) -> None:
        """See `Observer`."""
        if note.kind == "undefined index":
            self._first.setdefault(str(note.site), note.message)

    def on_restart(self) -> None:
        """See `Observer`."""
        self._first.clear()

    def findings(self) -> list[Finding]:
        """See `Check`."""
        return [UNDEFINED_INDEX.at(site, message) for site, message in self._first.items()]
