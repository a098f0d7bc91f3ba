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
from typing import TYPE_CHECKING, Protocol, cast

from pto_sim.program.errors import InputError, RuntimeFault
from pto_sim.program.events import Observer
from pto_sim.program.launch import kernel_runner
from pto_sim.program.options import RunOptions
from pto_sim.report.build import build_report
from pto_sim.report.fault import runtime_fault
from pto_sim.report.model import RunReport
from pto_sim.report.products import products_of

if TYPE_CHECKING:
    import numpy as np

    from ascend_model.chipspec import ChipSpec
    from ascend_model.ring import RingSizes
    from ascend_model.timeline import HeapReading, Timeline
    from pto_sim.checks import Check
    from pto_sim.engine.arguments import EntryKernel
    from pto_sim.lowering import LoweredProgram
    from pto_sim.program.findings import Finding
    from pto_sim.program.model import Program

ENTRY_POINT_GROUP = "pto_sim.backends"

Progress = Callable[[str, str], None]
"""Called as progress(stage, detail): 'run', 'lower', 'heap', 'simulate' or 'check'; the kernel or task."""


@dataclass
class BackendRun:
    """What one kernel run gave.

    outputs: result of each Out and InOut parameter, by name in parameter order; empty after a fault (the
    runtime copies nothing back). written: bool mask of the elements that were written, None: all of them.
    heap: readings by name ('max_lag', 'prompt', 'simulated'); a backend without rings gives none.
    fault: the runtime error that stopped the run; fault_samples: scope records made before it.
    options: what it ran with, None if the caller's hold. stage_wall_s: host seconds by stage.
    artifacts: files that the backend left, by name.
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
    fault_samples: tuple[dict[str, object], ...] = ()
    options: RunOptions | None = None
    host_wall_s: float = 0.0
    stage_wall_s: dict[str, float] = field(default_factory=dict)
    artifacts: dict[str, Path] = field(default_factory=dict)

    def scope_reading(self) -> HeapReading | None:
        """The reading whose samples a run directory keeps: of the simulated run, else of the timing-free replay.

        After a fault, only what the runtime recorded before it.
        """
        if self.fault is not None:
            from ascend_model.timeline import HeapReading

            return HeapReading("max_lag", {}, (), self.fault_samples, 0, 0)
        return self.heap.get("simulated") or self.heap.get("max_lag")


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
        return SimBackend()
    raise InputError(
        "PTO021",
        f"there is no backend called {name!r}",
        values=f"registered: {', '.join(names())}",
        hint="install the distribution that provides it (for 'npu': pto-sim-npu)",
    )


def report_of(result: SessionResult, options: RunOptions) -> RunReport:
    """The report of one finished run, as `--json` writes it. `options` are the caller's; those of the run go first."""
    run = result.run
    options = run.options or options
    failing = failing_findings(run.findings, options.fail_on)
    failed = f"finding {failing[0].code} at {failing[0].site}: {failing[0].message}" if failing else None
    return build_report(
        kernel=run.kernel,
        backend=options.backend,
        numerics=options.numerics,
        variant=run.program.variant if run.program is not None else options.scopes,
        pipe_slots=options.pipe_slots,
        passed=result.passed and not failing,
        compared=result.compared,
        error=result.error or failed,
        fault=run.fault,
        outputs=run.outputs,
        written=run.written,
        heap=run.heap,
        timeline=run.timeline,
        findings=run.findings,
        products=products_of(run.program) if run.program is not None else (),
        wall_s=run.host_wall_s,
    )


def failing_findings(findings: Sequence[Finding], fail_on: tuple[str, ...] | None) -> list[Finding]:
    """The findings that fail a run: those with a code in `fail_on`, or of severity error if it is None."""
    if fail_on is None:
        return [finding for finding in findings if finding.severity == "error"]
    return [finding for finding in findings if finding.code in fail_on]


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

        entry = cast("EntryKernel", getattr(kernel, "entry", kernel))
        program = run_kernel(entry, args, options, ()).program
        if (session := current_session()) is not None:
            session.record_compiled(program.name)
        return lower(program, pipe_slots=options.pipe_slots)

    def run(
        self, kernel: object, args: Sequence[object], options: RunOptions, progress: Progress | None = None
    ) -> BackendRun:
        """See `Backend.run`. A ring fault is returned in `fault`, with the outputs dropped.

        Raises what the engine raises, and InputError for an unusable chip (PTO022) or ring size (PTO023).
        """
        from pto_sim.checks import new_checks
        from pto_sim.engine import run_kernel

        start = time.perf_counter()
        run = BackendRun(getattr(kernel, "name", "kernel"), {}, options=options)
        spec, sizes = _chip(options), _ring_sizes(options)
        checks = new_checks() if options.checks else []
        observers: list[Observer] = [*checks]
        if progress is not None:
            observers.append(_TaskProgress(run.kernel, progress))
        with _stage(run, "run", progress):
            entry = cast("EntryKernel", getattr(kernel, "entry", kernel))
            engine_run = run_kernel(entry, args, options, observers)
        run.outputs, run.written, run.program = engine_run.outputs, engine_run.written, engine_run.program
        _model(run, options, spec, sizes, progress)
        with _stage(run, "check", progress):
            _collect_findings(run, checks)
        if run.fault is not None:
            run.outputs, run.written = {}, {}
        run.host_wall_s = time.perf_counter() - start
        return run


def _collect_findings(run: BackendRun, checks: Sequence[Check]) -> None:
    """Show the checks the task graph, and take what they found."""
    from pto_sim.checks import suppress
    from pto_sim.lowering import task_graph

    if run.lowered is not None:
        graph = task_graph(run.lowered)
        for check in checks:
            check.on_graph(graph)
    found = [finding for check in checks for finding in check.findings()]
    run.findings = suppress(found, run.program) if run.program is not None and checks else found


class _TaskProgress(Observer):
    """Tells a progress display which task executes."""

    def __init__(self, kernel: str, progress: Progress) -> None:
        self._kernel, self._progress = kernel, progress

    def on_task_begin(self, task: int, name: str, blocks: int) -> None:
        self._progress("run", f"{self._kernel}: {name} ({blocks} blocks)")


def _chip(options: RunOptions) -> ChipSpec:
    from ascend_model.chipspec import ChipSpecError, load_chip

    try:
        return load_chip(options.chip)
    except ChipSpecError as error:
        raise InputError(
            "PTO022",
            "the chip cannot be used",
            values=str(error),
            hint="`pto-sim chips` lists the chips that ship with pto-sim",
        ) from error


def _ring_sizes(options: RunOptions) -> RingSizes:
    from ascend_model.ring import RingSizes

    try:
        return RingSizes(
            heap_bytes=options.ring_heap_bytes, task_window=options.ring_task_window, dep_pool=options.ring_dep_pool
        )
    except ValueError as error:
        raise InputError(
            "PTO023",
            "the ring heap sizes cannot be used",
            values=str(error),
            hint="--ring-heap N, or N,N,N,N: bytes of each ring, at least 1024",
        ) from error


def _model(run: BackendRun, options: RunOptions, spec: ChipSpec, sizes: RingSizes, progress: Progress | None) -> None:
    """Lower the program of `run`, read its heap and simulate its time; a ring fault stops it and is kept."""
    from ascend_model.heap import READINGS, read_heap
    from ascend_model.ring import RingFault
    from ascend_model.signals import StandstillError
    from pto_sim.lowering import lower

    assert run.program is not None
    with _stage(run, "lower", progress):
        run.lowered = lower(run.program, pipe_slots=options.pipe_slots)
    workload = run.lowered.workload
    try:
        with _stage(run, "heap", progress):
            for reading in READINGS:
                run.heap[reading] = read_heap(workload, sizes, reading)
        if options.timing:
            from ascend_model.chip import simulate

            with _stage(run, "simulate", progress):
                run.timeline = simulate(workload, spec, heap_bytes=sizes, progress=_simulation_progress(progress))
            run.heap["simulated"] = run.timeline.heap
    except RingFault as fault:
        run.fault = runtime_fault(fault)
        run.fault_samples = fault.samples
    except StandstillError as error:
        run.fault = RuntimeFault(100, "SCHEDULER_TIMEOUT", str(error), ring_state={"waits": dict(error.waits)})


def _simulation_progress(progress: Progress | None) -> Callable[[int, int, str], None] | None:
    """The chip model's (done, total, task) as our (stage, detail)."""
    if progress is None:
        return None
    show = progress
    return lambda done, total, task: show("simulate", f"{task} ({done} of {total} tasks)")


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
