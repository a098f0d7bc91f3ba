"""`pto-sim run -m pytest`: a test suite that imports pypto runs as it is, with its own conftest.py and harness."""

import json
import os
import subprocess
import sys

import pytest
from typer.testing import CliRunner

from pto_sim.cli.app import app

CONFTEST = """
import pytest
from pypto import LogLevel
from pypto.pypto_core import _clear_thread_log_level, _set_thread_log_level
from pypto.runtime.runner import RunConfig

def pytest_addoption(parser):
    parser.addoption("--platform", default="a2a3")

@pytest.fixture(scope="session", autouse=True)
def device(request):
    if request.config.getoption("--platform") == "a2a3":
        pytest.skip("no device")

@pytest.fixture(scope="session")
def test_config(request):
    return RunConfig(platform=request.config.getoption("--platform"))

@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_protocol(item, nextitem):
    _set_thread_log_level(LogLevel.ERROR)
    yield
    _clear_thread_log_level()
"""

TESTS = """
import numpy as np
import pypto.language as pl
import pytest
from pypto.ir.compiled_program import CompiledProgram

@pl.jit
def add_one(x: pl.Tensor[[8, 64], pl.FP32], y: pl.Out[pl.Tensor[[8, 64], pl.FP32]]):
    with pl.at(level=pl.Level.CORE_GROUP):
        y[:, :] = pl.add(x[:, :], 1.0)
    return y

@pytest.mark.parametrize("value", [1.0, 2.0])
def test_add(test_config, value):
    x, y = np.full((8, 64), value, np.float32), np.zeros((8, 64), np.float32)
    add_one(x, y, config=test_config)
    assert (y == value + 1).all()
    (compiled,) = add_one._cache.values()
    assert isinstance(compiled, CompiledProgram)

def test_platform(test_config):
    assert test_config.platform == "a2a3sim"

if __name__ == "__main__":
    raise SystemExit(pytest.main([__file__, "-q", "-p", "no:cacheprovider"]))
"""

# The steps of pypto's own harness for a test case, in the order in which it makes them.
HARNESS = """
from pathlib import Path
import torch
import pypto.language as pl
from pypto.backend import BackendType, reset_for_testing, set_backend_type
from pypto.ir.pass_manager import OptimizationStrategy
from pypto.pypto_core.passes import MemoryPlanner
from pypto.runtime import compile_program
from pypto.runtime.device_runner import compile_and_assemble
from pypto.runtime.golden_writer import (
    _data_dir_has_files, _extract_compute_golden, _materialize_tensors, _save_data_files, generate_golden_source,
)
from pypto.runtime.runner import RunConfig, RunResult, _DfxOpts, _execute_on_device, validate_persisted_outputs
from pypto.runtime.tensor_spec import ScalarSpec, TensorSpec

S = [16, 64]

@pl.program
class Scale:
    @pl.function(type=pl.FunctionType.Orchestration)
    def main(self, a: pl.Tensor[S, pl.BF16], c: pl.Out[pl.Tensor[S, pl.BF16]], by: pl.Scalar[pl.BF16]):
        with pl.at(level=pl.Level.CORE_GROUP):
            c[:, :] = pl.mul(a[:, :], by)
        return c

class Case:
    def expected(self, tensors, params=None):
        tensors["c"][:] = tensors["a"] * self.factor
    factor = 2.0

def run_case(work_dir, factor):
    set_backend_type(BackendType.Ascend910B)
    compile_program(Scale, work_dir, strategy=OptimizationStrategy.Default, backend_type=BackendType.Ascend910B,
                    dump_passes=False, memory_planner=MemoryPlanner.PTOAS, enable_pypto_l0c_double_buffer=None)
    assert '"func_id"' in (work_dir / "kernel_config.py").read_text()
    assert list((work_dir / "orchestration").glob("*.cpp"))
    specs = [TensorSpec("a", S, torch.bfloat16, torch.randn), TensorSpec("c", S, torch.bfloat16, is_output=True)]
    case, data = Case(), work_dir / "data"
    case.factor = factor
    source = _extract_compute_golden(case.expected)
    assert not _data_dir_has_files(data, specs)
    tensors = _materialize_tensors(specs)
    _save_data_files({"a": tensors["a"]}, data / "in")
    case.expected(tensors)
    _save_data_files({"c": tensors["c"]}, data / "out")
    assert _data_dir_has_files(data, specs)
    text = generate_golden_source(specs, None, 0.0, 0.0, compute_golden_src=source,
                                  scalar_specs=[ScalarSpec("by", 2, "float")], use_data_files=True)
    (work_dir / "golden.py").write_text(text)
    program, name, config = compile_and_assemble(work_dir, "a2a3sim")
    _execute_on_device(work_dir, work_dir / "golden.py", program, name, "a2a3sim", 0,
                       dfx=_DfxOpts.from_run_config(RunConfig()), enable_sdma=config.get("enable_sdma", False),
                       actual_out_dir=data / "actual")
    validate_persisted_outputs(work_dir, 0.0, 0.0)

def test_passes(tmp_path):
    run_case(tmp_path, 2.0)
    print(RunResult(passed=True, test_name="scale"))

def test_fails(tmp_path):
    run_case(tmp_path, 3.0)
"""


@pytest.fixture
def suite(tmp_path):
    """A folder with a conftest.py and a test file."""
    (tmp_path / "conftest.py").write_text(CONFTEST)
    (tmp_path / "test_add.py").write_text(TESTS)
    return tmp_path


def pto_sim(*arguments, cwd, **environment):
    """Run the command as a process of its own: pytest inside pytest would share its plugins."""
    command = [sys.executable, "-m", "pto_sim.cli", *map(str, arguments)]
    variables = {key: value for key, value in os.environ.items() if not key.startswith("PYTEST")}
    return subprocess.run(command, cwd=cwd, env={**variables, **environment}, capture_output=True, text=True)


QUIET = ("-q", "-p", "no:cacheprovider")


def test_a_suite_runs_as_it_is_and_without_a_platform_on_the_simulator(suite):
    done = pto_sim("run", "-m", "pytest", "-p", "no:cacheprovider", "test_add.py", cwd=suite)
    assert done.returncode == 0 and "3 passed" in done.stdout, done.stdout + done.stderr
    assert "platform a2a3sim" in done.stdout
    assert "pto-sim: 2 kernel runs, 0 stopped by the runtime" in done.stderr


def test_a_platform_that_is_named_is_left_alone(suite):
    done = pto_sim("run", "-m", "pytest", *QUIET, "test_add.py", "--platform", "a2a3", cwd=suite)
    assert "3 skipped" in done.stdout, done.stdout + done.stderr


def test_a_test_file_may_run_itself(suite):
    done = pto_sim("run", "--no-timing", "test_add.py", cwd=suite)
    assert done.returncode == 0 and "3 passed" in done.stdout, done.stdout + done.stderr


def test_processes_that_pytest_starts_serve_the_names_too(suite):
    pytest.importorskip("xdist")
    done = pto_sim("run", "-m", "pytest", *QUIET, "-n", "1", "test_add.py", cwd=suite)
    assert done.returncode == 0 and "3 passed" in done.stdout, done.stdout + done.stderr
    assert "pto-sim: 2 kernel runs" in done.stderr


def test_a_failed_test_fails_the_command_and_every_run_is_in_the_file(suite):
    (suite / "test_add.py").write_text(TESTS.replace("value + 1", "value + 2"))
    done = pto_sim("run", "--json", "runs.json", "-m", "pytest", *QUIET, "test_add.py", cwd=suite)
    assert done.returncode == 1 and "2 failed, 1 passed" in done.stdout, done.stdout + done.stderr
    report = json.loads((suite / "runs.json").read_text())
    assert report["kernel"] == "add_one" and report["time"]["total_us"] > 0


def test_the_steps_of_pyptos_harness(tmp_path):
    pytest.importorskip("torch")
    (tmp_path / "test_scale.py").write_text(HARNESS)
    done = pto_sim("run", "-m", "pytest", *QUIET, "test_scale.py", cwd=tmp_path)
    assert "1 failed, 1 passed" in done.stdout, done.stdout + done.stderr
    assert "AssertionError: Output 'c' does not match golden." in done.stdout


def test_a_module_that_does_not_exist():
    done = CliRunner().invoke(app, ["run", "-m", "pytests", "-q"])
    assert done.exit_code == 2 and "PTO057: there is no module 'pytests'" in done.stderr


def test_options_behind_the_module_are_its_own(tmp_path, monkeypatch):
    (tmp_path / "shown.py").write_text("import sys\nprint(sys.argv[1:], __name__)\n")
    monkeypatch.chdir(tmp_path)
    done = CliRunner().invoke(app, ["run", "--no-timing", "-m", "shown", "--seed", "-m", "x", "--"])
    assert done.stdout == "['--seed', '-m', 'x', '--'] __main__\n", done.stdout + done.stderr
    done = CliRunner().invoke(app, ["run", "--seed", "1"])
    assert done.exit_code == 2 and "-m MODULE" in done.stderr
