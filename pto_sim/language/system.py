"""`pl.system`: barriers, events between cores, flags between pipes, task ids without work, core counts."""

from __future__ import annotations

from typing import Any

from pto_sim.engine.cluster import Cluster
from pto_sim.engine.core import CoreState
from pto_sim.engine.core_events import USER_EVENTS
from pto_sim.engine.launches import launch_dummy
from pto_sim.engine.run import Run, require_run
from pto_sim.engine.storage import Tensor
from pto_sim.engine.task_ids import TaskId
from pto_sim.language import pipes
from pto_sim.language.names import unknown_name
from pto_sim.language.pipes import *  # noqa: F403
from pto_sim.program.errors import KernelError
from pto_sim.program.model import OpSignature

# ascend_model: chips/a2a3.toml has the same numbers; pypto: docs/en/user/language, core count queries.
_CLUSTERS, _AIV = 24, 48
_CORE_TYPES = ("mix", "aic_only", "aiv_only")
WORKSPACE_ELEMENTS, FFTS_ELEMENTS = 16, 256
"""Elements of a soft barrier's INT32 and of set_ffts' INT64 workspace (pypto: ir/op/system_ops.py)."""


def _here(name: str) -> tuple[Run, CoreState]:
    run = require_run(f"pl.system.{name}")
    return run, run.task_core(f"pl.system.{name}")


def _error(name: str, rule: str, values: str, hint: str, code: str = "PTO264") -> KernelError:
    return KernelError(code, rule, site=require_run(f"pl.system.{name}").site(), values=values, hint=hint)


def _record(run: Run, core: CoreState, op: str, **attrs: object) -> None:
    signature = OpSignature(op, (), None, tuple(sorted(attrs.items())), run.here())
    core.record(run.recorder.signature(signature), -1, ())


def task_dummy(*, deps: Any) -> TaskId:
    """A task without work: its id stands for all of `deps`."""
    run = require_run("pl.system.task_dummy")
    return launch_dummy(run, deps, "task_dummy")


def task_invalid() -> None:
    """The task id that names no task, which is `None`."""
    require_run("pl.system.task_invalid")


# -- barriers over blocks -------------------------------------------------------------------------------


def syncall(*, core_type: str = "mix", mode: str = "hard", gm_workspace: Any = None, used_cores: Any = None) -> None:
    """A barrier over all blocks of the task: what they stored before it is seen by all of them after it.

    mode 'hard' needs every core of the chip. 'soft' counts in gm_workspace, an INT32 tensor of 16 zeros, and needs the
    number of cores that take part: blocks of one core each, or three for each block of a mixed task.
    """
    run, core = _here("syncall")
    if core_type not in _CORE_TYPES or mode not in ("hard", "soft"):
        raise _error(
            "syncall", "pl.system.syncall has no such core_type or mode", f"core_type={core_type!r}, mode={mode!r}",
            "core_type='mix', 'aic_only' or 'aiv_only'; mode='hard' or 'soft'", "PTO206",
        )  # fmt: skip
    used = 0 if mode == "hard" else _soft(gm_workspace, used_cores)
    if mode == "hard" and (gm_workspace is not None or used_cores is not None):
        raise _error(
            "syncall", "a hard pl.system.syncall takes no workspace and no count", "mode='hard'",
            "write mode='soft'", "PTO206",
        )  # fmt: skip
    if len(core.lanes) != core.blocks:
        raise _error(
            "syncall", "pl.system.syncall needs all blocks of the task to arrive together",
            f"{len(core.lanes)} of {core.blocks} blocks are here",
            "call it outside every `if` and loop whose condition differs between blocks", "PTO208",
        )  # fmt: skip
    core.ruled = True
    _record(run, core, "syncall", core_type=core_type, mode=mode, used=used)
    core.phase += 1


def _soft(workspace: Any, used_cores: Any) -> int:
    if not isinstance(workspace, Tensor) or used_cores is None:
        raise _error(
            "syncall", "a soft pl.system.syncall needs gm_workspace= and used_cores=",
            f"gm_workspace={workspace!r}, used_cores={used_cores!r}",
            "give a zeroed INT32 workspace and the number of cores, or use mode='hard'", "PTO206",
        )  # fmt: skip
    workspace.check_alive()
    cells = workspace.array().reshape(-1)
    if workspace.dtype.name != "INT32" or cells.size < WORKSPACE_ELEMENTS or cells[:WORKSPACE_ELEMENTS].any():
        raise _error(
            "syncall", f"the workspace of a soft barrier is an INT32 tensor of {WORKSPACE_ELEMENTS} zeros or more",
            f"{workspace!r}, first elements {cells[:4].tolist()}", "zero it before the task", "PTO206",
        )  # fmt: skip
    return int(used_cores.__index__())


# -- events between the cores of a block ------------------------------------------------------------------


def _cluster(name: str) -> tuple[Run, CoreState, Cluster]:
    run, core = _here(name)
    if len(core.lanes) != len(core.recorder.lanes):
        raise _error(
            name, f"pl.system.{name} needs the blocks of a batch to arrive together",
            f"{len(core.lanes)} of {len(core.recorder.lanes)} blocks are here",
            "call it outside every `if` whose condition differs between blocks", "PTO208",
        )  # fmt: skip
    return run, core, core.cluster if core.cluster is not None else Cluster(run, core)


def _event(name: str, event_id: Any, core_type: str | None) -> int:
    event = int(event_id.__index__())
    if not 0 <= event < USER_EVENTS or core_type not in (None, "aic", "aiv"):
        raise _error(
            name, f"an event is 0 to {USER_EVENTS - 1}, its core_type 'aic' or 'aiv'",
            f"event_id={event}, core_type={core_type!r}", "events 14 and 15 are reserved",
        )  # fmt: skip
    return event


def sync_set(event_id: Any, *, pipe: str, ffts_mode: int | None = None, core_type: str | None = None) -> None:
    """Signals a core of the other kind once what `pipe` did before is over. ffts_mode 1: the other vector core."""
    event = _event("sync_set", event_id, core_type)
    if ffts_mode not in (None, 0, 1, 2):
        raise _error("sync_set", "ffts_mode is 0, 1 or 2", f"got {ffts_mode!r}", "2: between cube and vector cores")
    run, core, cluster = _cluster("sync_set")
    units = cluster.events.set(core, event, ffts_mode, core_type)
    _record(run, core, "sync_set", event=event, pipe=pipe, to_lane=ffts_mode == 1, units=units)


def sync_wait(event_id: Any, *, pipe: str, core_type: str | None = None) -> None:
    """`pipe` waits for the event; the cube waits for both vector cores. Raises KernelError (PTO261) if none sets it."""
    event = _event("sync_wait", event_id, core_type)
    run, core, cluster = _cluster("sync_wait")
    units = cluster.events.wait(core, event, core_type)
    _record(run, core, "sync_wait", event=event, pipe=pipe, units=units)


def set_ffts(workspace: Any) -> None:
    """Sets up events on A3: `workspace` is an INT64 tensor of 256 elements or more."""
    run, core = _here("set_ffts")
    if not isinstance(workspace, Tensor) or workspace.dtype.name != "INT64" or workspace.ndim != 1:
        raise _error(
            "set_ffts", "pl.system.set_ffts takes an INT64 tensor of rank 1", repr(workspace), "pass a workspace"
        )
    if workspace.shape[0] < FFTS_ELEMENTS:
        raise _error(
            "set_ffts", f"the workspace has {FFTS_ELEMENTS} elements or more", repr(workspace), "make it larger"
        )
    _record(run, core, "set_ffts")


# -- order within a core ----------------------------------------------------------------------------------


def sync_src(*, set_pipe: str, wait_pipe: str, event_id: Any) -> None:
    """Sets a flag of `set_pipe` for `wait_pipe` of the same core."""
    run, core, cluster = _cluster("sync_src")
    event = int(event_id.__index__())
    cluster.events.flag(core, set_pipe, wait_pipe, event)
    _record(run, core, "sync_src", event=event, pipe=set_pipe)


def sync_dst(*, set_pipe: str, wait_pipe: str, event_id: Any) -> None:
    """`wait_pipe` waits for the flag that pl.system.sync_src set. Raises KernelError (PTO264) if there is none."""
    run, core, cluster = _cluster("sync_dst")
    event = int(event_id.__index__())
    cluster.events.await_flag(core, set_pipe, wait_pipe, event)
    _record(run, core, "sync_dst", event=event, pipe=wait_pipe)


def bar_v() -> None:
    """The vector pipe finishes what it has before it goes on; operations run in order here, so no value changes."""
    _record(*_here("bar_v"), "bar_v")


def bar_m() -> None:
    """The cube's pipe finishes what it has before it goes on."""
    _record(*_here("bar_m"), "bar_m")


def bar_all() -> None:
    """Every pipe of the core finishes what it has before anything goes on."""
    _record(*_here("bar_all"), "bar_all")


def fence() -> None:
    """What the core stored is in GM before it goes on. Stores are seen at once here, so no value changes."""
    _record(*_here("fence"), "fence")


def cacheinvalid(tensor: Any = None, shapes: Any = None, offsets: Any = None) -> None:
    """Drops the data cache, or the line at the start of a region. Loads are never stale here: no value changes."""
    run, core = _here("cacheinvalid")
    if (tensor is None) != (shapes is None) or (tensor is None) != (offsets is None):
        raise _error(
            "cacheinvalid", "pl.system.cacheinvalid takes a tensor with shapes and offsets, or nothing",
            f"{tensor!r}, {shapes!r}, {offsets!r}", "pl.system.cacheinvalid(t, [1, 8], [0, 0])", "PTO206",
        )  # fmt: skip
    if isinstance(tensor, Tensor) and (len(shapes) != tensor.ndim or len(offsets) != tensor.ndim):
        raise _error(
            "cacheinvalid", "shapes and offsets have an entry for each axis", f"{tensor!r}, {shapes}, {offsets}",
            "give one for each axis", "PTO206",
        )  # fmt: skip
    _record(run, core, "cacheinvalid", whole=tensor is None)


# -- queries ----------------------------------------------------------------------------------------------


def available_cluster_count() -> int:
    """Clusters that a launch may use."""
    require_run("pl.system.available_cluster_count").recorder.queries_core_count = True
    return _CLUSTERS


def available_aiv_count() -> int:
    """Vector cores that a launch may use."""
    require_run("pl.system.available_aiv_count").recorder.queries_core_count = True
    return _AIV


def __getattr__(name: str) -> Any:
    raise unknown_name(name, [*globals(), *pipes.__all__], "pl.system")
