"""`pl.system`: barriers, task ids without work, core counts."""

from __future__ import annotations

from typing import Any

from pto_sim.engine.launches import TaskId, launch_dummy
from pto_sim.engine.run import Run, require_run
from pto_sim.language.names import unknown_name
from pto_sim.program.errors import KernelError

# ascend_model: chips/a2a3.toml has the same numbers; pypto: docs/en/user/language, core count queries.
_CLUSTERS, _AIV = 24, 48


def task_dummy(*, deps: Any) -> TaskId:
    """A task without work: its id stands for all of `deps`."""
    run = require_run("pl.system.task_dummy")
    return launch_dummy(run, deps, "task_dummy")


def syncall(*, core_type: str = "mix", mode: str = "hard", gm_workspace: Any = None, used_cores: Any = None) -> None:
    """A barrier over all blocks of the task: what they stored before it is seen by all of them after it."""
    run = require_run("pl.system.syncall")
    core = run.task_core("pl.system.syncall")
    if core_type not in ("mix", "aic", "aiv") and core_type not in ("aic_only", "aiv_only"):
        raise KernelError(
            "PTO206", "pl.system.syncall has no such core_type", site=run.site(), values=f"got {core_type!r}",
            hint="use 'mix', 'aic_only' or 'aiv_only'",
        )  # fmt: skip
    if mode == "soft" and (gm_workspace is None or used_cores is None):
        raise KernelError(
            "PTO206", "a soft pl.system.syncall needs gm_workspace= and used_cores=", site=run.site(),
            hint="give a zeroed INT32 workspace, or use mode='hard'",
        )  # fmt: skip
    if mode == "hard":
        _check_occupancy(run, core.blocks, core_type)
    if len(core.lanes) != core.blocks:
        raise KernelError(
            "PTO208", "pl.system.syncall needs all blocks of the task to arrive together", site=run.site(),
            values=f"{len(core.lanes)} of {core.blocks} blocks are here",
            hint="call it outside every `if` and loop whose condition differs between blocks",
        )  # fmt: skip


def _check_occupancy(run: Run, blocks: int, core_type: str) -> None:
    """A hard barrier ends only if every core of its type runs a block of it, all at the same time.

    A vector-only task fills the AIV, any other one the clusters; the barrier of a mixed task waits for clusters
    (pypto: src/ir/verifier/verify_hard_syncall_occupancy.cpp).
    """
    full = (_CLUSTERS, _AIV) if core_type in ("aiv", "aiv_only") else (_CLUSTERS,)
    if blocks not in full:
        raise KernelError(
            "PTO244", "a hard pl.system.syncall needs every core", site=run.site(),
            values=f"the task has {blocks} blocks, the chip {_CLUSTERS} clusters ({_AIV} AIV); core_type {core_type!r}",
            hint="launch pl.system.available_cluster_count() blocks, or use mode='soft' with a workspace",
        )  # fmt: skip
    if run.task is not None and not run.task.record.sync_start:
        raise KernelError(
            "PTO244", "a hard pl.system.syncall needs all blocks to start together", site=run.site(),
            values=f"{blocks} blocks without sync_start", hint="pl.spmd(n, sync_start=True)",
        )  # fmt: skip


def available_cluster_count() -> int:
    """Clusters that a launch may use."""
    require_run("pl.system.available_cluster_count").recorder.queries_core_count = True
    return _CLUSTERS


def available_aiv_count() -> int:
    """Vector cores that a launch may use."""
    require_run("pl.system.available_aiv_count").recorder.queries_core_count = True
    return _AIV


def _ordering(name: str) -> Any:
    def statement(*args: Any, **kwargs: Any) -> None:
        require_run(f"pl.system.{name}").task_core(f"pl.system.{name}")

    statement.__name__ = name
    statement.__doc__ = "Orders the pipes of a core. Statements of a block run in order here, so no value changes."
    return statement


sync_set = _ordering("sync_set")
sync_wait = _ordering("sync_wait")
set_ffts = _ordering("set_ffts")
sync_src = _ordering("sync_src")
sync_dst = _ordering("sync_dst")
bar_v = _ordering("bar_v")
bar_m = _ordering("bar_m")
bar_all = _ordering("bar_all")
fence = _ordering("fence")
cacheinvalid = _ordering("cacheinvalid")


def __getattr__(name: str) -> Any:
    raise unknown_name(name, globals(), "pl.system")
