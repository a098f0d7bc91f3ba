"""Loops, tasks and scopes."""

from __future__ import annotations

import contextlib
from typing import Any

from pto_sim.engine.aiv_lanes import SplitAiv
from pto_sim.engine.carried import CarryingLoop, CarryingWhile
from pto_sim.engine.control import LoopRange
from pto_sim.engine.launches import At, Optimization, Spmd, known_options
from pto_sim.engine.run import require_run
from pto_sim.engine.scopes import UserScope
from pto_sim.language.enumerations import Level
from pto_sim.program.errors import KernelError, UnsupportedError

_SPMD = ("sync_start", "name_hint", "optimizations", "deps", "allow_early_resolve", "predicate")
_AT = (
    "level", "role", "optimizations", "deps", "no_dep_args", "dumps", "allow_early_resolve", "name_hint", "windowize",
)  # fmt: skip


def spmd(blocks: Any = None, **options: Any) -> Spmd:
    """`for i in pl.spmd(n):` or `with pl.spmd(n) as tid:`: n blocks, one task.

    sync_start, name_hint, optimizations, deps, allow_early_resolve: as in the language; none changes a value. With a
    false predicate= the blocks do not run, and what depends on the task goes on. The blocks may be named core_num=.
    """
    run = require_run("pl.spmd")
    known_options(run, "spmd", options, (*_SPMD, "core_num"))
    blocks = options.pop("core_num", None) if blocks is None else blocks
    return Spmd(run, blocks, str(options.get("name_hint", "")), run.lockstep, options)


def at(**options: Any) -> At:
    """`with pl.at(level=pl.Level.CORE_GROUP) as tid:`: its body is one task of one block.

    windowize= lets the compiler narrow the task's outputs to the windows that it writes, which changes no value.
    """
    run = require_run("pl.at")
    known_options(run, "at", options, _AT)
    if options.get("level") != Level.CORE_GROUP:
        raise UnsupportedError(
            f"a scope of another level, pl.at(level={options.get('level')!r})",
            site=run.site(),
            hint="level=pl.Level.CORE_GROUP makes a task; other levels spread a program over chips and hosts",
        )
    return At(run, str(options.get("name_hint", "")), options)


def scope(mode: str = "auto") -> UserScope:
    """`with pl.scope():` buffers created inside are freed when it closes. Needs auto_scope=False."""
    if mode not in ("auto", "manual"):
        raise UnsupportedError(f"pl.scope(mode={mode!r})", site=require_run("pl.scope").site())
    return UserScope(require_run("pl.scope"), mode)


def manual_scope() -> UserScope:
    """A scope in which only explicit dependencies order tasks."""
    return UserScope(require_run("pl.manual_scope"), "manual")


def _loop(kind: str, bounds: tuple[Any, ...], options: dict[str, Any], stage: int = 1) -> Any:
    run = require_run(f"pl.{kind}")
    known_options(run, kind, options, ("attrs", "init_values"))
    loop = LoopRange(run, kind, bounds, stage)
    carried = options.get("init_values")
    return loop if carried is None else CarryingLoop(run, loop, carried)


def while_(*, init_values: Any) -> CarryingWhile:
    """`for (x,) in pl.while_(init_values=(a,)): pl.cond(c); ...; y = pl.yield_(v)`: repeats while c holds."""
    return CarryingWhile(require_run("pl.while_"), init_values)


def cond(condition: Any) -> None:
    """The condition of the enclosing pl.while_; its first statement."""
    require_run("pl.cond").carrying[-1].check(condition)


def yield_(*values: Any) -> Any:
    """The values that the enclosing loop or arm carries on; after the loop the names keep them."""
    run = require_run("pl.yield_")
    result = values[0] if len(values) == 1 else values
    if run.carrying:
        run.carrying[-1].carried = values
    return result


def func_attr(attrs: Any) -> None:
    """Attributes of the function, `pl.func_attr({"split": pl.SplitMode.UP_DOWN})`; its first statements."""
    run = require_run("pl.func_attr")
    if not isinstance(attrs, dict) or not all(isinstance(key, str) for key in attrs):
        raise KernelError(
            "PTO206",
            "pl.func_attr takes a dict with names as keys",
            site=run.site(),
            values=f"got {attrs!r}",
            hint='pl.func_attr({"split": pl.SplitMode.UP_DOWN})',
        )


def cluster(name_hint: str = "") -> Any:
    """`with pl.cluster():` groups cube and vector launches; the launches inside are tasks of their own."""
    require_run("pl.cluster")
    return contextlib.nullcontext()


def range(*bounds: Any, **options: Any) -> Any:
    """A sequential loop, with the bounds of Python's range."""
    return _loop("range", bounds, options)


def pipeline(*bounds: Any, stage: Any = None, **options: Any) -> Any:
    """A loop whose iterations overlap on `stage` rotating buffers; same values as pl.range."""
    if not isinstance(stage, int) or stage < 1:
        raise KernelError(
            "PTO206",
            "pl.pipeline needs stage=, a positive integer",
            site=require_run("pl.pipeline").site(),
            values=f"got {stage!r}",
            hint="write pl.pipeline(n, stage=2)",
        )
    return _loop("pipeline", bounds, options, stage)


def unroll(*bounds: Any, **options: Any) -> Any:
    """A loop that the compiler unrolls."""
    return _loop("unroll", bounds, options)


def parallel(*bounds: Any, **options: Any) -> Any:
    """An orchestration loop whose iterations are independent."""
    return _loop("parallel", bounds, options)


def split(mode: str, **options: Any) -> Optimization:
    """An entry of optimizations=: how the two AIV share the vector part. See pl.SplitMode.

    slot_num: as of pl.cross_core_slot, its old place.
    """
    known_options(require_run("pl.split"), "split", options, ("slot_num",))
    return Optimization(mode, options.get("slot_num"))


def cross_core_slot(*, slot_num: int) -> Optimization:
    """An entry of optimizations=: slots of the pipe between cube and vector cores, for each direction."""
    return Optimization(slot_num=slot_num)


def split_aiv(count: Any = 2, *, mode: str = "none") -> SplitAiv:
    """`for lane in pl.split_aiv(2, mode=pl.SplitMode.UP_DOWN):` both vector cores of the block run the body."""
    return SplitAiv(require_run("pl.split_aiv"), count, mode)


def _region(what: str) -> SplitAiv:
    run = require_run(what)
    split_region = run.task_core(what).split
    if split_region is None:
        raise KernelError(
            "PTO206",
            f"{what} belongs in a pl.split_aiv region",
            site=run.site(),
            values=f"found outside every region of '{run.function_name}'",
            hint="for lane in pl.split_aiv(2, ...)",
        )
    assert isinstance(split_region, SplitAiv)
    return split_region


def aiv_shard(x: Any) -> Any:
    """This vector core's half of a tile of the cube."""
    return _region("pl.aiv_shard").shard(x)


def aic_gather(x: Any) -> Any:
    """The halves of both vector cores as one tile for the cube."""
    return _region("pl.aic_gather").gather(x)
