"""The simulator as a backend."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, cast

from pto_sim.backend.collector import collector_paused
from pto_sim.backend.runs import BackendRun, Progress
from pto_sim.backend.session import current_session
from pto_sim.program.errors import InputError, Interrupted, RuntimeFault
from pto_sim.program.events import Observer
from pto_sim.program.options import RunOptions
from pto_sim.program.ring_environment import with_ring_sizes
from pto_sim.report.fault import runtime_fault

if TYPE_CHECKING:
    from ascend_model.chipspec import ChipSpec
    from ascend_model.ring import RingSizes
    from pto_sim.checks import Check
    from pto_sim.engine.arguments import EntryKernel
    from pto_sim.lowering import LoweredProgram


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
        options = with_ring_sizes(options)
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
        try:
            with collector_paused():
                _model(run, options, spec, sizes, progress)
                with _stage(run, "check", progress):
                    _collect_findings(run, checks)
        except KeyboardInterrupt:
            raise Interrupted(engine_run.program) from None
        if run.fault is not None:
            run.outputs, run.written = {}, {}
        else:
            _dump_arguments(run, entry, args, options)
        run.host_wall_s = time.perf_counter() - start
        return run


def _dump_arguments(run: BackendRun, entry: EntryKernel, args: Sequence[object], options: RunOptions) -> None:
    """Run the kernel again for the contents of its tasks' arguments, if they are asked for."""
    from pto_sim.engine import run_kernel
    from pto_sim.report.dfx.args_dump import ArgumentDump
    from pto_sim.report.dfx.files import DfxRequest, numbers_of

    level = DfxRequest.of(dict(options.runtime_cfg)).dump_args
    if level and run.program is not None and run.lowered is not None:
        run.dump = ArgumentDump(run.program, run.lowered, numbers_of(run.program, run.lowered), level)
        run_kernel(entry, args, options, [run.dump])


def _collect_findings(run: BackendRun, checks: Sequence[Check]) -> None:
    """Show the checks the task graph, and take what they found."""
    from pto_sim.checks import suppress
    from pto_sim.lowering import task_graph

    if run.lowered is not None:
        graph = task_graph(run.lowered, run.program if checks else None)
        times = None if run.timeline is None else [task.end_us - task.ready_us for task in run.timeline.tasks]
        for check in checks:
            check.on_graph(graph)
            if times is not None:
                check.on_times(times)
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
    from ascend_model.ring_advice import with_advice
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
        run.fault = runtime_fault(with_advice(fault, workload, sizes))
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
