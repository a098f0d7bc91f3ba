"""The npu backend against a stand-in for pypto: what it imports, what it passes on, what it gives back."""

import importlib.util
import sys
from pathlib import Path

import ml_dtypes
import numpy as np
import pytest
from pto_sim_npu import NpuBackend, exchange
from pto_sim_npu.tensors import to_numpy, to_torch

from pto_sim.backend import Backend, open_session
from pto_sim.program.errors import InputError, UnsupportedError
from pto_sim.program.options import RunOptions

HERE = Path(__file__).parent
KERNEL = """
import pto_sim.language as pl
from helper_stage import stage
from plain_numbers import SCALE

@pl.jit(auto_scope=False)
def twice(x: pl.Tensor[[4, 8], pl.{dtype}], out: pl.Out[pl.Tensor[[4, 8], pl.{dtype}]]):
    stage(x, out)

if __name__ == "__main__":
    raise SystemExit("the main block ran")
"""
STAGE = """
from pto_sim import language as pl

@pl.jit.inline(auto_scope=False)
def stage(x: pl.Tensor, out: pl.Tensor):
    with pl.at(level=pl.Level.CORE_GROUP):
        out[:, :] = pl.add(x[:, :], x[:, :])
"""


def forget(*names):
    for name in [name for name in sys.modules if name.partition(".")[0] in names]:
        del sys.modules[name]


@pytest.fixture
def pypto(monkeypatch):
    """The stand-in, fresh; torch too where the real one is not installed."""
    monkeypatch.syspath_prepend(str(HERE / "fake"))
    installed = importlib.util.find_spec("torch") is not None
    if not installed:
        monkeypatch.syspath_prepend(str(HERE / "fake_torch"))
    from pypto import recorded

    recorded.CALLS.clear()
    recorded.RESULTS.clear()
    recorded.RESULTS["twice"] = lambda x, out: out.copy_(to_torch(to_numpy(x, NUMPY[str(x.dtype)]) * 2))
    yield recorded
    # Asked before the stand-in was on the path: a later test must not find it as torch.
    forget("pypto") if installed else forget("pypto", "torch")


NUMPY = {
    name: np.dtype(kind)
    for kind, names in (
        (np.float32, ("float32", "torch.float32")),
        (ml_dtypes.bfloat16, ("bfloat16", "torch.bfloat16")),
    )
    for name in names
}


@pytest.fixture
def kernel(tmp_path, monkeypatch):
    """Write the kernel file and its neighbours, and import it as an author would."""

    def make(dtype="FP32"):
        (tmp_path / "kernel_file.py").write_text(KERNEL.format(dtype=dtype))
        (tmp_path / "helper_stage.py").write_text(STAGE)
        (tmp_path / "plain_numbers.py").write_text("SCALE = 2\n")
        monkeypatch.syspath_prepend(str(tmp_path))
        import kernel_file

        return kernel_file.twice

    yield make
    forget("kernel_file", "helper_stage", "plain_numbers")


def arguments(dtype=np.float32):
    x = np.arange(32, dtype=np.float32).reshape(4, 8).astype(dtype)
    return x, np.zeros((4, 8), dtype)


def test_it_is_a_backend():
    backend: Backend = NpuBackend()
    assert backend.name == "npu"


def test_what_is_missing_is_named(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    text = NpuBackend().available()
    assert "pypto" in text and "torch" in text and "pip install" in text


def test_nothing_is_missing_with_both(pypto):
    assert NpuBackend().available() is None


@pytest.mark.parametrize(("name", "dtype"), [("FP32", np.float32), ("BF16", ml_dtypes.bfloat16)])
def test_run_gives_the_vendors_result_and_leaves_arguments_alone(pypto, kernel, name, dtype):
    x, out = arguments(dtype)
    run = NpuBackend().run(kernel(name), (x, out), RunOptions(backend="npu"))
    np.testing.assert_array_equal(run.outputs["out"].view(np.uint8), (x * 2).astype(dtype).view(np.uint8))
    assert run.outputs["out"].dtype == dtype and not out.any() and run.written == {"out": None}
    ((how, function, args, config, source),) = pypto.CALLS
    assert (how, function, len(args), config.platform) == ("call", "twice", 2, "a2a3")
    assert source.startswith("@pl.jit(auto_scope=False)\ndef twice(")


def test_imports_are_exchanged_for_the_kernel_and_its_neighbours_only(pypto, kernel):
    import pypto.language

    import pto_sim.language

    entry = kernel()
    before = {name: sys.modules[name] for name in ("kernel_file", "helper_stage", "plain_numbers")}
    module = exchange.exchanged_module(entry.function.__code__.co_filename)
    assert module.pl is pypto.language and isinstance(module.stage, pypto.language.JITFunction)
    assert {name: sys.modules[name] for name in before} == before
    assert before["kernel_file"].pl is pto_sim.language and sys.modules["pto_sim.language"] is pto_sim.language
    assert not any(isinstance(finder, exchange._Finder) for finder in sys.meta_path)


def test_everything_comes_back_when_a_module_fails(pypto, kernel, tmp_path):
    entry = kernel()
    before, path = dict(sys.modules), list(sys.path)
    (tmp_path / "helper_stage.py").write_text("from pto_sim import language as pl\n1 / 0\n")
    with pytest.raises(ZeroDivisionError):
        exchange.exchanged_module(entry.function.__code__.co_filename)
    assert {name: sys.modules.get(name) for name in before} == before and sys.path == path


@pytest.mark.parametrize(
    ("statement", "expected"),
    [
        ("import pto_sim.language as pl", "import pypto.language as pl"),
        ("import pto_sim.language.distributed as pld", "import pypto.language.distributed as pld"),
        ("from pto_sim import language as pl", "from pypto import language as pl"),
        ("from pto_sim import golden, language", "from pto_sim import golden\nfrom pypto import language"),
        ("from pto_sim.language import jit", "from pypto.language import jit"),
        ("from pto_sim.golden import run_jit", "from pto_sim.golden import run_jit"),
        ("import pto_sim.languages", "import pto_sim.languages"),
        ("from . import language", "from . import language"),
    ],
)
def test_which_imports_are_exchanged(statement, expected):
    import ast

    assert ast.unparse(exchange._Exchange().visit(ast.parse(statement))) == expected


def test_run_config_has_what_the_script_asked_for(pypto, kernel, tmp_path):
    options = RunOptions(
        backend="npu",
        out_dir=tmp_path / "run",
        ring_heap_bytes=(1 << 30,) * 4,
        runtime_cfg=(("device_id", 3), ("enable_pmu", 2), ("log_level", "info"), ("platform", "a2a3sim")),
    )
    run = NpuBackend().run(kernel(), arguments(), options)
    config = pypto.CALLS[0][3]
    assert (config.platform, config.device_id, config.enable_pmu) == ("a2a3sim", 3, 2)
    assert config.ring_heap == [1 << 30] * 4 and config.enable_scope_stats
    assert config.save_kernels_dir == str(tmp_path / "run" / "pypto") == str(run.artifacts["kernels"])


def test_compile_passes_samples_and_is_noted(pypto, kernel):
    with open_session(RunOptions(backend="npu")) as session:
        assert NpuBackend().compile(kernel(), arguments(), session.options) == "compiled twice"
    assert session.compiled == ["twice"] and pypto.CALLS[0][0] == "compile"


@pytest.mark.parametrize("options", [{"scopes": "flat"}, {"hoist": ("x",)}, {"numerics": "cpu-sim"}])
def test_options_of_the_simulator_are_refused(pypto, kernel, options):
    with pytest.raises(UnsupportedError, match="npu backend"):
        NpuBackend().run(kernel(), arguments(), RunOptions(backend="npu", **options))
    assert pypto.CALLS == []


@pytest.mark.parametrize("options", [{"runtime_cfg": (("platform", "a9"),)}, {"ring_heap_bytes": (3000,) * 4}])
def test_what_pypto_refuses_is_an_input_error(pypto, kernel, options):
    with pytest.raises(InputError) as error:
        NpuBackend().run(kernel(), arguments(), RunOptions(backend="npu", **options))
    assert error.value.code == "PTO061" and error.value.hint


def test_kernel_inside_a_function_is_refused(pypto):
    import pto_sim.language as pl

    @pl.jit
    def local(out: pl.Out[pl.Tensor[[4, 8], pl.FP32]]):
        with pl.at(level=pl.Level.CORE_GROUP):
            out[:, :] = pl.full([4, 8], pl.FP32, 1.0)

    with pytest.raises(UnsupportedError, match="inside a function"):
        NpuBackend().run(local, (arguments()[1],), RunOptions(backend="npu"))


def kernel_files():
    """Files of kernels/dsv4 that hold kernels; the others are fixtures, references and scripts."""
    files = sorted((HERE.parents[2] / "kernels" / "dsv4").glob("*.py"))
    return [path for path in files if "import pto_sim.language" in path.read_text(encoding="utf-8")]


@pytest.mark.parametrize("path", kernel_files(), ids=lambda p: p.stem)
def test_the_projects_kernels_import_only_what_can_be_exchanged(path):
    import ast

    tree = exchange._Exchange().visit(ast.parse(path.read_bytes()))
    top = [node for node in tree.body if isinstance(node, (ast.Import, ast.ImportFrom))]
    modules = {alias.name for node in top if isinstance(node, ast.Import) for alias in node.names}
    modules |= {node.module for node in top if isinstance(node, ast.ImportFrom)}
    assert "pypto.language" in modules and not any(name.startswith("pto_sim.language") for name in modules)
