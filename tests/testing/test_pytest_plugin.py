"""The pytest plugin, in a pytest of its own."""

from __future__ import annotations

import pkgutil
import subprocess
import sys

import pytest

pytest_plugins = ["pytester"]


@pytest.fixture(autouse=True)
def plugin_by_name_only(monkeypatch: pytest.MonkeyPatch) -> None:
    """The plugin is named on the command line, so that an installed one is not loaded a second time."""
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")


KERNEL = """
import numpy as np
import pytest
import pto_sim.language as pl
from pto_sim.testing import golden

T = pl.Tensor[[8, 16], pl.FP32]
X = np.ones((8, 16), np.float32)

@pl.jit
def double(x: T, out: pl.Out[T]):
    spare = pl.create_tensor([8, 16], dtype=pl.FP32)
    with pl.at(level=pl.Level.CORE_GROUP):
        out[:, :] = pl.add(x[:, :], x[:, :])
    return out
"""


def run_tests(pytester: pytest.Pytester, body: str) -> pytest.RunResult:
    pytester.makepyfile(KERNEL + body)
    return pytester.runpytest_subprocess("-p", "pto_sim.testing.pytest_plugin", "-p", "no:cacheprovider", "-q")


def test_the_fixture_runs_a_kernel(pytester: pytest.Pytester) -> None:
    body = """
def test_values(pto_run):
    done = pto_run(double, [X, np.zeros_like(X)], scopes="written")
    assert done.outputs["out"] == golden(2 * X)
    assert done.fault is None
"""
    run_tests(pytester, body).assert_outcomes(passed=1)


def test_the_marker_fails_a_test_on_findings(pytester: pytest.Pytester) -> None:
    body = """
@pytest.mark.pto_findings
def test_strict(pto_run):
    pto_run(double, [X, np.zeros_like(X)])

@pytest.mark.pto_findings("error")
def test_only_errors(pto_run):
    pto_run(double, [X, np.zeros_like(X)])

@pytest.mark.pto_findings(ignore=["PTO405"])
def test_one_is_known(pto_run):
    pto_run(double, [X, np.zeros_like(X)])

def test_unmarked(pto_run):
    pto_run(double, [X, np.zeros_like(X)])
"""
    result = run_tests(pytester, body)
    result.assert_outcomes(passed=4, errors=1)
    result.stdout.fnmatch_lines(["*double: PTO405 scratch allocated but never used at *: spare: 512 bytes"])


def test_the_message_of_a_comparison(pytester: pytest.Pytester) -> None:
    body = """
def test_wrong(pto_run):
    done = pto_run(double, [X, np.zeros_like(X)])
    want = 2 * X
    want[3, 5] = 7
    assert done.outputs["out"] == golden(want, rtol=0, atol=0.5)
"""
    result = run_tests(pytester, body)
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(
        [
            "E * assert output == golden(float32 [[]8, 16[]], rtol=0, atol=0.5)",
            "E * 1 of 128 elements are off, the first at [[]3, 5[]]: 2.0, expected 7.0 (rtol 0, atol 0.5)",
        ]
    )


def test_the_plugin_loads_without_hypothesis() -> None:
    """It is loaded by every pytest of an environment with pto-sim, whose own tests may need nothing of it."""
    code = "import sys; sys.modules['hypothesis'] = None; import pto_sim.testing.pytest_plugin"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


def test_every_name_of_the_package_can_be_imported() -> None:
    import pto_sim.testing as package

    assert all(getattr(package, name) is not None for name in package.__all__)
    with pytest.raises(AttributeError, match="no attribute 'golden_values'"):
        package.golden_values  # noqa: B018


def test_no_module_of_the_package_hides_a_name_of_it() -> None:
    """An imported submodule becomes an attribute of the package, before its `__getattr__` is asked."""
    import pto_sim.testing as package

    modules = {module.name for module in pkgutil.iter_modules(package.__path__)}
    assert modules & set(package.__all__) == set()
