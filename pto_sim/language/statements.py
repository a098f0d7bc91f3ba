"""Loops, tasks and scopes."""

from __future__ import annotations

from typing import Any

from pto_sim.engine.control import LoopRange
from pto_sim.engine.launches import At, Optimization, Spmd, known_options
from pto_sim.engine.run import require_run
from pto_sim.engine.scopes import UserScope
from pto_sim.program.errors import KernelError, UnsupportedError

_SPMD = ("sync_start", "name_hint", "optimizations", "deps", "allow_early_resolve", "predicate")
_AT = (
    "level", "role", "optimizations", "deps", "no_dep_args", "dumps", "allow_early_resolve", "name_hint", "windowize",
)  # fmt: skip
_NOT_MODELLED = ("predicate", "no_dep_args", "dumps", "windowize", "role")


class Level:
    """Where a `pl.at` runs."""

    CORE_GROUP = "core_group"
    CHIP = "chip"
    HOST = "host"


def _refuse(form: str, options: dict[str, Any]) -> None:
    run = require_run(f"pl.{form}")
    known_options(run, form, options, _SPMD if form == "spmd" else _AT)
    for name in _NOT_MODELLED:
        if options.get(name) is not None:
            raise UnsupportedError(f"pl.{form}({name}=)", site=run.site())


def spmd(blocks: Any, **options: Any) -> Spmd:
    """`for i in pl.spmd(n):` or `with pl.spmd(n) as tid:`: n blocks, one task.

    sync_start, name_hint, optimizations, deps, allow_early_resolve: as in the language; none changes a value.
    """
    _refuse("spmd", options)
    run = require_run("pl.spmd")
    return Spmd(run, blocks, str(options.get("name_hint", "")), run.lockstep, options)


def at(**options: Any) -> At:
    """`with pl.at(level=pl.Level.CORE_GROUP) as tid:`: its body is one task of one block."""
    _refuse("at", options)
    run = require_run("pl.at")
    if options.get("level") != Level.CORE_GROUP:
        raise UnsupportedError(
            f"pl.at(level={options.get('level')!r})", site=run.site(), hint="use level=pl.Level.CORE_GROUP"
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


def _loop(kind: str, bounds: tuple[Any, ...], options: dict[str, Any], stage: int = 1) -> LoopRange:
    run = require_run(f"pl.{kind}")
    if options.get("init_values") is not None:
        raise UnsupportedError(f"pl.{kind}(init_values=)", site=run.site(), hint="rebind the name in the loop body")
    known_options(run, kind, options, ("attrs", "init_values"))
    return LoopRange(run, kind, bounds, stage)


def range(*bounds: Any, **options: Any) -> LoopRange:
    """A sequential loop, with the bounds of Python's range."""
    return _loop("range", bounds, options)


def pipeline(*bounds: Any, stage: Any = None, **options: Any) -> LoopRange:
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


def unroll(*bounds: Any, **options: Any) -> LoopRange:
    """A loop that the compiler unrolls."""
    return _loop("unroll", bounds, options)


def parallel(*bounds: Any, **options: Any) -> LoopRange:
    """An orchestration loop whose iterations are independent."""
    return _loop("parallel", bounds, options)


def split(mode: str, **options: Any) -> Optimization:
    """An entry of optimizations=: how the two AIV share the vector part. See pl.SplitMode."""
    known_options(require_run("pl.split"), "split", options, ("slot_num",))
    return Optimization("split", mode)


def cross_core_slot(*, slot_num: int) -> Optimization:
    """An entry of optimizations=: slots of the pipe between cube and vector cores, for each direction."""
    return Optimization("slot_num", slot_num)
