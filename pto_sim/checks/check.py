"""What a check is: an observer of one run that has something to say at its end."""

from __future__ import annotations

from collections.abc import Sequence

from pto_sim.program.events import Observer
from pto_sim.program.findings import Finding
from pto_sim.program.model import Program
from pto_sim.program.task_graph import TaskGraph


class Check(Observer):
    """Base of the checks. An instance serves one run."""

    def on_graph(self, graph: TaskGraph) -> None:
        """The tasks as the runtime orders them. Called after `on_run_end`, and not for a run that was not lowered."""

    def on_times(self, durations_us: Sequence[float]) -> None:
        """How long each task of the graph took, from when its producers were done to its last block's end. Called
        after `on_graph`, and not for a run without timing."""

    def findings(self) -> list[Finding]:
        """What was found. Call it after `on_run_end` and `on_graph`."""
        return []


def site_text(program: Program, site: int) -> str:
    """'file:line' of a site index."""
    return str(program.sites[site])
