"""A pytest plugin for the processes that pytest itself starts (`pytest -n 4`): each serves pypto's names.

`pytest_processes.environment` makes pytest load it there, and in the process of `pto-sim run`, where the names are
served already: there it adds up what the others counted. Where pypto's tests would take the platform a2a3 by default
and skip without a device, they take a2a3sim.
"""

from __future__ import annotations

import os
from contextlib import ExitStack
from typing import Any

import pytest

from pto_sim import __version__
from pto_sim.backend import current_session, open_session
from pto_sim.compat.importing import served_names
from pto_sim.compat.pytest_processes import options_of_environment
from pto_sim.compat.run_tally import RunTally
from pto_sim.program.launch import kernel_compiler

SIMULATED, _DEVICE = "a2a3sim", "a2a3"
_COUNTS = "pto_sim_counts"
_serving = pytest.StashKey[ExitStack]()


def pytest_load_initial_conftests(early_config: pytest.Config) -> None:
    """Serve the names before the first conftest.py is read, in a process that does not yet."""
    if kernel_compiler.get() is not None:
        return
    options = options_of_environment()
    serving = early_config.stash[_serving] = ExitStack()
    serving.enter_context(open_session(options, session=RunTally(options)))
    serving.enter_context(served_names())


def pytest_configure(config: pytest.Config) -> None:
    """Without --platform, what pypto's conftest.py takes for a device becomes its simulator."""
    if config.getoption("platform", None) == _DEVICE and not _names_platform(config):
        config.option.platform = SIMULATED


def _names_platform(config: pytest.Config) -> bool:
    given = [*config.invocation_params.args, *os.environ.get("PYTEST_ADDOPTS", "").split(), *config.getini("addopts")]
    return any(str(argument).startswith("--platform") for argument in given)


def pytest_report_header(config: pytest.Config) -> str:
    """What runs the kernels."""
    platform = config.getoption("platform", None)
    return f"kernels: pto-sim {__version__}" + (f", platform {platform}" if platform else "")


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Send the counts to the process that started this one."""
    tally = current_session()
    output = getattr(session.config, "workeroutput", None)
    if output is not None and isinstance(tally, RunTally):
        output[_COUNTS] = tally.counts()


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    """A process has ended: add its counts. A hook of pytest-xdist."""
    tally, counts = current_session(), getattr(node, "workeroutput", {}).get(_COUNTS)
    if counts is not None and isinstance(tally, RunTally):
        tally.add(counts)


def pytest_unconfigure(config: pytest.Config) -> None:
    """Imports are as before again."""
    serving = config.stash.get(_serving, None)
    if serving is not None:
        serving.close()
