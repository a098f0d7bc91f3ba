"""One run of one kernel: its state, and `run_kernel`, which starts it."""

from __future__ import annotations

import contextlib
import os
import sys
from collections import ChainMap
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from pto_sim.engine.arguments import EntryArgument, EntryKernel
from pto_sim.engine.compute import Compute
from pto_sim.engine.core import CoreState
from pto_sim.engine.declared import DeclaredValue
from pto_sim.engine.entry_tensors import entry_tensor
from pto_sim.engine.function_facts import FunctionFacts
from pto_sim.engine.lanes import BlocksDisagreeError, LaneScalar, LaneSet
from pto_sim.engine.launches import TaskInProgress
from pto_sim.engine.memory import Memory
from pto_sim.engine.mistaken_calls import MISTAKES, mistaken_call
from pto_sim.engine.recorder import Recorder, accessed, cut_short
from pto_sim.engine.scalar_operands import ScalarOperand
from pto_sim.engine.scopes import Body, ScopeStack
from pto_sim.engine.settled import SettledInt
from pto_sim.engine.storage import Tensor
from pto_sim.engine.transfers import Transfers
from pto_sim.engine.turns import ForTurns
from pto_sim.engine.unbound import unbound_name
from pto_sim.engine.written import written_masks
from pto_sim.numerics.profiles import check_profile
from pto_sim.program.errors import InputError, Interrupted, KernelError, PtoError
from pto_sim.program.events import Observer, RunEnd, SourceNote
from pto_sim.program.model import Access, OpSignature, Program, Site
from pto_sim.program.options import RunOptions

_PACKAGE = str(Path(__file__).resolve().parent.parent) + os.sep
# Frames that are never the author's: ours, generated code, and context managers made of generators.
_FOREIGN = (_PACKAGE, "<", contextlib.__file__)
_current: ContextVar[Run | None] = ContextVar("pto_sim_run", default=None)


class CoreTurn(NamedTuple):
    """What changes when another core goes on: the core, the functions it is in, its loops with carried values."""

    core: CoreState | None
    functions: list[FunctionFacts]
    carrying: list[Any]


@dataclass(frozen=True)
class EngineRun:
    """What a run gave.

    outputs: by parameter name; an element that nothing wrote is zero. written: elements that were written, None
    for all of them.
    """

    outputs: dict[str, np.ndarray]
    written: dict[str, np.ndarray | None]
    program: Program


class Run:
    """The state of one run. Everything that a kernel touches leads here."""

    def __init__(
        self, options: RunOptions, observers: Sequence[Observer], variant: Any, serial: frozenset[str] = frozenset()
    ) -> None:
        self.serial = serial
        self.options, self.observers, self.variant = options, observers, variant
        self.recorder = Recorder()
        self.scopes = ScopeStack(self)
        self.core: CoreState | None = None
        self.task: TaskInProgress | None = None
        self.for_turns = ForTurns(self)
        self.compute = Compute(self)
        self.memory = Memory(self)
        self.transfers = Transfers(self)
        self._functions: list[FunctionFacts] = []
        self.extents: ChainMap[str, int] = ChainMap()
        self._told: set[SourceNote] = set()
        self.carrying: list[Any] = []
        self.chained = False  # the product that is called now is read by other products alone
        self.dumped: set[int] = set()
        self._user_code: dict[int, tuple[Any, bool]] = {}
        self._sites: dict[tuple[int, int], int] = {}
        self._loops: dict[tuple[str, int, int], tuple[int, int, int]] = {}

    # -- where we are -----------------------------------------------------------------------------

    @property
    def function_name(self) -> str:
        """The kernel function that is running."""
        return self._functions[-1].name if self._functions else ""

    @property
    def auto_scope(self) -> bool:
        """Whether the running function leaves scopes to the compiler, so that it may not place them itself."""
        return self._functions[-1].auto_scope

    @property
    def lockstep(self) -> bool:
        """Whether blocks of the running function may run as one batch."""
        return self.function_name not in self.serial and all(facts.lockstep for facts in self._functions)

    @property
    def barriers(self) -> bool:
        """Whether blocks of the running function meet at a barrier, so that all of them must run together."""
        return self._functions[-1].barriers

    @contextmanager
    def function(self, facts: FunctionFacts, extents: Mapping[str, int]) -> Iterator[None]:
        """A kernel function runs for the duration of a `with` block. extents: of its dynamic dimensions."""
        for note in facts.notes:
            self.tell(note)
        self._functions.append(facts)
        self.extents = self.extents.new_child(dict(extents))
        yield
        self.extents = self.extents.parents
        self._functions.pop()

    def tell(self, note: SourceNote) -> None:
        """Tell the observers once."""
        if note not in self._told:
            self._told.add(note)
            for observer in self.observers:
                observer.on_note(note)

    def fills_a_run(self, tensor: Tensor) -> bool:
        """Whether the scalar write at this line is part of a constant that the compiler stores as one run."""
        count, axis = self._functions[-1].fills.get(self.site().line, (0, 0)) if self._functions else (0, 0)
        later = tensor.shape[axis + 1 :]
        return count > 0 and count * tensor.dtype.nbytes % 32 == 0 and all(extent == 1 for extent in later)

    def scalar_operand(self, operator: str) -> ScalarOperand | None:
        """The type of the number that `operator` takes at this line, None if the source does not show it."""
        known = self._functions[-1].scalars if self._functions else None
        return known.get((self.recorder.sites[self.here()].line, operator)) if known else None

    def declared_value(self) -> DeclaredValue | None:
        """What an annotation says of the value that is assigned at this line, None if there is none."""
        declared = self._functions[-1].declared if self._functions else None
        return declared.get(self.recorder.sites[self.here()].line) if declared else None

    def _author_frame(self) -> Any:
        frame: Any = sys._getframe(2)
        known = self._user_code
        while frame is not None:
            code = frame.f_code
            entry = known.get(id(code))
            if entry is None:
                # The code object is kept, so that its id stays its own.
                entry = known[id(code)] = (code, not code.co_filename.startswith(_FOREIGN))
            if entry[1] and self._functions:
                return frame
            frame = frame.f_back
        return None

    def here(self) -> int:
        """Index of the author's line that is running."""
        frame = self._author_frame()
        if frame is None:
            return self.recorder.site(Site("(unknown)", 0, ""))
        # The instruction, not the line: Python finds a line number by a walk through the function's whole line table.
        key = (id(frame.f_code), frame.f_lasti)
        index = self._sites.get(key)
        if index is None:
            index = self._sites[key] = self.recorder.site(Site.of_frame(frame))
        return index

    def site(self) -> Site:
        """The author's line that is running."""
        frame = self._author_frame()
        return Site("(unknown)", 0, "") if frame is None else Site.of_frame(frame)

    def task_core(self, what: str) -> CoreState:
        """The cores of the running task. Raises KernelError (PTO204) in orchestration."""
        core = self.core
        if core is None:
            raise KernelError(
                "PTO204",
                f"{what} belongs in the body of a task",
                site=self.site(),
                values=f"found in the orchestration of '{self.function_name}'",
                hint="put it inside `for i in pl.spmd(n):` or `with pl.at(level=pl.Level.CORE_GROUP):`",
            )
        return core

    # -- cores that take turns ------------------------------------------------------------------------

    def state(self) -> CoreTurn:
        """What belongs to the core that is running."""
        return CoreTurn(self.core, self._functions, self.carrying)

    def restore(self, turn: CoreTurn) -> None:
        """Go on with the core of `turn`."""
        self.core, self._functions, self.carrying = turn

    def forked(self, core: CoreState) -> CoreTurn:
        """The state of a core that starts in the functions that are running now."""
        return CoreTurn(core, list(self._functions), [])

    # -- what happens -------------------------------------------------------------------------------

    def touch(
        self,
        tensor: Tensor,
        write: bool,
        site: int,
        offsets: np.ndarray,
        sizes: tuple[int, ...],
        lanes: LaneSet | None = None,
        atomic: bool = False,
        same: np.ndarray | None = None,
    ) -> None:
        """A task read or wrote boxes of a tensor on the active lanes, or each on the lane that `lanes` has for it."""
        core, task = self.core, self.task
        assert core is not None and task is not None
        argument = tensor.argument
        entry = task.arguments.setdefault(id(argument), (argument, [False, False]))
        entry[1][1 if write else 0] = True
        lanes = core.lanes if lanes is None else lanes
        box = (offsets, sizes, tensor.strides)
        touched = (tensor.storage.tensor, write, site, lanes, *box, atomic, core.phase, same, core.recorder.last())
        core.recorder.accesses.append(touched)
        if self.observers:
            access = accessed(touched)
            for observer in self.observers:
                observer.on_access(task.index, access)

    def orchestrated(self, tensor: Tensor, write: bool, offsets: np.ndarray, sizes: tuple[int, ...]) -> None:
        """The orchestration read or wrote boxes of a tensor: no task did, and no time is booked for it."""
        box = (offsets, sizes, tensor.strides)
        self.recorder.orchestrated(Access(tensor.storage.tensor, write, self.here(), np.zeros(1, np.int32), *box))

    def check_condition(self, condition: Any) -> None:
        """Raises KernelError (PTO252) if something else than a BOOL scalar decides an `if` or a `while`."""
        kind = condition.base.dtype.kind if isinstance(condition, LaneScalar) else ""
        if kind == "b" or isinstance(condition, (bool, np.bool_)):
            return
        scalar = kind or isinstance(condition, (int, float))
        raise KernelError(
            "PTO252",
            "a condition is a BOOL scalar",
            site=self.site(),
            values=f"got {type(condition).__name__} {condition!r}",
            hint="compare it: x != 0" if scalar else "read one element with pl.read and compare it",
        )

    @contextmanager
    def statement_list(self, kind: str) -> Iterator[None]:
        """One iteration or arm in orchestration; with automatic scopes, a scope of its own."""
        site = self.here()
        self.recorder.event("body_begin", kind, site)
        body = Body(kind, site)
        self.scopes.bodies.append(body)
        # Inlined statements have the scopes of the entry. Inside a manual scope the compiler places none of its own
        # (pypto: src/ir/transforms/materialize_runtime_scopes_pass.cpp).
        scoped = self._functions[0].auto_scope and not self.scopes.manual
        if scoped:
            self.scopes.open("auto", site, user=False)
        try:
            yield
        finally:
            if scoped:
                self.scopes.close()
            body.closed = True
            self.scopes.bodies.pop()
            self.recorder.event("body_end", None, site)

    def loop_signatures(self, kind: str, stage: int) -> tuple[int, int, int]:
        """Signatures of a loop's begin, iteration and end at this line."""
        site = self.here()
        key = (kind, stage, site)
        found = self._loops.get(key)
        if found is None:
            attrs = (("kind", kind), ("stage", stage))
            make = self.recorder.signature
            found = self._loops[key] = (
                make(OpSignature("loop.begin", (), None, attrs, site)),
                make(OpSignature("loop.iter", (), None, (), site)),
                make(OpSignature("loop.end", (), None, (), site)),
            )
        return found


def current_run() -> Run | None:
    """The run that is under way in this context, or None."""
    return _current.get()


def require_run(what: str) -> Run:
    """The current run. Raises InputError (PTO013) outside one."""
    run = _current.get()
    if run is None:
        raise InputError(
            "PTO013",
            f"{what} of the kernel language was used outside a kernel",
            hint="put it in a function decorated with @pl.jit, and call that function",
        )
    return run


def run_kernel(
    kernel: EntryKernel, args: Sequence[Any], options: RunOptions, observers: Sequence[Observer]
) -> EngineRun:
    """Run `kernel` on positional `args` (arrays and numbers, in parameter order) and record its Program.

    The caller's arrays stay as they are. Raises InputError for arguments that do not fit, KernelError and
    UnsupportedError for what the kernel does.
    """
    check_profile(options.numerics)
    variant = kernel.variant(options)
    arguments = kernel.entry_arguments(args)
    serial: frozenset[str] = frozenset()
    while True:
        run = Run(options, observers, variant, serial)
        try:
            return _attempt(run, kernel, arguments)
        except BlocksDisagreeError:
            # Blocks of one batch went apart where a batch cannot. What follows from the kernel function that
            # launched them runs block by block, and nothing of the first attempt is kept.
            task = run.task
            if task is None or task.launcher in serial or not task.batched:
                raise
            serial |= {task.launcher}
            for observer in observers:
                observer.on_restart()


def _attempt(run: Run, kernel: EntryKernel, arguments: Sequence[EntryArgument]) -> EngineRun:
    """One run from the first statement to the last."""
    observers, options, variant = run.observers, run.options, run.variant
    site = run.recorder.site(kernel.site)
    values: list[Any] = []
    tensors: dict[str, Tensor] = {}
    for argument in arguments:
        if argument.direction == "scalar":
            known = argument.specialised and type(argument.value) is int
            values.append(SettledInt(argument.value) if known else argument.value)
            continue
        assert argument.dtype is not None
        tensor = entry_tensor(run, argument.name, argument.direction, argument.value, argument.dtype, site)
        tensors[argument.name] = tensor
        values.append(tensor)
    token = _current.set(run)
    try:
        _execute(run, kernel, arguments, values, site)
    except UnboundLocalError as error:
        raise unbound_name(error) from error
    except KeyboardInterrupt:
        program = run.recorder.program(kernel.name, options.numerics, variant.describe())
        complete = len(program.tasks) if run.task is None else run.task.index
        raise Interrupted(cut_short(program, complete)) from None
    finally:
        _current.reset(token)
    program = run.recorder.program(kernel.name, options.numerics, variant.describe())
    outputs = {
        a.name: tensors[a.name].taken().view(a.carrier or a.value.dtype)
        for a in arguments
        if a.direction in ("out", "inout")
    }
    written = written_masks(program, run.recorder.orchestration)
    for observer in observers:
        observer.on_run_end(RunEnd(program, written, tuple(run.recorder.orchestration)))
    # What an in-place argument does not write keeps the caller's value, so all of it is defined.
    masks = {name: written.get(name) for name in outputs}
    for name, mask in masks.items():
        if mask is not None:
            # The fill that marks unwritten memory during the run is ours; a fresh host buffer holds zeros.
            outputs[name][~mask] = 0
    return EngineRun(outputs, masks, program)


def _execute(run: Run, kernel: EntryKernel, arguments: Sequence[EntryArgument], values: list[Any], site: int) -> None:
    facts = kernel.facts(run.variant)
    form = kernel.form(run.variant)
    with run.function(facts, kernel.extents(arguments)):
        if facts.auto_scope:
            run.scopes.open("auto", site, user=False)
        run.recorder.event("frame_begin", None, site)
        try:
            form(*values)
        except MISTAKES as error:
            mistake = None if isinstance(error, PtoError) else mistaken_call(error, _PACKAGE)
            if mistake is None:
                raise
            raise mistake.with_traceback(error.__traceback__) from error
        run.recorder.event("frame_end", None, site)
        if facts.auto_scope:
            run.scopes.close()
