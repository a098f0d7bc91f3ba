"""What a rewritten kernel calls: the statements that Python alone would not run as the language means them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from pto_sim.engine.aiv_lanes import SplitAiv
from pto_sim.engine.carried import CarriedShapes
from pto_sim.engine.control import Branch, Loop, LoopRange
from pto_sim.engine.declared import check_declared
from pto_sim.engine.lanes import division_by_zero, logical, logical_not
from pto_sim.engine.launches import ComputedBlocks
from pto_sim.engine.run import require_run
from pto_sim.engine.scalar_arithmetic import quotient, remainder
from pto_sim.engine.scalar_operands import check_predicate_types
from pto_sim.engine.settled import derived, is_settled, unsettled
from pto_sim.engine.storage import Tensor
from pto_sim.engine.task_ids import TaskIdCarry
from pto_sim.engine.tile import Tile
from pto_sim.engine.turns import Turns
from pto_sim.engine.value_types import type_of
from pto_sim.program.errors import KernelError


class KernelRuntime:
    """Stateless; the current run is found when a call is made."""

    logical = staticmethod(logical)
    logical_not = staticmethod(logical_not)

    @staticmethod
    def branch(
        condition: Any, saved: tuple[Any, ...], late: tuple[str, ...], operands: tuple[Any, ...] | None = None
    ) -> Branch:
        """Start an `if` whose condition may differ between blocks. operands: of a condition of names and literals."""
        return Branch(require_run("an if statement"), condition, saved, late, operands)

    @staticmethod
    def settled_loop(loop: Any, operands: tuple[Any, ...]) -> Any:
        """A loop whose bounds are made of these names, and of literals."""
        if isinstance(loop, LoopRange):
            loop.settled = is_settled(operands)
        return loop

    @staticmethod
    def annotated(value: Any) -> Any:
        """A value whose name has an annotation."""
        run = require_run("an assignment")
        declared = run.declared_value()
        if declared is not None:
            check_declared(run, value, declared)
        return value

    @staticmethod
    def derived(value: Any, operands: tuple[Any, ...]) -> Any:
        """The value of an expression of these names, and of literals. In a task nothing is to be settled."""
        return value if require_run("an assignment").core is not None else derived(value, operands)

    @staticmethod
    def touches(entries: tuple[tuple[Any, bool, bool | None, bool], ...]) -> None:
        """A task begins: what its arms touch, whether or not a block takes them."""
        task = require_run("a task").task
        if task is not None:
            task.compiled = entries

    @staticmethod
    def reached(conditions: tuple[Any, ...], operands: tuple[Any, ...], arm: bool) -> bool:
        """Whether the compiler keeps an arm of an `if`. conditions: its own, or those at the ends of a loop."""
        return KernelRuntime.stays(conditions, operands) or bool(conditions[0]) is arm

    @staticmethod
    def stays(conditions: tuple[Any, ...], operands: tuple[Any, ...]) -> bool:
        """Whether the compiler keeps an `if`, as it cannot know what the condition says."""
        return not is_settled(operands) or len({bool(condition) for condition in conditions}) > 1

    @staticmethod
    def changing(values: tuple[Any, ...]) -> tuple[Any, ...]:
        """What names hold as a loop begins that changes them: the compiler does not know it."""
        return tuple(unsettled(value) for value in values)

    @staticmethod
    def loop(values: LoopRange, saved: tuple[Any, ...], late: tuple[str, ...]) -> Loop:
        """Start a `for` whose bounds may differ between blocks."""
        return Loop(require_run("a for statement"), values, saved, late)

    @staticmethod
    def carry_ids(values: LoopRange, names: tuple[Any, ...]) -> TaskIdCarry:
        """Task ids that a pl.parallel carries."""
        return TaskIdCarry(values, names)

    @staticmethod
    def uniform(condition: Any) -> bool:
        """The condition of an `if` that leaves a loop; the same on all blocks that run together."""
        require_run("an if statement").check_condition(condition)
        return bool(condition)

    @staticmethod
    def turns(fixed: bool) -> Turns:
        """Enter a `while`. fixed: its condition cannot change."""
        return Turns(require_run("a while statement"), fixed=fixed)

    @staticmethod
    def chained(product: Callable[..., Any]) -> Callable[..., Any]:
        """A product whose result other products alone read."""
        run = require_run("a product")

        def called(*args: Any, **keywords: Any) -> Any:
            run.chained = True
            try:
                return product(*args, **keywords)
            finally:
                run.chained = False

        return called

    @staticmethod
    def rebound(name: str, old: Any, new: Any) -> Any:
        """A name is bound again where its type may not change. Raises KernelError (PTO237) if it does."""
        if type_of(old) != type_of(new) and old is not None and new is not None:
            raise KernelError(
                "PTO237",
                f"'{name}' is rebound to a value of another type",
                site=require_run("an assignment").site(),
                values=f"was {old!r}, now {new!r}",
                hint="use another name for the new value",
            )
        return new

    @staticmethod
    def region(split: SplitAiv, explicit: bool) -> SplitAiv:
        """A pl.split_aiv region; explicit: its body has pl.aiv_shard or pl.aic_gather."""
        split.explicit = explicit
        return split

    @staticmethod
    def carried(values: tuple[Any, ...]) -> CarriedShapes:
        """What names that a loop carries were bound to before it."""
        return CarriedShapes(require_run("a for statement"), values)

    @staticmethod
    def divided(operation: str, a: Any, b: Any) -> Any:
        """`a // b`, `a / b` or `a % b` where an operand is known at run time only."""
        if isinstance(a, (int, float)) and isinstance(b, (int, float)):
            try:
                return remainder(a, b) if operation == "%" else quotient(a, b)
            except ZeroDivisionError as error:
                raise division_by_zero(require_run("a division"), a, b) from error
        return a % b if operation == "%" else a / b

    @staticmethod
    def named(name: str, value: Any, computed_size: bool = False) -> Any:
        """Tell a new buffer the name that the author gives it, and whether its shape was computed just before."""
        if isinstance(value, Tensor):
            value.name = name
            info = value.run.recorder.tensors[value.storage.tensor]
            info.name, info.computed_size = name, computed_size
        return value

    @staticmethod
    def leaving(name: str, value: Any) -> Any:
        """A value that is used after the task that made it: a tile becomes a buffer that the task stores."""
        run = require_run("a task")
        if not isinstance(value, Tile) or value.explicit or value.core is not run.core:
            return value
        buffer = run.memory.create_buffer(value.shape, value.dtype)
        run.recorder.allocated_before_task()
        run.transfers.store(buffer, (0,) * value.ndim, value.shape, value)
        return KernelRuntime.named(name, buffer)

    @staticmethod
    def scalars(*entries: tuple[str, str, Any]) -> None:
        """The run-time scalars that a task takes: name, declared type or '', value."""
        task = require_run("a task").task
        if task is not None:
            task.take_scalars(entries)

    @staticmethod
    def predicate_begins() -> tuple[int, int]:
        """Where the orchestration is before it comes to a predicate."""
        return require_run("a predicate").recorder.position()

    @staticmethod
    def predicate(since: tuple[int, int], value: Any) -> Any:
        """The value of a predicate: what was read since it began are its operands."""
        run = require_run("a predicate")
        check_predicate_types(run, since[0])
        run.recorder.predicated(since)
        return value

    @staticmethod
    def computed(blocks: Any) -> Any:
        """A number of blocks that the launch's statement list has computed."""
        return ComputedBlocks(blocks.__index__()) if type(blocks) is int else blocks


KERNEL_RUNTIME = KernelRuntime()
