"""The options of one run, shared by the command line, the harness and the backends."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, kw_only=True)
class RunOptions:
    """How to run a kernel.

    chip: name of a chip variant or path of a TOML file. Default: 'a2a3'.
    numerics: 'a2a3' (default), 'cpu-sim' or 'fast'.
    profile_diff: report the first op whose result the other of 'a2a3' and 'cpu-sim' does not have; changes no bit.
    out_dir: run directory; None writes none.
    json_path: where `--json` goes; None writes none.
    fail_on: finding codes that fail the run; None means every finding of severity error.
    timing: simulate time. checks: look for findings. seed: seed of the harness' fixtures.
    scopes: 'written', 'flat' or 'auto'. hoist: names of create_tensor results to declare at the frame.
    ring_heap_bytes: heap of each of the four rings; ring_heap_given: the user chose it, a script does not change it.
    ring_task_window, ring_dep_pool: task slots and dependency edges of each ring. A size of 0 is nobody's choice: the
    run takes that of the environment (PTO2_RING_*), else the runtime's default. pipe_slots: 'current' or 'seed'.
    backend: 'sim' or 'npu'.
    threads: host threads of a matrix product (never changes a bit).
    lanes: blocks of one spmd that run as one batch, 1 runs them one by one (never changes a bit).
    block_order_seed: shuffles the order of blocks (never changes a bit); None keeps it.
    loop_limit: turns of a `while` after which it counts as one that does not end; None: 100,000, or 4,000 that launch
    tasks. Nested `for` loops may have ten times as many together in orchestration, a thousand times in a task.
    runtime_cfg: what a script asked of the runtime (platform, device_id, enable_*), sorted by key, for a backend that
    has a device; the harness has checked it.
    """

    chip: str = "a2a3"
    numerics: str = "a2a3"
    profile_diff: bool = False
    out_dir: Path | None = None
    json_path: Path | None = None
    fail_on: tuple[str, ...] | None = None
    timing: bool = True
    checks: bool = True
    seed: int | None = None
    scopes: str = "written"
    hoist: tuple[str, ...] = ()
    ring_heap_bytes: tuple[int, int, int, int] = (0, 0, 0, 0)
    ring_heap_given: bool = False
    ring_task_window: tuple[int, int, int, int] = (0, 0, 0, 0)
    ring_dep_pool: tuple[int, int, int, int] = (0, 0, 0, 0)
    pipe_slots: str = "current"
    backend: str = "sim"
    threads: int = 1
    lanes: int = 64
    block_order_seed: int | None = None
    loop_limit: int | None = None
    runtime_cfg: tuple[tuple[str, object], ...] = ()
