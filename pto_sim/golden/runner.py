"""Running a kernel on the inputs of its specs and comparing what it gives with the golden.

Signatures, order of stages and printed lines follow pypto-lib: golden/runner.py.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from pto_sim.backend import BackendRun, Session, SessionResult, current_session, select
from pto_sim.frontend.entry import JitKernel
from pto_sim.golden import build_record, work_directory
from pto_sim.golden import golden_data as stored
from pto_sim.golden.benchmark import BenchmarkStats, measure, print_stats
from pto_sim.golden.comparers import Comparer
from pto_sim.golden.run_request import RunRequest, check_request
from pto_sim.golden.specs import ScalarSpec, TensorSpec
from pto_sim.golden.tensors import as_numpy, as_torch, is_torch
from pto_sim.golden.validation import checked_compare_fn, validate_golden
from pto_sim.program.errors import InputError
from pto_sim.program.forks import forkable, private_copy
from pto_sim.program.options import RunOptions
from pto_sim.program.seeding import seeded_generators
from pto_sim.program.stacked import StackedArray
from pto_sim.report import run_directory

GoldenFunction = Callable[[dict[str, Any]], object]


@dataclass
class RunResult:
    """What a run came to.

    error: why it did not pass. execution_time: host seconds. work_dir: its files, if any. bench: with PYPTO_BENCH.
    """

    passed: bool
    error: str | None = None
    execution_time: float | None = None
    work_dir: Path | None = None
    bench: BenchmarkStats | None = None

    def __str__(self) -> str:
        seconds = "" if self.execution_time is None else f" ({self.execution_time:.2f}s)"
        if self.passed:
            return f"PASS{seconds}"
        return f"FAIL: {self.error}{seconds}" if self.error else f"FAIL{seconds}"


def run_jit(
    fn: Any,
    specs: Sequence[TensorSpec | ScalarSpec],
    golden_fn: GoldenFunction | None = None,
    golden_data: str | Path | None = None,
    compile_cfg: Mapping[str, Any] | None = None,
    runtime_cfg: Mapping[str, Any] | None = None,
    rtol: float = 1e-5,
    atol: float = 1e-5,
    compare_fn: Mapping[str, Comparer] | None = None,
    compile_only: bool = False,
    runtime_dir: str | None = None,
    save_data: bool = False,
) -> RunResult:
    """Run the kernel `fn` and compare its outputs.

    specs: one for each parameter, in parameter order. golden_fn: called with a dict of the inputs (read-only arrays or
    copies of torch tensors; scalars as Python numbers) and zeroed outputs, fills the outputs in place. golden_data: a
    directory with in/ and out/ instead
    of golden_fn. Without either the comparison is skipped. runtime_cfg, compile_cfg: see `run_request`; the key `seed`
    of runtime_cfg seeds the inputs. compare_fn: a comparer for an output by name. compile_only: stop before the run,
    and leave a build directory. runtime_dir: such a directory; the kernel is not checked again, and the run's files go
    there.
    save_data: leave inputs and golden in work_dir/data, in the form that golden_data takes.

    Inside a session of the command line its options hold and the result is recorded there. A failed comparison, a
    runtime error code and a ValueError are results; everything else is raised: InputError, KernelError,
    UnsupportedError (a file in runtime_cfg that is not produced).
    """
    refusal = getattr(fn, "refusal", None)
    if refusal is not None:
        raise refusal()  # before the inputs are made
    case = _Case(fn, list(specs), golden_fn, None if golden_data is None else Path(golden_data), rtol, atol)
    case.save_data = save_data
    if runtime_dir is not None:
        if compile_only:
            return RunResult(passed=False, error="runtime_dir is incompatible with compile_only")
        if not Path(runtime_dir).is_dir():
            return RunResult(passed=False, error=f"runtime_dir does not exist: {runtime_dir}")
        case.use_build(Path(runtime_dir))
    session = current_session()
    options = session.options if session is not None else RunOptions()
    request = check_request(options, runtime_cfg, compile_cfg)
    for note in request.notes:
        print(f"[RUN] note: {note}", flush=True)
    start = time.perf_counter()
    try:
        case.compare_fn = checked_compare_fn(compare_fn, case.output_names)
        result = case.compiled(request, options) if compile_only else case.run(request, options, session)
    except ValueError as error:
        result = RunResult(passed=False, error=str(error))
    result.execution_time = time.perf_counter() - start
    if result.passed:
        skipped = ", validation skipped: no golden_fn or golden_data" if not (compile_only or case.golden) else ""
        print(f"[RUN] PASS ({result.execution_time:.2f}s{skipped})", flush=True)
    return result


def run(
    program: Any,
    specs: Sequence[TensorSpec | ScalarSpec],
    golden_fn: GoldenFunction | None = None,
    golden_data: str | Path | None = None,
    compile_cfg: Mapping[str, Any] | None = None,
    runtime_cfg: Mapping[str, Any] | None = None,
    rtol: float = 1e-5,
    atol: float = 1e-5,
    compare_fn: Mapping[str, Comparer] | None = None,
    compile_only: bool = False,
    runtime_dir: str | None = None,
    save_data: bool = False,
) -> RunResult:
    """`run_jit`, under the name that upstream uses for a `@pl.program` class. Same parameters."""
    return run_jit(
        program, specs, golden_fn, golden_data, compile_cfg, runtime_cfg, rtol, atol, compare_fn, compile_only,
        runtime_dir, save_data,
    )  # fmt: skip


@contextmanager
def _stage(name: str) -> Iterator[None]:
    print(f"[RUN] {name} ...", flush=True)
    start = time.perf_counter()
    yield
    print(f"[RUN] {name} done ({time.perf_counter() - start:.2f}s)", flush=True)


class _Case:
    """One call of `run_jit`."""

    def __init__(
        self,
        fn: Any,
        specs: list[TensorSpec | ScalarSpec],
        golden_fn: GoldenFunction | None,
        data_dir: Path | None,
        rtol: float,
        atol: float,
    ) -> None:
        self.fn, self.specs, self.golden_fn, self.data_dir = fn, specs, golden_fn, data_dir
        self.rtol, self.atol = rtol, atol
        self.compare_fn: dict[str, Comparer] = {}
        self.save_data = False
        self.build: Path | None = None
        # A script that describes its tensors with torch types has golden functions and comparers for torch tensors.
        self.in_torch = any(is_torch(spec.dtype) for spec in specs)

    @property
    def outputs(self) -> list[TensorSpec]:
        return [spec for spec in self.specs if isinstance(spec, TensorSpec) and spec.is_output]

    @property
    def output_names(self) -> list[str]:
        return [spec.name for spec in self.outputs]

    @property
    def golden(self) -> bool:
        """Whether there is something to compare with."""
        return self.golden_fn is not None or self.data_dir is not None

    def use_build(self, directory: Path) -> None:
        """Run from a build directory. Raises InputError (PTO025)."""
        note = build_record.check(directory, self.fn, self.specs)
        print(f"[RUN] runtime_only: skipping compile, using {directory}", flush=True)
        if note:
            print(f"[RUN] note: {note}", flush=True)
        self.build = directory

    def checked(self, options: RunOptions) -> None:
        """Rules of the language that need no arguments, as upstream's compiler checks them before inputs are made."""
        entry = getattr(self.fn, "entry", self.fn)
        if options.backend == "sim" and isinstance(entry, JitKernel):
            with _stage("compile"):
                entry.form(entry.variant(options))

    def compiled(self, request: RunRequest, options: RunOptions) -> RunResult:
        """Stop after compiling: arguments have the right shapes and no values."""
        with _stage("compile"):
            arguments: list[Any] = [
                spec.to_python() if isinstance(spec, ScalarSpec) else np.zeros(tuple(spec.shape), spec.numpy_dtype)
                for spec in self.specs
            ]
            select(options.backend).compile(self.fn, arguments, request.applied_to(options))
        directory = work_directory.unused(getattr(self.fn, "name", getattr(self.fn, "__name__", "kernel")))
        build_record.write(directory, self.fn, self.specs)
        print(f"[RUN]   build: {directory}", flush=True)
        return RunResult(passed=True, work_dir=directory)

    def run(self, request: RunRequest, options: RunOptions, session: Session | None) -> RunResult:
        """Inputs, golden, kernel, comparison."""
        backend = select(options.backend)
        options = request.applied_to(options)
        if self.build is None:
            self.checked(options)
        with _stage("generate inputs"):
            inputs = self._inputs(request.seed)
        self._check_stacked(inputs)
        golden = self._golden(inputs)
        directory = self._directory(request, options, session)
        if self.save_data and directory is not None:
            stored.save(directory / "data" / "in", inputs, self.in_torch)
            stored.save(directory / "data" / "out", golden or {}, self.in_torch)
        with _stage("runtime"):
            run = backend.run(self.fn, self._arguments(inputs), options, session.progress if session else None)
        bench = self._benchmark(request, options, inputs)
        error = self._compare(run, inputs, golden)
        result = SessionResult(run, passed=error is None, error=error, compared=golden is not None)
        if session is not None:
            session.record(result)
        if directory is not None and directory != options.out_dir:
            work_directory.finish(directory, result, options)
            print(f"[RUN]   files: {directory}", flush=True)
        return RunResult(passed=error is None, error=error, work_dir=directory, bench=bench)

    def _check_stacked(self, inputs: Mapping[str, np.ndarray]) -> None:
        """Raises ValueError for what needs the whole of an argument that is made in parts."""
        for spec in self.outputs:
            if isinstance(inputs.get(spec.name), StackedArray) and self.golden and spec.name not in self.compare_fn:
                raise ValueError(f"{spec.name} is made in parts, so no golden holds all of it: give it a comparer")
        stacked = [name for name, value in inputs.items() if isinstance(value, StackedArray)]
        if stacked and self.save_data:
            raise ValueError(f"save_data needs all of {', '.join(stacked)} at once, which are made in parts")

    def _benchmark(
        self, request: RunRequest, options: RunOptions, inputs: Mapping[str, np.ndarray]
    ) -> BenchmarkStats | None:
        """Repeated launches on the same inputs, if PYPTO_BENCH asks for them."""
        if request.bench is None:
            return None
        backend, arguments = select(options.backend), self._arguments(inputs)
        with _stage("benchmark"):
            stats = measure(
                lambda: backend.run(self.fn, arguments, options, None), request.bench.rounds, request.bench.warmup
            )
        print_stats(stats, request.bench.raw)
        return stats

    def _directory(self, request: RunRequest, options: RunOptions, session: Session | None) -> Path | None:
        """Where files go: the command line's run directory, else one of our own if anything asks for files."""
        if session is not None and options.out_dir is not None:
            return options.out_dir
        if self.build is not None:
            run_directory.begin(self.build)
            return self.build
        if self.save_data or request.artifacts:
            return work_directory.create(getattr(self.fn, "name", getattr(self.fn, "__name__", "kernel")))
        return None

    def _inputs(self, seed: int) -> dict[str, np.ndarray]:
        """Value of every input by name; scalars as 0-d arrays."""
        if self.data_dir is not None:
            stored.check_complete(self.data_dir, self.specs)
            print(f"[RUN]   cache hit: {self.data_dir / 'in'}", flush=True)
            return stored.load_inputs(self.data_dir, self.specs)
        with seeded_generators(seed):  # init callables without a `seed` parameter draw from the libraries' own
            return {
                spec.name: spec.value if isinstance(spec, ScalarSpec) else _initial(spec, seed)
                for spec in self.specs
                if isinstance(spec, ScalarSpec) or spec.is_input
            }

    def _arguments(self, inputs: Mapping[str, np.ndarray]) -> list[Any]:
        """Kernel arguments in parameter order; pure outputs are zeros."""
        arguments: list[Any] = []
        for spec in self.specs:
            if isinstance(spec, ScalarSpec):
                arguments.append(inputs[spec.name].item())
            else:
                found = inputs.get(spec.name)
                arguments.append(np.zeros(tuple(spec.shape), spec.numpy_dtype) if found is None else found)
        return arguments

    def _golden(self, inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray] | None:
        """Expected outputs by name, None if there is nothing to compare with."""
        if not self.golden:
            return None
        with _stage("compute golden"):
            if self.data_dir is not None:
                print(f"[RUN]   cache hit: {self.data_dir / 'out'}", flush=True)
                return stored.load_outputs(self.data_dir, self.specs)
            assert self.golden_fn is not None
            values: dict[str, Any] = {}
            for spec, argument in zip(self.specs, self._arguments(inputs), strict=True):
                values[spec.name] = self._handed_out(self._for_golden(spec, argument))
            try:
                self.golden_fn(values)
            except ValueError as error:
                if "read-only" not in str(error):
                    raise
                raise ValueError(
                    f"golden_fn changes one of its inputs ({error}); they are the kernel's own: copy what it changes"
                ) from error
            return {spec.name: as_numpy(values[spec.name]) for spec in self.outputs}

    def _for_golden(self, spec: TensorSpec | ScalarSpec, argument: Any) -> Any:
        """An argument as the golden function may use it: outputs to fill, inputs to read.

        torch has no read-only tensors, so a script's torch function, which may change its inputs, gets copies. What is
        made in parts is not there yet; see `LayerStacks` for a reference that goes along.
        """
        if not isinstance(argument, np.ndarray):
            return argument
        stacked = isinstance(argument, StackedArray)
        if self.in_torch or (getattr(spec, "is_output", False) and not stacked):
            return private_copy(argument)
        lent = argument.view()
        lent.flags.writeable = False
        return lent

    def _handed_out(self, value: Any) -> Any:
        """A value as the script's own functions expect it."""
        return as_torch(value) if self.in_torch and isinstance(value, np.ndarray) else value

    def _compare(
        self, run: BackendRun, inputs: Mapping[str, np.ndarray], golden: Mapping[str, np.ndarray] | None
    ) -> str | None:
        """Why the run did not pass, or None."""
        if run.fault is not None:
            return str(run.fault)
        actual = self._actual(run)
        if golden is None:
            return None
        with _stage("validate"):
            try:
                validate_golden(
                    {name: self._handed_out(array) for name, array in actual.items()},
                    {name: self._handed_out(array) for name, array in golden.items()},
                    self.rtol,
                    self.atol,
                    self.compare_fn,
                    {name: self._handed_out(array) for name, array in inputs.items()},
                )
            except AssertionError as error:
                return str(error)
        return None

    def _actual(self, run: BackendRun) -> dict[str, np.ndarray]:
        """Outputs by spec name. A spec stands for the parameter at its place, whatever their names."""
        parameters = getattr(self.fn, "parameters", ())
        names = [p.name for p in parameters] if len(parameters) == len(self.specs) else [s.name for s in self.specs]
        places = {spec.name: name for spec, name in zip(self.specs, names, strict=True)}
        missing = [name for name in self.output_names if places[name] not in run.outputs]
        if missing:
            raise InputError(
                "PTO019",
                f"'{run.kernel}' gives no output {', '.join(missing)}",
                values=f"its outputs are {', '.join(run.outputs) or 'none'}",
                hint="declare the parameter pl.Out[...] or pl.InOut[...], and put its spec at the same place",
            )
        return {spec.name: _of_type(run.outputs[places[spec.name]], spec.numpy_dtype) for spec in self.outputs}


def _initial(spec: TensorSpec, seed: int) -> np.ndarray:
    """The first value of a tensor. What is written as well is copied for the kernel and for the golden."""
    array = spec.initial_array(seed)
    return forkable(array) if spec.is_output and not isinstance(array, StackedArray) else array


def _of_type(array: np.ndarray, dtype: np.dtype) -> np.ndarray:
    """The same bits in the integer type of a spec, which may be signed where the kernel's parameter is not."""
    integers = array.dtype.kind in "iu" and dtype.kind in "iu" and array.itemsize == dtype.itemsize
    return array.view(dtype) if integers else array
