"""The first operator at which the two numerics profiles part (PTO421), in a run that compares them."""

from __future__ import annotations

from pto_sim.checks.catalogue import PROFILES_PART
from pto_sim.checks.check import Check
from pto_sim.program.events import SourceNote
from pto_sim.program.findings import Finding


class ProfileParting(Check):
    """Keeps the first note; after it the profiles work on different operands."""

    def __init__(self) -> None:
        self._first: SourceNote | None = None

    def on_note(self, note: SourceNote) -> None:
        """See `Observer`."""
        if note.kind == "profiles part" and self._first is None:
            self._first = note

    def on_restart(self) -> None:
        """See `Observer`."""
        self._first = None

    def findings(self) -> list[Finding]:
        """See `Check`."""
        return [] if self._first is None else [PROFILES_PART.at(str(self._first.site), self._first.message)]
