"""Scripts for the command line to run, and a way to run it inside the test process."""

import pytest
from typer.testing import CliRunner

from pto_sim.cli.app import app

SCRIPT = """
import sys
import numpy as np
import pto_sim.language as pl

N = 32

@pl.jit(auto_scope=False)
def add_one(x: pl.Tensor[[N, N], pl.FP32], out: pl.Out[pl.Tensor[[N, N], pl.FP32]]):
    scratch = pl.create_tensor([N, N], dtype=pl.FP32)
    with pl.at(level=pl.Level.CORE_GROUP, name_hint="first"):
        scratch[:, :] = pl.add(x[:, :], 1.0)
    with pl.at(level=pl.Level.CORE_GROUP, name_hint="second"):
        out[:, :] = pl.mul(scratch[:, :], 1.0)

if __name__ == "__main__":
    x, out = np.full((N, N), 2, np.float32), np.zeros((N, N), np.float32)
    add_one(x, out)
    assert (out == 3).all()
    print("arguments:", *sys.argv[1:])
"""


@pytest.fixture
def write(tmp_path):
    """Write a script and return its path as text; `changes` are (old, new) replacements in the sample script."""

    def make(text=None, name="kernel.py", changes=()):
        content = SCRIPT if text is None else text
        for old, new in changes:
            assert old in content
            content = content.replace(old, new)
        path = tmp_path / name
        path.write_text(content)
        return str(path)

    return make


@pytest.fixture
def cli():
    """Run `pto-sim` with arguments; the result has exit_code, stdout and stderr."""

    def run(*arguments):
        return CliRunner().invoke(app, [str(argument) for argument in arguments])

    return run
