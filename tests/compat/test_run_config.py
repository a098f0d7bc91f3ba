"""RunConfig: pypto's fields and rules, and what a run takes from it."""

import dataclasses
import json

import numpy as np
import pytest

from pto_sim.backend import open_session
from pto_sim.compat.run_config import RunConfig
from pto_sim.program.errors import InputError, RuntimeFault, UnsupportedError
from pto_sim.program.options import RunOptions

X = np.ones((16, 64), np.float32)


def test_defaults_and_copies():
    config = RunConfig(ring_heap=(1024, 0, 2048, 4096), rtol=1e-3)
    assert config.platform == "a2a3sim" and config.ring_heap == [1024, 0, 2048, 4096]
    changed = dataclasses.replace(config, platform="a2a3")
    assert isinstance(changed, RunConfig) and (changed.platform, changed.rtol) == ("a2a3", 1e-3)


def test_an_unknown_field_names_the_nearest():
    with pytest.raises(TypeError, match=r"(?s)PTO018.*'ring_heaps'.*did you mean ring_heap\?"):
        RunConfig(ring_heaps=1)
    with pytest.raises(InputError, match=r"(?s)enable_scope_stat\b.*did you mean enable_scope_stats\?"):
        RunConfig(enable_scope_stat=True)


@pytest.mark.parametrize(
    "fields",
    [
        {"platform": "a4"},
        {"ring_heap": 1000},
        {"ring_heap": 0},
        {"ring_heap": [1024] * 3},
        {"ring_task_window": True},
        {"ring_task_window": 3},
        {"ring_dep_pool": [4, 4, 4, 3]},
        {"enable_chip_swimlane": 5},
    ],
)
def test_values_that_cannot_be(fields):
    with pytest.raises(ValueError, match="PTO018"):
        RunConfig(**fields)


@pytest.mark.parametrize("platform", ["a5", "a5sim"])
def test_other_chips_are_refused_by_name(platform):
    with pytest.raises(UnsupportedError, match=platform):
        RunConfig(platform=platform)


def test_the_former_name_of_the_swimlane():
    with pytest.warns(DeprecationWarning):
        config = RunConfig(enable_l2_swimlane=True)
    assert config.enable_chip_swimlane == 4 == config.enable_l2_swimlane
    with pytest.warns(DeprecationWarning), pytest.raises(ValueError, match="PTO018"):
        RunConfig(enable_l2_swimlane=1, enable_chip_swimlane=1)


def test_diagnostics_keep_the_files():
    assert not RunConfig().any_dfx_enabled()
    assert RunConfig(enable_pmu=2).save_kernels


@pytest.fixture
def scratch_user(builds):
    """A kernel whose scratch takes 4096 bytes of ring 0."""
    import pypto.language as pl

    @pl.jit(auto_scope=False)
    def kernel(x: pl.Tensor[[16, 64], pl.FP32], y: pl.Out[pl.Tensor[[16, 64], pl.FP32]]):
        scratch = pl.create_tensor([16, 64], dtype=pl.FP32)
        with pl.at(level=pl.Level.CORE_GROUP):
            scratch[:, :] = pl.add(x[:, :], 1.0)
        with pl.at(level=pl.Level.CORE_GROUP):
            y[:, :] = pl.mul(scratch[:, :], 2.0)
        return y

    return kernel


def test_the_rings_of_the_run_have_the_sizes_of_the_script(scratch_user):
    with open_session(RunOptions(timing=False)) as session:
        scratch_user(
            X, np.zeros_like(X), config=RunConfig(ring_heap=8192, ring_task_window=64, ring_dep_pool=[0, 8, 8, 8])
        )
        options = session.results[0].run.options
        assert options.ring_heap_bytes == (8192,) * 4
        assert (options.ring_task_window, options.ring_dep_pool) == ((64,) * 4, (16384, 8, 8, 8))
        with pytest.raises(RuntimeFault, match="PTO902"):
            scratch_user(X, np.zeros_like(X), config=RunConfig(ring_heap=2048))


def test_the_command_line_has_the_last_word_on_the_heap(scratch_user):
    options = RunOptions(timing=False, ring_heap_bytes=(2048,) * 4, ring_heap_given=True)
    with open_session(options), pytest.raises(RuntimeFault, match="PTO902"):
        scratch_user(X, np.zeros_like(X), config=RunConfig(ring_heap=8192))


def test_scope_stats_are_left_in_the_programs_directory(scratch_user, tmp_path, monkeypatch):
    monkeypatch.setenv("PYPTO_PROG_BUILD_DIR", str(tmp_path))
    scratch_user(X, np.zeros_like(X), config=RunConfig(enable_scope_stats=True, ring_heap=8192, ring_task_window=64))
    (path,) = tmp_path.glob("kernel_*/dfx_outputs/scope_stats/scope_stats.jsonl")
    meta = json.loads(path.read_text().splitlines()[0])
    assert (meta["heap_max"], meta["task_window_max"], meta["dep_pool_max"]) == ([8192] * 4, [64] * 4, [16384] * 4)


def test_other_diagnostics_are_said_once(scratch_user, capsys):
    with open_session(RunOptions(timing=False)):
        for _ in range(2):
            scratch_user(X, np.zeros_like(X), config=RunConfig(enable_dep_gen=True))
    assert capsys.readouterr().out.count("deps.json is not written") == 1


def test_config_of_another_type(scratch_user):
    with pytest.raises(TypeError, match="PTO018: config= is a dict"):
        scratch_user(X, np.zeros_like(X), config={"platform": "a2a3"})


def test_ring_sizes_of_the_environment(scratch_user, monkeypatch):
    """RunConfig > the environment, ring by ring > the defaults; a script may set the variables itself."""
    with open_session(RunOptions(timing=False)) as session:
        monkeypatch.setenv("PTO2_RING_HEAP", "8192,16384,1500,4096")
        monkeypatch.setenv("PTO2_RING_TASK_WINDOW", "64")
        scratch_user(X, np.zeros_like(X), config=RunConfig(ring_heap=[0, 0, 0, 2048]))
        options = session.results[0].run.options
        assert options.ring_heap_bytes == (8192, 16384, 1500, 2048)
        assert (options.ring_task_window, options.ring_dep_pool) == ((64,) * 4, (16384,) * 4)
        monkeypatch.setenv("PTO2_RING_HEAP", "2048")
        with pytest.raises(RuntimeFault, match="PTO902"):
            scratch_user(X, np.zeros_like(X))
        monkeypatch.setenv("PTO2_RING_HEAP", "2048,")
        with pytest.warns(UserWarning, match="PTO2_RING_HEAP='2048,' is ignored"):
            scratch_user(X, np.zeros_like(X))
