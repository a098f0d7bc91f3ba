"""What a script asks of the runtime: the keys of `runtime_cfg` and `compile_cfg`, checked before anything runs.

Keys and values are upstream's (pypto-lib: golden/runner.py; pypto: RunConfig, ir.compile). What has a meaning here is
applied, what has none is said in a note, what cannot be honoured without being wrong is refused by name.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from pto_sim.golden.benchmark import BenchRequest, bench_request
from pto_sim.program.errors import InputError, UnsupportedError, nearest_name
from pto_sim.program.options import RunOptions
from pto_sim.program.ring_request import ring_fields

PLATFORMS = ("a2a3", "a2a3sim", "a5", "a5sim")
LOG_LEVELS = ("debug", "info", "timing", "warn", "error", "null", *(f"v{i}" for i in range(10)))

# Key -> (the artifact it asks for, values it takes).
_ARTIFACTS: dict[str, tuple[str, tuple[int, ...]]] = {
    "enable_chip_swimlane": ("chip_swimlane_records.json", (0, 1, 2, 3, 4)),
    "enable_dump_args": ("args_dump.json", (0, 1, 2, 3)),
    "enable_pmu": ("pmu.csv", (0, 1, 2, 4, 5, 6, 7, 8)),
    "enable_dep_gen": ("deps.json", (0, 1)),
    "enable_scope_stats": ("scope_stats.jsonl", (0, 1)),
}
_PMU_EVENTS = (0, 2)  # pipe utilisation; the other event groups count what has no model
_RENAMED = {"enable_l2_swimlane": "enable_chip_swimlane"}
_WITHOUT_EFFECT = {
    "device_id": "the simulator has one device; the number has no effect",
    "log_level": "the simulator has no device log; the level has no effect",
    "aicpu_thread_num": "the chip file says how many scheduler threads there are; the number has no effect",
    "analyze_auto_scopes_for_deps": "dependencies follow from reads and writes; the flag has no effect",
}
_RING_KEYS = ("ring_heap", "ring_task_window", "ring_dep_pool")
_RUNTIME_KEYS = ("platform", "seed", *_WITHOUT_EFFECT, *_ARTIFACTS, *_RENAMED, *_RING_KEYS)
# Keys of compile_cfg that ask for generated code or another chip, and their values that do not.
_COMPILE_DEFAULTS: dict[str, tuple[object, ...]] = {
    "platform": PLATFORMS,
    "save_kernels": (None, False),
    "save_kernels_dir": (None,),
    "output_dir": (None,),
    "codegen_only": (None, False),
    "distributed_config": (None,),
}
# Keys that choose among passes of the compiler: values do not depend on them.
_COMPILE_SETTINGS = (
    "dump_passes", "dump_ptoas_passes", "compile_profiling", "profiling", "strategy", "backend_type",
    "diagnostic_phase", "disabled_diagnostics", "verification_level", "analyze_auto_scopes_for_deps", "memory_planner",
    "enable_pypto_l0c_double_buffer", "skip_ptoas", "emit_source_loc", "runtime", "aicpu_thread_num", *_ARTIFACTS,
)  # fmt: skip


@dataclass(frozen=True)
class RunRequest:
    """A checked request. seed: of the inputs. artifacts: files to produce. runtime_cfg: for a backend with a device.

    rings: fields of RunOptions that size the rings. bench: repeated launches, None for one.
    """

    seed: int
    artifacts: tuple[str, ...]
    notes: tuple[str, ...]
    runtime_cfg: tuple[tuple[str, Any], ...]
    rings: tuple[tuple[str, Any], ...] = ()
    bench: BenchRequest | None = None

    def applied_to(self, options: RunOptions) -> RunOptions:
        """`options` with this request in it."""
        return replace(options, seed=self.seed, runtime_cfg=self.runtime_cfg, **dict(self.rings))


def check_request(
    options: RunOptions, runtime_cfg: Mapping[str, Any] | None, compile_cfg: Mapping[str, Any] | None
) -> RunRequest:
    """Check both dictionaries for the backend that `options` name.

    Raises InputError: PTO018 for an unknown key or value, PTO026 for times without a cycle model; UnsupportedError for
    what the simulator cannot do. The seed of `options` wins over runtime_cfg['seed']; without either it is 0.
    PYPTO_BENCH asks for repeated launches.
    """
    runtime, compiling = _renamed(dict(runtime_cfg or {})), dict(compile_cfg or {})
    seed = options.seed if options.seed is not None else runtime.pop("seed", None)
    runtime.pop("seed", None)
    artifacts = tuple(_ARTIFACTS[key][0] for key in _ARTIFACTS if _checked_level(key, runtime.get(key)))
    if options.backend != "sim":
        kept = tuple(sorted(runtime.items()))
        return RunRequest(0 if seed is None else int(seed), artifacts, (), kept)
    _check_simulated(runtime, options)
    _check_compile_cfg(compiling)
    asked = {key: runtime.pop(key, compiling.get(key)) for key in _RING_KEYS}
    return RunRequest(
        seed=0 if seed is None else int(seed),
        artifacts=tuple(_ARTIFACTS[key][0] for key in _ARTIFACTS if runtime.get(key)),
        notes=tuple(_notes(runtime)),
        runtime_cfg=tuple(sorted(runtime.items())),
        rings=tuple(ring_fields(options, "runtime_cfg", asked).items()),
        bench=bench_request(),
    )


def _renamed(runtime: dict[str, Any]) -> dict[str, Any]:
    for key in runtime:
        if key not in _RUNTIME_KEYS:
            raise InputError("PTO018", f"runtime_cfg has no key {key}", hint=nearest_name(key, _RUNTIME_KEYS))
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


def _check_simulated(runtime: Mapping[str, Any], options: RunOptions) -> None:
    platform = runtime.get("platform", "a2a3")
    if platform not in PLATFORMS:
        raise InputError(
            "PTO018", f"runtime_cfg: there is no platform {platform!r}", hint=f"use one of {', '.join(PLATFORMS)}"
        )
    if platform.startswith("a5"):
        raise UnsupportedError(f"platform {platform!r}", hint="use -p a2a3")
    event = runtime.get("enable_pmu") or 0
    if int(event) not in _PMU_EVENTS:
        raise UnsupportedError(f"enable_pmu={event} (counters of that event group)", hint="use 2, pipe utilisation")
    timed = [key for key in ("enable_chip_swimlane", "enable_pmu") if runtime.get(key)]
    if timed and not options.timing:
        raise InputError(
            "PTO026",
            f"{timed[0]} asks for times, and --no-timing leaves them out",
            values=f"{timed[0]}={runtime[timed[0]]!r}",
            hint=f"run without --no-timing, or without {timed[0]}",
        )
    level = runtime.get("log_level")
    if level is not None and level not in LOG_LEVELS:
        raise InputError(
            "PTO018", f"runtime_cfg: there is no log_level {level!r}", hint=f"use one of {', '.join(LOG_LEVELS)}"
        )


def _check_compile_cfg(compile_cfg: Mapping[str, Any]) -> None:
    known = (*_COMPILE_DEFAULTS, *_COMPILE_SETTINGS, *_RING_KEYS)
    for key, value in compile_cfg.items():
        if key not in known:
            raise InputError("PTO018", f"compile_cfg has no key {key}", hint=nearest_name(key, known))
        allowed = _COMPILE_DEFAULTS.get(key)
        if allowed is not None and not any(value is one or value == one for one in allowed):
            raise UnsupportedError(f"compile_cfg {key}={value!r}", hint=f"leave {key} out")
        if key == "platform" and str(value).startswith("a5"):
            raise UnsupportedError(f"platform {value!r}", hint="use -p a2a3")


def _notes(runtime: Mapping[str, Any]) -> list[str]:
    notes = [f"{key}={runtime[key]}: {text}" for key, text in _WITHOUT_EFFECT.items() if runtime.get(key)]
    return notes
