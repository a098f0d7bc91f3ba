"""A session of many kernel runs, such as a test suite: it counts them and keeps none."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from pto_sim.backend import Session, SessionResult, failing_findings


@dataclass
class RunTally(Session):
    """Counts of kernel runs. findings: runs with a finding that fails them, by code."""

    runs: int = 0
    faults: int = 0
    findings: Counter[str] = field(default_factory=Counter)

    def record(self, result: SessionResult) -> None:
        """Count a run; nothing of it is kept."""
        self.runs += 1
        self.faults += result.run.fault is not None
        failing = failing_findings(result.run.findings, self.options.fail_on)
        self.findings.update({finding.code for finding in failing})

    def record_compiled(self, kernel: str) -> None:
        """Nothing to count."""

    @classmethod
    def of(cls, session: Session) -> RunTally:
        """The counts of a session that has kept its runs."""
        tally = cls(session.options)
        for result in session.results:
            tally.record(result)
        return tally

    def counts(self) -> dict[str, Any]:
        """The counts as plain values, for another process."""
        return {"runs": self.runs, "faults": self.faults, "findings": dict(self.findings)}

    def add(self, counts: Mapping[str, Any]) -> None:
        """Add the counts of another process."""
        self.runs += counts["runs"]
        self.faults += counts["faults"]
        self.findings.update(counts["findings"])

    @property
    def failed(self) -> bool:
        """Whether a finding or a runtime error has failed a run, whatever the module made of it."""
        return bool(self.findings or self.faults)

    def line(self) -> str:
        """The counts in one line."""
        parts = [f"{self.runs} kernel run{'' if self.runs == 1 else 's'}", f"{self.faults} stopped by the runtime"]
        parts += [f"{count} with finding {code}" for code, count in sorted(self.findings.items())]
        return "pto-sim: " + ", ".join(parts)
