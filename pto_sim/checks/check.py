"""What a check is: an observer of one run that has something to say at its end."""

from __future__ import annotations

from pto_sim.program.events import Observer
from pto_sim.program.findings import Finding
from pto_sim.program.model import Program


class Check(Observer):
    """Base of the checks. An instance serves one run."""

    def findings(self) -> list[Finding]:
        """What was found. Call it after `on_run_end`."""
        return []


def site_text(program: Program, site: int) -> str:
    """'file:line' of a site index."""
    return str(program.sites[site])
