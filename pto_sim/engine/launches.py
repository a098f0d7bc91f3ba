"""Launching tasks: pl.spmd and pl.at."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any

import numpy as np

from pto_sim.engine.core import CoreState
from pto_sim.engine.region_rules import Participants, check_barriers, check_regions
from pto_sim.engine.scalar_arguments import scalar_argument
from pto_sim.engine.storage import Tensor
from pto_sim.engine.task_ids import TaskId, dependency_indices
from pto_sim.program.alternatives import Alternatives
from pto_sim.program.errors import KernelError
from pto_sim.program.model import Access, TaskArg, TaskRecord

if TYPE_CHECKING:
    from pto_sim.engine.run import Run


def launch_dummy(run: Run, deps: Any, name: str) -> TaskId:
    """A task without work: nothing runs, what depends on it waits for `deps`."""
    if run.core is not None:
        raise KernelError(
            "PTO204",
            "a task cannot launch another task",
            site=run.site(),
            values=name,
            hint="launch it before the task",
        )
    site = run.here()
    index = len(run.recorder.tasks)
    empty = np.zeros(0, np.int32)
    record = TaskRecord(name, "dummy", site, 0, empty, [], [], explicit_deps=dependency_indices(run, deps))
    run.recorder.tasks.append(record)
    run.recorder.event("task", index, site)
    return TaskId(index, run.scopes.place())


class SplitMode(metaclass=Alternatives):
    """How the two AIV of a cluster share the vector part of a mixed task."""

    NONE = "none"
    UP_DOWN = "up_down"
    LEFT_RIGHT = "left_right"


class Optimization:
    """An entry of `optimizations=`: it changes scheduling, never a value. None: the entry says nothing of it."""

    __slots__ = ("slot_num", "split")

    def __init__(self, split: Any = None, slot_num: Any = None) -> None:
        self.split, self.slot_num = split, slot_num


class ComputedBlocks(int):
    """A number of blocks that the orchestration computed in the statement list of the launch."""


class TaskInProgress:
    """A task while its blocks execute."""

    def __init__(self, run: Run, form: str, blocks: int, name: str, options: dict[str, Any]) -> None:
        if run.core is not None:
            raise KernelError(
                "PTO204",
                "a task cannot launch another task",
                site=run.site(),
                values=f"pl.{form} inside the body of a task",
                hint="launch both from the orchestration",
            )
        self.run = run
        self.index = len(run.recorder.tasks)
        self.launcher = run.function_name
        self.batched = run.lockstep and blocks > 1
        self.arguments: dict[int, tuple[Tensor, list[bool]]] = {}
        self.accesses: list[Access] = []
        self.streams = np.zeros(blocks, np.int32)
        self._written: dict[int, tuple[Tensor, bool]] = {}
        self.participants = Participants(set(), set(), {})
        self.compiled: tuple[tuple[Any, bool, bool | None, bool], ...] = ()
        site = run.here()
        self.record = TaskRecord(
            name or f"{form}_{self.index}",
            form,
            site,
            blocks,
            self.streams,
            [],
            [],
            sync_start=bool(options.get("sync_start", False)),
            early_resolve=bool(options.get("allow_early_resolve", False)),
            predicated=options.get("predicate") is not None,
            explicit_deps=dependency_indices(run, options.get("deps", ())),
        )
        for entry in options.get("optimizations", ()) or ():
            self._apply(entry)
        self.no_dep = {self._tensor_of("no_dep_args", entry) for entry in options.get("no_dep_args", ()) or ()}
        self.dumped = {self._tensor_of("dumps", entry) for entry in options.get("dumps", ()) or ()} | run.dumped
        run.recorder.tasks.append(self.record)
        run.recorder.event("task", self.index, site)
        run.task = self
        for observer in run.observers:
            observer.on_task_begin(self.index, self.record.name, blocks)

    def _apply(self, entry: Any) -> None:
        if not isinstance(entry, Optimization):
            raise KernelError(
                "PTO206",
                "optimizations= takes pl.split(...) and pl.cross_core_slot(...)",
                site=self.run.site(),
                values=f"got {entry!r}",
                hint="write optimizations=[pl.split(pl.SplitMode.UP_DOWN)]",
            )
        if entry.split is not None:
            self.record.split = entry.split
        if entry.slot_num is not None:
            self.record.slot_num = entry.slot_num

    def take_scalars(self, entries: Sequence[tuple[str, str, Any]]) -> None:
        """Run-time scalars among its arguments: name, declared type or '', value. What is no number is left out."""
        if not self.record.scalars:
            self.record.scalars = [
                scalar_argument(*entry) for entry in entries if isinstance(entry[2], (bool, int, float, np.generic))
            ]

    def reads(self, tensor: Tensor) -> None:
        """The body names a tensor to read that no recorded operation touches."""
        argument = tensor.argument
        self.arguments.setdefault(id(argument), (argument, [False, False]))[1][0] = True

    def check_path(self, tensor: Tensor, scalar: bool, *, whole: bool = False) -> None:
        """Raises KernelError (PTO243) if a task stores tiles and single elements to one tensor.

        The two go different ways (MTE3, scalar data cache) whose order nothing fixes (pypto:
        src/ir/transforms/convert_tensor_to_tile_ops_pass.cpp). Elements written over a first store of the whole
        tensor are gathered in one tile (there: CanonicalizeFullTensorScalarUpdates).
        """
        key = id(tensor.argument)
        if whole and key not in self._written:
            return
        if self._written.setdefault(key, (tensor.argument, scalar))[1] is not scalar:
            raise KernelError(
                "PTO243",
                "a task writes a tensor with pl.write and with stores of tiles",
                site=self.run.site(),
                values=f"{tensor!r}",
                hint="write the elements into a tile with pl.write, and store the tile once",
            )

    def _tensor_of(self, option: str, entry: Any) -> int:
        if not isinstance(entry, Tensor):
            raise KernelError(
                "PTO206",
                f"{option}= takes tensors",
                site=self.run.site(),
                values=f"got {entry!r}",
                hint="task ids belong in deps=" if option == "no_dep_args" else "name tensors from outside the body",
            )
        return entry.storage.tensor

    def finish_group(self, core: CoreState) -> None:
        """The blocks of `core` have run. Raises KernelError (PTO246) for what may not stand in a mixed task."""
        if core.ruled or self.record.split != "none":
            check_regions(self.run, core.recorder.ops, self.record, self.participants)
        self.streams[core.recorder.lanes.ids] = core.recorder.streams(self.run.recorder.stream)
        self.accesses.extend(core.recorder.finished_accesses())
        self.run.core = None

    def finish(self) -> None:
        """Every block has run. Raises KernelError (PTO244, PTO264) for a barrier that never completes."""
        check_barriers(self.run, self.record, self.participants)
        self.record.accesses = self.accesses
        self._take_compiled()
        self.record.args = [self._argument(tensor, used) for tensor, used in self.arguments.values()]
        self.record.dumped = sorted(self.dumped & {arg.tensor for arg in self.record.args})
        self.run.task = None
        for observer in self.run.observers:
            observer.on_task_end(self.index, self.record)

    def _take_compiled(self) -> None:
        """Arguments that the compiled body has, whether or not a block came to where it touches them.

        compiled: (value, read, written, whether the compiler keeps the arm); written is None for a tensor that is in
        place if the task writes it.
        """
        for value, read, written, kept in self.compiled:
            if not kept or not isinstance(value, Tensor):
                continue
            argument = value.argument
            if written is None and not self.arguments.get(id(argument), (argument, (False, False)))[1][1]:
                continue
            used = self.arguments.setdefault(id(argument), (argument, [False, False]))[1]
            used[0] |= read
            used[1] |= bool(written)

    def _argument(self, tensor: Tensor, used: list[bool]) -> TaskArg:
        number = tensor.storage.tensor
        no_dep = tensor.no_dep or number in self.no_dep
        return TaskArg(number, used[0], used[1], tensor.offset, tensor.shape, tensor.strides, tensor.alias, no_dep)


class Spmd:
    """`for i in pl.spmd(n):` runs the body once for each block, or once for each group of blocks in lockstep."""

    def __init__(self, run: Run, blocks: Any, name: str, lockstep: bool, options: dict[str, Any]) -> None:
        count = blocks.__index__() if not isinstance(blocks, bool) else 0
        if count < 1:
            raise KernelError(
                "PTO206",
                "pl.spmd needs at least one block",
                site=run.site(),
                values=f"got {blocks!r}",
                hint="give a positive number of blocks",
            )
        self.run, self.blocks, self.name, self.options = run, count, name, options
        self._computed = isinstance(blocks, ComputedBlocks)
        predicate = options.get("predicate")
        self.skipped = predicate is not None and not bool(predicate)
        self.group = run.options.lanes if lockstep else 1
        if run.barriers:
            # A barrier needs every block of the task at once.
            self.group = count
        self.task_id = TaskId(place=run.scopes.place())

    def _groups(self) -> Iterator[np.ndarray]:
        order = np.arange(self.blocks, dtype=np.int32)
        seed = self.run.options.block_order_seed
        if seed is not None:
            order = np.random.default_rng(seed).permutation(order)
        for start in range(0, self.blocks, self.group):
            yield np.sort(order[start : start + self.group]) if self.group > 1 else order[start : start + 1]

    def __iter__(self) -> Iterator[Any]:
        run = self.run
        if self.skipped:
            # The scheduler retires the task without running it; what depends on it goes on.
            self.task_id.index = launch_dummy(run, self.options.get("deps"), self.name).index
            return
        task = TaskInProgress(run, "spmd", self.blocks, self.name, self.options)
        task.record.computed_blocks = self._computed
        self.task_id.index = task.index
        for ids in self._groups():
            core = CoreState(run, ids, self.blocks)
            run.core = core
            yield core.block
            task.finish_group(core)
        task.finish()


class At:
    """`with pl.at(level=pl.Level.CORE_GROUP) as tid:` runs its body as one task of one block."""

    def __init__(self, run: Run, name: str, options: dict[str, Any]) -> None:
        self.run, self.name, self.options = run, name, options
        self._task: TaskInProgress | None = None

    def __enter__(self) -> TaskId:
        run = self.run
        self._task = TaskInProgress(run, "at", 1, self.name, self.options)
        run.core = CoreState(run, np.zeros(1, np.int32), 1)
        return TaskId(self._task.index, run.scopes.place())

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            assert self._task is not None and self.run.core is not None
            self._task.finish_group(self.run.core)
            self._task.finish()


def known_options(run: Run, form: str, options: dict[str, Any], known: Sequence[str]) -> None:
    """Raises KernelError (PTO206) for a keyword that the language does not know."""
    for name in options:
        if name not in known:
            raise KernelError(
                "PTO206",
                f"pl.{form} has no keyword {name!r}",
                site=run.site(),
                values=f"known: {', '.join(known)}",
                hint="check the spelling",
            )
