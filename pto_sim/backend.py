"""Backends: what can run a kernel. The simulator is the first; others are found by entry point.

A backend is an object with the methods of `Backend`, registered under the entry point group `pto_sim.backends`.
`select(name)` returns one that is usable on this machine or says what is missing. `Session` is what the command
line opens around a script: the options that the harness and direct kernel calls must use, and their results.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from importlib.metadata import entry_points
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from pto_sim.program.errors import InputError, RuntimeFault
from pto_sim.program.launch import kernel_runner
from pto_sim.program.options import RunOptions

if TYPE_CHECKING:
    import numpy as np

    from ascend_model.timeline import HeapReading, Timeline
    from pto_sim.lowering import LoweredProgram
    from pto_sim.program.findings import Finding
    from pto_sim.program.model import Program

ENTRY_POINT_GROUP = "pto_sim.backends"

Progress = Callable[[str, str], None]
"""Called as progress(stage, detail): stage 'run', 'lower', 'heap', 'simulate'; detail names the kernel or task."""


@dataclass
class BackendRun:
    """What one kernel run gave.

    outputs: result of each Out and InOut parameter, by name in parameter order; empty after a fault (the
    runtime copies nothing back). written: bool mask of the elements that were written, None: all of them.
    heap: readings by name ('max_lag', 'prompt', 'simulated'); a backend without rings gives none.
    fault: the runtime error that stopped the run. artifacts: files that the backend left, by name.
    """

    kernel: str
    outputs: dict[str, np.ndarray]
    written: dict[str, np.ndarray | None] = field(default_factory=dict)
    program: Program | None = None
    lowered: LoweredProgram | None = None
    timeline: Timeline | None = None
    heap: dict[str, HeapReading] = field(default_factory=dict)
    findings: list[Finding] = field(default_factory=list)
    fault: RuntimeFault | None = None
    host_wall_s: float = 0.0
    stage_wall_s: dict[str, float] = field(default_factory=dict)
    artifacts: dict[str, Path] = field(default_factory=dict)


class Backend(Protocol):
    """Anything that can run a kernel. `name` is what `--backend` takes."""

    name: str

    def available(self) -> str | None:
        """None if kernels can be run here, else what is missing and how to get it."""

    def compile(self, kernel: object, args: Sequence[object], options: RunOptions) -> object:
        """Prepare `kernel` for arguments like `args`, without running it."""

    def run(
        self, kernel: object, args: Sequence[object], options: RunOptions, progress: Progress | None = None
    ) -> BackendRun:
        """Run `kernel` on positional `args` (NumPy arrays and Python numbers, in parameter order).

        The arrays in `args` are left as they are; results are in `BackendRun.outputs`.
        """


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
    """Options for every kernel that a script runs, and the results so far (oldest first)."""

    options: RunOptions
    results: list[SessionResult] = field(default_factory=list)
    progress: Progress | None = None

    def record(self, result: SessionResult) -> None:
        """Add one finished run. The harness calls this after its comparison."""
        self.results.append(result)

    def run_direct(self, kernel: object, args: Sequence[object]) -> Mapping[str, np.ndarray]:
        """Run a kernel that the script called itself: nothing to compare, it passes unless the runtime stops it."""
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
def open_session(options: RunOptions, progress: Progress | None = None) -> Iterator[Session]:
    """Make a session current for the duration of a `with` block."""
    session = Session(options, progress=progress)
    token, runner_token = _session.set(session), kernel_runner.set(session.run_direct)
    try:
        yield session
    finally:
        kernel_runner.reset(runner_token)
        _session.reset(token)


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
        raise InputError("PTO020", f"backend {name!r} cannot be used here", values=missing,
                         hint=f"install what is missing, or use another backend: {', '.join(names())}")
    return backend


def _load(name: str) -> Backend:
    for point in entry_points(group=ENTRY_POINT_GROUP):
        if point.name == name:
            return point.load()()
    if name == "sim":  # a checkout that is on the path without being installed has no entry points
        return SimBackend()
    raise InputError("PTO021", f"there is no backend called {name!r}", values=f"registered: {', '.join(names())}",
                     hint="install the distribution that provides it (for 'npu': pto-sim-npu)")


class SimBackend:
    """The simulator: exact results first, then lowering, heap readings and time from the recorded program."""

    name = "sim"

    def available(self) -> str | None:
        """The simulator runs everywhere."""
        return None

    def compile(self, kernel: object, args: Sequence[object], options: RunOptions) -> LoweredProgram:
        """Run `kernel` for its recorded program and lower that, without heap readings or time."""
        from pto_sim.engine import run_kernel
        from pto_sim.lowering import lower

        return lower(run_kernel(kernel, args, options, ()).program, pipe_slots=options.pipe_slots)

    def run(
        self, kernel: object, args: Sequence[object], options: RunOptions, progress: Progress | None = None
    ) -> BackendRun:
        """See `Backend.run`. A ring fault is returned in `fault`, with the outputs dropped."""
        from pto_sim.checks import new_checks
        from pto_sim.engine import run_kernel

        start = time.perf_counter()
        checks = new_checks()
        engine_run = run_kernel(kernel, args, options, [check.observer for check in checks])
        program = engine_run.program
        run = BackendRun(program.name, dict(engine_run.outputs), dict(engine_run.written), program)
        run.stage_wall_s["run"] = time.perf_counter() - start
        _model(run, options, progress)
        run.findings.extend(finding for check in checks for finding in check.findings())
        if run.fault is not None:
            run.outputs, run.written = {}, {}
        run.host_wall_s = time.perf_counter() - start
        return run


def _model(run: BackendRun, options: RunOptions, progress: Progress | None) -> None:
    """Lower the program of `run`, read its heap and simulate its time; a ring fault stops it and is kept."""
    from ascend_model import chip, chipspec, heap, ring
    from pto_sim.lowering import lower

    assert run.program is not None
    with _stage(run, "lower", progress):
        run.lowered = lower(run.program, pipe_slots=options.pipe_slots)
    workload, capacities = run.lowered.workload, options.ring_heap_bytes
    try:
        with _stage(run, "heap", progress):
            for reading in ("max_lag", "prompt"):
                run.heap[reading] = heap.read_heap(workload, capacities, reading)
        if options.timing:
            with _stage(run, "simulate", progress):
                spec = chipspec.load_chip(options.chip)
                run.timeline = chip.simulate(workload, spec, heap_bytes=capacities)
            run.heap["simulated"] = run.timeline.heap
    except ring.RingFault as fault:
        run.fault = RuntimeFault(fault.code, fault.name, fault.message, ring_state=dict(fault.state),
                                 hint="raise --ring-heap, or free earlier with pl.scope()")


@contextmanager
def _stage(run: BackendRun, name: str, progress: Progress | None) -> Iterator[None]:
    """Tell `progress` about a stage and add its wall time to `run`."""
    if progress is not None:
        progress(name, run.kernel)
    start = time.perf_counter()
    try:
        yield
    finally:
        run.stage_wall_s[name] = time.perf_counter() - start
