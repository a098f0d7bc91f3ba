"""Results that `pypto.runtime` hands out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass
class RunResult:
    """Outcome of one test of pypto's own harness. execution_time: host seconds."""

    passed: bool
    test_name: str | None = None
    error: str | None = None
    execution_time: float | None = None
    profile: dict[str, Any] | None = None

    def __str__(self) -> str:
        verdict = "PASS" if self.passed else "FAIL"
        named = f"{verdict}: {self.test_name}" if self.test_name else verdict
        if self.error and not self.passed:
            named += f" - {self.error}" if self.test_name else f": {self.error}"
        return f"{named} ({self.execution_time:.2f}s)" if self.execution_time else named


RunResult.__test__ = False  # type: ignore[attr-defined]  # not a test class, whatever pytest makes of its name
