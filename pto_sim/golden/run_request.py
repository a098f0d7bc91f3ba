"""What a script asks of the runtime: the keys of `runtime_cfg` and `compile_cfg`, checked before anything runs.

Keys and values are upstream's (pypto-lib: golden/runner.py; pypto: RunConfig). The simulator has no device, no
generated code and no device log; what cannot be honoured is refused by name, what has no meaning is said in a note.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from pto_sim.program.errors import InputError, UnsupportedError
from pto_sim.program.options import RunOptions

PLATFORMS = ("a2a3", "a2a3sim", "a5", "a5sim")
LOG_LEVELS = ("debug", "info", "warn", "error", "null", *(f"v{i}" for i in range(10)))

# Key -> (the artifact it asks for, values it takes).
_ARTIFACTS: dict[str, tuple[str, tuple[int, ...]]] = {
    "enable_chip_swimlane": ("chip_swimlane_records.json", (0, 1, 2, 3, 4)),
    "enable_dump_args": ("args_dump.json", (0, 1, 2, 3)),
    "enable_pmu": ("pmu.csv", (0, 1, 2, 4, 5, 6, 7, 8)),
    "enable_dep_gen": ("deps.json", (0, 1)),
    "enable_scope_stats": ("scope_stats.jsonl", (0, 1)),
}
_ACCEPTED = ("enable_scope_stats", "enable_dep_gen")
_RENAMED = {"enable_l2_swimlane": "enable_chip_swimlane"}
_RUNTIME_KEYS = ("platform", "device_id", "log_level", "seed", *_ARTIFACTS, *_RENAMED)
# Keys of compile_cfg and their values that ask for nothing; any other value asks for generated code.
_COMPILE_DEFAULTS: dict[str, tuple[object, ...]] = {
    "platform": PLATFORMS,
    "dump_passes": (None, False, True),  # the default of `run` is True, and harmless: there are no passes
    "save_kernels": (None, False),
    "save_kernels_dir": (None,),
    "output_dir": (None,),
    "codegen_only": (None, False),
    "compile_profiling": (None, False),
    "strategy": (None,),
    "backend_type": (None,),
    "diagnostic_phase": (None,),
    "disabled_diagnostics": (None, (), []),
    "distributed_config": (None,),
    "analyze_auto_scopes_for_deps": (None, False),
    "memory_planner": (None,),
    "dump_ptoas_passes": (None, False),
    "aicpu_thread_num": (None,),
    "ring_task_window": (None,),
    "ring_heap": (None,),
    "ring_dep_pool": (None,),
}


@dataclass(frozen=True)
class RunRequest:
    """A checked request. seed: of the inputs. artifacts: files to produce. runtime_cfg: for a backend with a device."""

    seed: int
    artifacts: tuple[str, ...]
    notes: tuple[str, ...]
    runtime_cfg: tuple[tuple[str, Any], ...]

    def applied_to(self, options: RunOptions) -> RunOptions:
        """`options` with this request in it."""
        return replace(options, seed=self.seed, runtime_cfg=self.runtime_cfg)


def check_request(
    options: RunOptions, runtime_cfg: Mapping[str, Any] | None, compile_cfg: Mapping[str, Any] | None
) -> RunRequest:
    """Check both dictionaries for the backend that `options` name.

    Raises InputError (PTO018) for an unknown key or value, UnsupportedError for what the simulator cannot do. The
    seed of `options` wins over runtime_cfg['seed']; without either it is 0.
    """
    runtime = _renamed(dict(runtime_cfg or {}))
    seed = options.seed if options.seed is not None else runtime.pop("seed", None)
    runtime.pop("seed", None)
    artifacts = tuple(_ARTIFACTS[key][0] for key in _ARTIFACTS if _checked_level(key, runtime.get(key)))
    notes: list[str] = []
    if options.backend == "sim":
        _check_simulated(runtime)
        _check_compile_cfg(compile_cfg or {})
        notes = _notes(runtime)
    return RunRequest(0 if seed is None else int(seed), artifacts, tuple(notes), tuple(sorted(runtime.items())))


def _renamed(runtime: dict[str, Any]) -> dict[str, Any]:
    unknown = sorted(set(runtime) - set(_RUNTIME_KEYS))
    if unknown:
        raise InputError(
            "PTO018",
            f"runtime_cfg has no key {', '.join(unknown)}",
            hint=f"known keys: {', '.join(_RUNTIME_KEYS)}",
        )
    for old, new in _RENAMED.items():
        if old in runtime:
            warnings.warn(f"runtime_cfg: {old} is now called {new}", DeprecationWarning, stacklevel=4)
            runtime[new] = runtime.pop(old) or runtime.get(new, 0)
    return runtime


def _checked_level(key: str, value: Any) -> int:
    levels = _ARTIFACTS[key][1]
    level = 0 if value is None else value
    if not isinstance(level, int) or int(level) not in levels:
        raise InputError(
            "PTO018", f"runtime_cfg: {key}={value!r}", hint=f"use one of {', '.join(str(x) for x in levels)}"
        )
    return int(level)


def _check_simulated(runtime: Mapping[str, Any]) -> None:
    platform = runtime.get("platform", "a2a3")
    if platform not in PLATFORMS:
        raise InputError(
            "PTO018", f"runtime_cfg: there is no platform {platform!r}", hint=f"use one of {', '.join(PLATFORMS)}"
        )
    if platform.startswith("a5"):
        raise UnsupportedError(f"platform {platform!r}", hint="use -p a2a3")
    level = runtime.get("log_level")
    if level is not None and level not in LOG_LEVELS:
        raise InputError(
            "PTO018", f"runtime_cfg: there is no log_level {level!r}", hint=f"use one of {', '.join(LOG_LEVELS)}"
        )
    for key, (artifact, _) in _ARTIFACTS.items():
        if runtime.get(key) and key not in _ACCEPTED:
            raise UnsupportedError(
                f"{key} (the file {artifact})",
                hint="leave the flag out; trace.json and report.html in the run directory show tasks, time and heap",
            )
    if os.environ.get("PYPTO_BENCH", "").strip() not in ("", "0", "false", "False"):
        raise UnsupportedError("PYPTO_BENCH (timing a kernel on a device)", hint="unset PYPTO_BENCH")


def _check_compile_cfg(compile_cfg: Mapping[str, Any]) -> None:
    for key, value in compile_cfg.items():
        if key not in _COMPILE_DEFAULTS:
            raise InputError(
                "PTO018", f"compile_cfg has no key {key}", hint=f"known keys: {', '.join(_COMPILE_DEFAULTS)}"
            )
        if value not in _COMPILE_DEFAULTS[key]:
            hint = "size the rings with pto-sim run --ring-heap" if key == "ring_heap" else f"leave {key} out"
            raise UnsupportedError(f"compile_cfg {key}={value!r}", hint=hint)


def _notes(runtime: Mapping[str, Any]) -> list[str]:
    notes = []
    if runtime.get("enable_dep_gen"):
        # Kernels upstream switch it on by default; it changes no value.
        notes.append("enable_dep_gen: deps.json is not written; trace.json in the run directory shows the tasks")
    if runtime.get("device_id"):
        notes.append(f"device_id={runtime['device_id']}: the simulator has one device; the number has no effect")
    if runtime.get("log_level"):
        notes.append(f"log_level={runtime['log_level']}: the simulator has no device log; the level has no effect")
    return notes
