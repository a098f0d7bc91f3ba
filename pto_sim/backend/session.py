"""The session that a script runs in, and the choice of a backend.

A backend is registered under the entry point group `pto_sim.backends`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from importlib.metadata import entry_points
from typing import TYPE_CHECKING

from pto_sim.backend.runs import Backend, BackendRun, Progress
from pto_sim.program.errors import InputError
from pto_sim.program.launch import kernel_runner
from pto_sim.program.options import RunOptions

if TYPE_CHECKING:
    import numpy as np

ENTRY_POINT_GROUP = "pto_sim.backends"


@dataclass(frozen=True)
class SessionResult:
    """One kernel run of a session: what the backend gave and what the comparison said.

    passed: no runtime error and no failed comparison. error: the comparison's or the runtime's message.
    compared: False when the script had nothing to compare with.
    """

    run: BackendRun
    passed: bool
    error: str | None = None
    compared: bool = False


@dataclass
class Session:
    """Options for every kernel that a script runs, and the results so far (oldest first).

    compiled: names of kernels that the script only asked to compile.
    """

    options: RunOptions
    results: list[SessionResult] = field(default_factory=list)
    compiled: list[str] = field(default_factory=list)
    progress: Progress | None = None

    def record(self, result: SessionResult) -> None:
        """Add one finished run. The harness calls this after its comparison."""
        self.results.append(result)

    def record_compiled(self, kernel: str) -> None:
        """Note that a kernel was compiled and not run. Backends call this."""
        self.compiled.append(kernel)

    def run_direct(
        self, kernel: object, args: Sequence[object], config: object | None = None
    ) -> Mapping[str, np.ndarray]:
        """Run a kernel that the script called itself: nothing to compare, it passes unless the runtime stops it.

        config: pypto's, which `compat` applies for the scripts that it serves; it is None elsewhere.
        """
        run = select(self.options.backend).run(kernel, args, self.options, self.progress)
        self.record(SessionResult(run, passed=run.fault is None, error=str(run.fault) if run.fault else None))
        if run.fault is not None:
            raise run.fault
        return run.outputs


_session: ContextVar[Session | None] = ContextVar("pto_sim_session", default=None)


def current_session() -> Session | None:
    """The session that the running script belongs to, or None outside one."""
    return _session.get()


@contextmanager
def open_session(
    options: RunOptions, progress: Progress | None = None, session: Session | None = None
) -> Iterator[Session]:
    """Make a session current for the duration of a `with` block: a new one, or `session`."""
    session = session if session is not None else Session(options, progress=progress)
    token = _session.set(session)
    runner = kernel_runner.set(kernel_runner.get() or _run_in_session)  # one that serves a script knows more
    try:
        yield session
    finally:
        kernel_runner.reset(runner)
        _session.reset(token)


def _run_in_session(kernel: object, args: Sequence[object], config: object | None = None) -> Mapping[str, np.ndarray]:
    session = current_session()
    assert session is not None  # the runner is there only while a session is
    return session.run_direct(kernel, args, config)


def names() -> list[str]:
    """Names of every registered backend, sorted; 'sim' is always among them."""
    return sorted({"sim", *(point.name for point in entry_points(group=ENTRY_POINT_GROUP))})


def select(name: str = "sim") -> Backend:
    """The backend called `name`, ready to use.

    Raises InputError if there is none of that name, or if it cannot run on this machine.
    """
    backend = _load(name)
    missing = backend.available()
    if missing is not None:
        raise InputError(
            "PTO020",
            f"backend {name!r} cannot be used here",
            values=missing,
            hint=f"install what is missing, or use another backend: {', '.join(names())}",
        )
    return backend


def _load(name: str) -> Backend:
    for point in entry_points(group=ENTRY_POINT_GROUP):
        if point.name == name:
            backend: Backend = point.load()()
            return backend
    if name == "sim":  # a checkout that is on the path without being installed has no entry points
        from pto_sim.backend.sim import SimBackend

        return SimBackend()
    raise InputError(
        "PTO021",
        f"there is no backend called {name!r}",
        values=f"registered: {', '.join(names())}",
        hint="install the distribution that provides it (for 'npu': pto-sim-npu)",
    )
