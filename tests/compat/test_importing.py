"""Serving import names: what is found, what is refused, and that two scripts share nothing."""

import importlib
import sys
import threading

import numpy as np
import pytest

from pto_sim.compat import served_names
from pto_sim.compat.importing import SERVED
from pto_sim.program.errors import InputError, UnsupportedError

X = np.ones((16, 64), np.float32)


def test_every_served_module_imports_and_refuses_other_names(builds):
    for name in SERVED:
        module = importlib.import_module(name)
        if name.split(".")[0] in ("pypto", "simpler") and hasattr(module, "__path__"):
            with pytest.raises((UnsupportedError, AttributeError, ImportError)):
                module.no_such_part  # noqa: B018


@pytest.mark.parametrize(
    "name", ["pypto.debug", "pypto.runtime.debug.replay", "simpler.task_interface", "simpler_setup"]
)
def test_a_part_that_is_not_served_says_so(builds, name):
    with pytest.raises(ModuleNotFoundError, match=f"PTO001: pto-sim does not serve '{name[:13]}"):
        importlib.import_module(name)


@pytest.mark.parametrize("name", ["pypto.compile_profiling", "pypto.runtime.pto_isa_include_dir", "pypto.ir.IRBuilder"])
def test_a_name_that_is_not_served_is_refused_by_name(builds, name):
    module, _, part = name.rpartition(".")
    with pytest.raises(UnsupportedError, match=name):
        getattr(importlib.import_module(module), part)


def test_two_scripts_share_nothing(tmp_path):
    import pto_sim.language as pl

    @pl.jit
    def twice(x: pl.Tensor[[16, 64], pl.FP32], y: pl.Out[pl.Tensor[[16, 64], pl.FP32]]):
        with pl.at(level=pl.Level.CORE_GROUP):
            y[:, :] = pl.mul(x[:, :], 2.0)

    with served_names():
        first = importlib.import_module("pypto.ir")
        first.compile(twice, tmp_path)
        first.CompiledProgram.from_dir(tmp_path)
    with served_names():
        second = importlib.import_module("pypto.ir")
        assert second is not first
        with pytest.raises(InputError, match="nothing was compiled into"):
            second.CompiledProgram.from_dir(tmp_path)
    assert not [name for name in sys.modules if name.split(".")[0] in ("pypto", "simpler")]


def test_a_module_of_that_name_is_hidden_and_comes_back(monkeypatch):
    mine = type(sys)("golden")
    monkeypatch.setitem(sys.modules, "golden", mine)
    with served_names():
        assert importlib.import_module("golden") is importlib.import_module("pto_sim.golden")
    assert sys.modules["golden"] is mine


def test_a_compiled_program_runs_in_another_thread(builds, add_program):
    from pypto import ir

    out = np.zeros_like(X)
    compiled = ir.compile(add_program)
    thread = threading.Thread(target=compiled, args=(X, X, out))
    thread.start()
    thread.join()
    np.testing.assert_array_equal(out, 2 * X)
