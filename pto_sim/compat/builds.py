"""The programs that a script has compiled, and how it runs them. One `Builds` serves one script."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from pto_sim.backend import Session, SessionResult, current_session, select
from pto_sim.compat.backends import BackendType, set_backend_type
from pto_sim.compat.compiled_program import CompiledProgram, Program, bound_class, output_types
from pto_sim.compat.refusal import RefusedTypeError
from pto_sim.compat.run_config import RunConfig
from pto_sim.engine.run import run_kernel
from pto_sim.frontend.entry import JitKernel
from pto_sim.frontend.program_class import KernelProgram
from pto_sim.program.errors import InputError, UnsupportedError
from pto_sim.program.launch import kernel_compiler, kernel_runner
from pto_sim.program.options import RunOptions
from pto_sim.program.ring_environment import with_ring_sizes
from pto_sim.report.scope_stats import FILE_NAME as SCOPE_STATS
from pto_sim.report.scope_stats import scope_stats_lines

Say = Callable[[str], None]


class Builds:
    """Compiles and runs for one script. `session` collects its runs, None: they are run and forgotten."""

    def __init__(self, session: Session | None = None) -> None:
        self._session = session if session is not None else current_session()
        self._by_directory: dict[Path, CompiledProgram] = {}
        self._by_kernel: dict[JitKernel, CompiledProgram] = {}
        self._said: set[str] = set()
        self.Compiled = bound_class(self)

    # -- compiling --------------------------------------------------------------------------------

    def compile(
        self,
        program: Any,
        output_dir: str | os.PathLike[str] | None = None,
        strategy: Any = None,
        dump_passes: Any = True,
        backend_type: Any = BackendType.Ascend910B,
        *settings: Any,
        platform: str | None = None,
        **named: Any,
    ) -> CompiledProgram:
        """`pypto.ir.compile`. Checks the rules of the language that need no arguments; settings of the compiler's
        passes change nothing.

        The record of what will run is written to output_dir, else below PYPTO_PROG_BUILD_DIR or build_output.
        Raises UnsupportedError for another chip, RefusedTypeError for something that is no program.
        """
        if platform is None:
            set_backend_type(backend_type)
        if not isinstance(program, (KernelProgram, JitKernel)):
            refusal = getattr(program, "refusal", None)
            if refusal is not None:
                raise refusal()
            raise RefusedTypeError(
                "PTO018", f"{type(program).__name__} is no program", hint="pass a @pl.program class or a @pl.jit kernel"
            )
        host = program.host_method if isinstance(program, KernelProgram) else None
        if host is not None:
            raise UnsupportedError(
                f"the multi-chip program '{program.name}' ({host.name} at level {host.level})",
                site=host.site,
                hint="compile the part of one card",
            )
        chosen = RunConfig(platform=platform or "a2a3sim").platform
        entry = program.entry if isinstance(program, KernelProgram) else program
        self._check(program, entry)
        compiled = self.Compiled(program, entry, self._directory(program.name, output_dir), chosen)
        directory = compiled.output_dir.resolve()  # asking for it writes the record
        for stale in [path for path in self._by_directory if not path.exists()]:
            del self._by_directory[stale]
        self._by_directory[directory] = self._by_kernel[entry] = compiled
        if self._session is not None:
            self._session.record_compiled(program.name)
        return compiled

    def compile_kernel(
        self, kernel: Any, args: Sequence[Any] = (), config: Any = None, *, lowered: bool = False
    ) -> Any:
        """The compiled form of a `@pl.jit` kernel, see `launch.KernelCompiler`. Writes nothing yet."""
        if lowered:
            return Program(kernel.name)
        asked = _run_config(config)
        directory = self._directory(kernel.name, asked.save_kernels_dir)
        compiled = self.Compiled(kernel, kernel, directory, asked.platform, output_types(kernel, args))
        self._by_kernel[kernel] = compiled
        return compiled

    def compile_program(
        self, program: Any, work_dir: str | os.PathLike[str], *, backend_type: Any = None, **settings: Any
    ) -> None:
        """`pypto.runtime.compile_program`: `compile` into work_dir."""
        self.compile(program, work_dir, backend_type=backend_type or BackendType.Ascend910B)

    def compile_and_assemble(
        self, work_dir: str | os.PathLike[str], platform: str, *settings: Any, **named: Any
    ) -> tuple[CompiledProgram, str, dict[str, Any]]:
        """`device_runner.compile_and_assemble`: the program compiled into work_dir, the runtime's name and settings.

        Raises InputError (PTO018) for a directory that nothing was compiled into by this process.
        """
        compiled = self.compiled_into(work_dir, platform)
        return compiled, compiled.runtime_name, compiled.runtime_config

    def compiled_into(self, work_dir: str | os.PathLike[str], platform: str | None = None) -> CompiledProgram:
        """What this process compiled into a directory. Raises as compile_and_assemble."""
        compiled = self._by_directory.get(Path(work_dir).resolve())
        if compiled is None:
            raise InputError(
                "PTO018",
                f"nothing was compiled into {work_dir} by this process",
                hint="compile the program again: a directory holds a record of it, not code",
            )
        if platform is not None:
            RunConfig(platform=platform)  # refuses what is not simulated
        return compiled

    def _check(self, program: KernelProgram | JitKernel, entry: JitKernel) -> None:
        """Rules of the language that hold without arguments, in every function of the program."""
        variant = entry.variant(RunOptions())
        for function in program.methods.values() if isinstance(program, KernelProgram) else (entry,):
            function.form(variant)

    def _directory(self, name: str, asked: str | os.PathLike[str] | None) -> Path:
        if asked is not None:
            return Path(asked)
        base = os.environ.get("PYPTO_PROG_BUILD_DIR") or "build_output"
        return Path(base).resolve() / f"{name}_{time.strftime('%Y%m%d_%H%M%S')}"

    # -- running ----------------------------------------------------------------------------------

    def run(self, program: Any, *tensors: Any, config: RunConfig | None = None) -> CompiledProgram:
        """`pypto.runtime.run`: compile, run on the tensors in place if there are any, return the compiled program."""
        asked = _run_config(config)
        if isinstance(program, JitKernel):
            compiled = self.compile_kernel(program, tensors, asked)
        else:
            compiled = self.compile(program, asked.save_kernels_dir, platform=asked.platform)
        if tensors and not asked.codegen_only:
            compiled(*tensors, config=asked)
        return compiled

    def execute_compiled(
        self,
        work_dir: str | os.PathLike[str],
        args: Sequence[Any],
        *,
        platform: str,
        device_id: int = 0,
        dfx: Any = None,
        **settings: Any,
    ) -> None:
        """`pypto.runtime.execute_compiled`: run what was compiled into work_dir on `args`, outputs in place."""
        compiled = self.compile_and_assemble(work_dir, platform)[0]
        wanted = {name: getattr(dfx, name) for name in _DFX_NAMES if getattr(dfx, name, 0)}
        compiled(*args, config=RunConfig(platform=platform, device_id=device_id, **wanted))

    def call(self, entry: JitKernel, args: Sequence[Any], config: Any) -> Any:
        """Call a kernel of a compiled program, from any thread; its runs belong to this script."""
        runner, compiler = kernel_runner.set(self.run_kernel), kernel_compiler.set(None)
        try:
            return entry(*args, config=config)
        finally:
            kernel_compiler.reset(compiler)
            kernel_runner.reset(runner)

    def run_kernel(self, kernel: Any, args: Sequence[Any], config: Any = None) -> Mapping[str, np.ndarray]:
        """See `launch.KernelRunner`. What the runtime stopped is raised; the session has recorded it."""
        asked = _run_config(config)
        session = current_session() or self._session  # a thread of the script has no current one
        if session is None and not asked.any_dfx_enabled():
            return run_kernel(kernel, args, RunOptions(), ()).outputs
        options = asked.applied_to(session.options if session is not None else RunOptions())
        run = select(options.backend).run(kernel, args, options, session.progress if session is not None else None)
        error = str(run.fault) if run.fault is not None else None
        if session is not None:
            session.record(SessionResult(run, passed=run.fault is None, error=error))
        self._collect(kernel, asked, run, options)
        if run.fault is not None:
            raise run.fault
        return run.outputs

    def _collect(self, kernel: Any, asked: RunConfig, run: Any, options: RunOptions) -> None:
        """Files that the diagnostics of `asked` leave, and a note for each that the simulator does not have."""
        if asked.enable_scope_stats:
            reading = run.scope_reading()
            sized = with_ring_sizes(run.options or options)
            compiled = self._by_kernel.get(kernel) or self.compile_kernel(kernel, (), asked)
            path = compiled.output_dir / SCOPE_STATS
            path.parent.mkdir(parents=True, exist_ok=True)
            lines = scope_stats_lines(
                reading,
                sized.ring_heap_bytes,
                fatal=run.fault is not None,
                task_windows=sized.ring_task_window,
                dep_pools=sized.ring_dep_pool,
            )
            path.write_text("\n".join(lines) + "\n", encoding="utf-8")
            print(f"scope_stats written to {path}")
        for name, file in _NOT_WRITTEN.items():
            if getattr(asked, name):
                self.note(f"{name}: {file} is not written; report.html and trace.json of --out show tasks and time")

    def note(self, text: str) -> None:
        """Print a note, once for each script."""
        if text not in self._said:
            self._said.add(text)
            print(f"[RUN] note: {text}", flush=True)


_DFX_NAMES = ("enable_chip_swimlane", "enable_dump_args", "enable_pmu", "enable_dep_gen", "enable_scope_stats")
_NOT_WRITTEN = {
    "enable_chip_swimlane": "chip_swimlane_records.json",
    "enable_dump_args": "args_dump",
    "enable_pmu": "pmu.csv",
    "enable_dep_gen": "deps.json",
}


def _run_config(config: Any) -> RunConfig:
    if config is None:
        return RunConfig()
    if not isinstance(config, RunConfig):
        raise RefusedTypeError("PTO018", f"config= is a {type(config).__name__}", hint="pass a pypto.runtime.RunConfig")
    return config
