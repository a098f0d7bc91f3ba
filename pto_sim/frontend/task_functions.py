"""Functions that become tasks when orchestration calls them: @pl.jit.incore, InCore methods, pl.submit."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from pto_sim.engine.launches import At, Spmd, launch_dummy
from pto_sim.engine.run import Run, require_run
from pto_sim.engine.task_ids import TaskId
from pto_sim.frontend.callee import KernelCallee
from pto_sim.frontend.kernel import InlineKernel
from pto_sim.program.errors import KernelError, UnsupportedError
from pto_sim.program.model import Site


class InCoreKernel(InlineKernel):
    """A device function. Called from orchestration it is one task of one block; inside a task, part of it."""

    owns_outputs = True
    role = "task"

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        run = require_run(f"'{self.name}'")
        if run.core is not None:
            return self.in_task(*args, **kwargs)
        with At(run, self.name, {}):
            _take_scalars(run, self, args, kwargs)
            return self.in_task(*args, **kwargs)


class ExternKernel(KernelCallee):
    """`@pl.jit.extern`: source of another language. It can be declared, not run."""

    role = "extern"

    def __init__(self, function: Callable[..., Any]) -> None:
        self.name = self.__name__ = function.__name__
        code = function.__code__
        self.site = Site(code.co_filename, code.co_firstlineno, function.__name__)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        raise UnsupportedError(
            f"the extern kernel '{self.name}'",
            site=require_run("an extern kernel").site(),
            hint="write the same computation with pl operators for a run here",
        )


class HostKernel(KernelCallee):
    """`@pl.jit.host`: an entry that spreads over chips. Several chips are not simulated."""

    role = "host"

    def __init__(self, function: Callable[..., Any]) -> None:
        self.name = self.__name__ = function.__name__
        code = function.__code__
        self.site = Site(code.co_filename, code.co_firstlineno, function.__name__)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        raise self.refusal()

    def variant(self, options: Any) -> Any:
        """Refused: see `refusal`."""
        raise self.refusal()

    def compile(self, *args: Any, **options: Any) -> Any:
        """Refused: see `refusal`."""
        raise self.refusal()

    lower = compile

    def refusal(self) -> UnsupportedError:
        """The error for a run of it."""
        return UnsupportedError(
            f"the multi-chip entry '{self.name}' (pl.jit.host)",
            site=self.site,
            hint="run the @pl.jit entry of one card",
        )


def _results(value: Any) -> tuple[Any, ...]:
    if value is None:
        return ()
    return tuple(value) if isinstance(value, (tuple, list)) else (value,)


_OPTIONS = ("deps", "dumps", "allow_early_resolve", "predicate", "sync_start", "optimizations", "name_hint")


def _launch(kernel: Any, args: tuple[Any, ...], blocks: Any, options: dict[str, Any], form: str) -> tuple[Any, ...]:
    run = require_run(f"pl.{form}")
    if not isinstance(kernel, InlineKernel):
        raise KernelError(
            "PTO206",
            f"pl.{form} takes a kernel function",
            site=run.site(),
            values=f"got {kernel!r}",
            hint=f"pl.{form}(kernel, *args): the function itself, not its call",
        )
    known = {name: options.pop(name) for name in _OPTIONS if name in options}
    if run.core is not None:
        raise KernelError(
            "PTO204",
            "a task cannot launch another task",
            site=run.site(),
            values=f"pl.{form} inside the body of a task",
            hint="launch both from the orchestration",
        )
    predicate = known.get("predicate")
    if predicate is not None and not bool(predicate):
        return (*[arg for arg, p in zip(args, kernel.parameters, strict=False) if p.is_written],
                launch_dummy(run, known.get("deps"), kernel.name))  # fmt: skip
    value: Any = None
    task = TaskId()
    if blocks is None:
        with At(run, kernel.name, known) as task:
            _take_scalars(run, kernel, args, options)
            value = kernel.in_task(*args, **options)
    else:
        launch = Spmd(run, blocks, kernel.name, run.lockstep and kernel.lockstep, known)
        for _ in launch:
            _take_scalars(run, kernel, args, options)
            value = kernel.in_task(*args, **options)
        task = launch.task_id
    return (*_results(value), task)


def _take_scalars(run: Run, kernel: InlineKernel, args: tuple[Any, ...], named: dict[str, Any]) -> None:
    """Note the scalars that a kernel function is launched with."""
    if run.task is not None:
        run.task.take_scalars(kernel.scalar_arguments(args, named))


def submit(kernel: Any, *args: Any, **options: Any) -> tuple[Any, ...]:
    """`out, tid = pl.submit(kernel, *args, deps=[...])`: one task, its results and its id.

    A false predicate= skips the task: its outputs stay, and what depends on it goes on.
    """
    return _launch(kernel, args, None, options, "submit")


def spmd_submit(kernel: Any, *args: Any, core_num: Any, **options: Any) -> tuple[Any, ...]:
    """`pl.submit` of `core_num` blocks."""
    return _launch(kernel, args, core_num, options, "spmd_submit")
