"""The backend itself: what is missing, what is asked of pypto, and what comes back."""

from __future__ import annotations

import importlib.util
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from pto_sim.backend import BackendRun, current_session
from pto_sim.program.errors import InputError, UnsupportedError
from pto_sim.program.options import RunOptions
from pto_sim_npu.exchange import exchanged_module
from pto_sim_npu.tensors import to_numpy, to_torch

# Fields of pypto.runtime.RunConfig that a script may set. Source: pypto: python/pypto/runtime/runner.py
RUN_CONFIG_FIELDS = (
    "platform",
    "device_id",
    "enable_chip_swimlane",
    "enable_dump_args",
    "enable_pmu",
    "enable_dep_gen",
    "enable_scope_stats",
)
DEFAULT_PLATFORM = "a2a3"
_PYPTO = "the Python package 'pypto' (build it from github.com/hw-native-sys/pypto: pip install <checkout>)"
_TORCH = "the Python package 'torch' (pip install torch), whose tensors pypto takes"


class NpuBackend:
    """Compiles and runs kernels with pypto, on the platform that the script names (`-p`, default a2a3)."""

    name = "npu"

    def available(self) -> str | None:
        """What is missing on this machine, or None."""
        needed = {"pypto": _PYPTO, "torch": _TORCH}
        missing = [text for module, text in needed.items() if importlib.util.find_spec(module) is None]
        return "missing: " + "; ".join(missing) if missing else None

    def compile(self, kernel: Any, args: Sequence[object], options: RunOptions) -> Any:
        """pypto's CompiledProgram for arguments like `args`."""
        compiled = _vendor_kernel(kernel, options).compile(*map(to_torch, args), config=_run_config(options))
        if (session := current_session()) is not None:
            session.record_compiled(kernel.name)
        return compiled

    def run(
        self,
        kernel: Any,
        args: Sequence[object],
        options: RunOptions,
        progress: Callable[[str, str], None] | None = None,
    ) -> BackendRun:
        """Run on copies of `args`. Errors of pypto pass through as they are."""
        start = time.perf_counter()
        run = BackendRun(kernel.name, {}, options=options)
        vendor = _vendor_kernel(kernel, options)
        tensors = [to_torch(value) for value in args]
        if progress is not None:
            progress("run", f"{kernel.name} (pypto)")
        vendor(*tensors, config=_run_config(options))
        for parameter, value, tensor in zip(kernel.parameters, args, tensors, strict=True):
            if parameter.is_output:
                assert isinstance(value, np.ndarray)
                run.outputs[parameter.name] = to_numpy(tensor, value.dtype)
                run.written[parameter.name] = None
        if options.out_dir is not None:
            run.artifacts["kernels"] = _kernels_dir(options.out_dir)
        run.host_wall_s = run.stage_wall_s["run"] = time.perf_counter() - start
        return run


def _vendor_kernel(kernel: Any, options: RunOptions) -> Any:
    """The same function, decorated by pypto. Raises for options and kernels that cannot be carried over."""
    _refuse_simulator_options(options)
    function = kernel.function
    if "<locals>" in function.__qualname__:
        raise UnsupportedError(
            f"'{kernel.name}', a kernel inside a function, on the npu backend",
            site=kernel.site,
            hint="define it at the top level of its file",
        )
    module = exchanged_module(function.__code__.co_filename)
    vendor = getattr(module, function.__name__, None)
    if vendor is None or not hasattr(vendor, "compile"):
        raise InputError(
            "PTO060",
            f"'{kernel.name}' is no pypto kernel once its imports are exchanged",
            site=kernel.site,
            values=f"got {type(vendor).__name__}",
            hint="decorate it with @pl.jit, where pl is `import pto_sim.language as pl`",
        )
    return vendor


def _refuse_simulator_options(options: RunOptions) -> None:
    for option, used in (
        ("--scopes", options.scopes != "written"),
        ("--hoist", bool(options.hoist)),
        ("--numerics", options.numerics != "a2a3"),
    ):
        if used:
            raise UnsupportedError(f"{option} on the npu backend", hint="leave it out, or use --backend sim")


def _run_config(options: RunOptions) -> Any:
    """pypto's RunConfig for what the script and the command line ask for."""
    from pypto.runtime import RunConfig

    asked = dict(options.runtime_cfg)
    fields: dict[str, Any] = {name: asked[name] for name in RUN_CONFIG_FIELDS if asked.get(name) is not None}
    fields.setdefault("platform", DEFAULT_PLATFORM)
    if options.ring_heap_bytes != RunOptions().ring_heap_bytes:
        fields["ring_heap"] = list(options.ring_heap_bytes)
    if options.out_dir is not None:
        fields.update(save_kernels=True, save_kernels_dir=str(_kernels_dir(options.out_dir)), enable_scope_stats=True)
    try:
        return RunConfig(**fields)
    except ValueError as error:
        raise InputError(
            "PTO061",
            "pypto refuses the run configuration",
            values=str(error),
            hint="check -p, -d and --ring-heap (each a power of two)",
        ) from error


def _kernels_dir(out_dir: Path) -> Path:
    return out_dir / "pypto"
