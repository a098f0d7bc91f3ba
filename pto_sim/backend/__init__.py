"""Backends: what can run a kernel. The simulator is the first; others are found by entry point.

A backend is an object with the methods of `Backend`, registered under the entry point group `pto_sim.backends`.
`select(name)` returns one that is usable on this machine or says what is missing. `Session` is what the command
line opens around a script: the options that the harness and direct kernel calls must use, and their results.
"""

from pto_sim.backend.results import artifacts_of, failing_findings, report_of
from pto_sim.backend.runs import Backend, BackendRun, Progress
from pto_sim.backend.session import Session, SessionResult, current_session, names, open_session, select
from pto_sim.backend.sim import SimBackend

__all__ = [
    "Backend",
    "BackendRun",
    "Progress",
    "Session",
    "SessionResult",
    "SimBackend",
    "artifacts_of",
    "current_session",
    "failing_findings",
    "names",
    "open_session",
    "report_of",
    "select",
]
