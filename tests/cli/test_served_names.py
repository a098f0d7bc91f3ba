"""Scripts written for pypto: the import names are served during the run and gone after it."""

from __future__ import annotations

import importlib
import sys

import pytest

from pto_sim.compat import served_names

SCRIPT = """
import argparse
import numpy as np
import pypto.language as pl
import pypto.language.distributed as pld
from golden import TensorSpec, run_jit
from pypto.backend import BackendType, set_backend_type
from pypto.runtime import RunConfig, run

set_backend_type(BackendType.Ascend910B)
parser = argparse.ArgumentParser()
parser.add_argument("-p", "--platform", default="a2a3")
args = parser.parse_args()

@pl.jit
def double(x: pl.Tensor[[8, 64], pl.FP32], y: pl.Out[pl.Tensor[[8, 64], pl.FP32]]):
    with pl.at(level=pl.Level.CORE_GROUP):
        y[:, :] = pl.mul(x[:, :], 2.0)

specs = [TensorSpec("x", [8, 64], np.float32, init_value=3), TensorSpec("y", [8, 64], np.float32, is_output=True)]
result = run_jit(double, specs, lambda v: v["y"].__setitem__(slice(None), 2 * v["x"]),
                 runtime_cfg=dict(platform=args.platform))
assert result.passed
x, y = np.ones((8, 64), np.float32), np.zeros((8, 64), np.float32)
run(double, x, y, config=RunConfig(platform="a2a3sim", ring_heap=1 << 28))
assert (y == 2).all()
"""


@pytest.mark.parametrize("platform", ["a2a3", "a2a3sim"])
def test_a_script_for_pypto_runs_unedited(cli, tmp_path, platform):
    (tmp_path / "script.py").write_text(SCRIPT)
    done = cli("run", str(tmp_path / "script.py"), "-p", platform)
    assert done.exit_code == 0, done.output


def test_names_are_gone_afterwards():
    with served_names():
        assert importlib.import_module("pypto.language") is importlib.import_module("pto_sim.language")
        with pytest.raises(ModuleNotFoundError, match=r"does not serve 'pypto.debug'"):
            importlib.import_module("pypto.debug")
    assert not any(name.split(".")[0] == "pypto" for name in sys.modules)
