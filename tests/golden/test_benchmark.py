"""PYPTO_BENCH: launches through the harness and what is said about them."""

import numpy as np

import pto_sim.language as pl
from pto_sim import golden
from pto_sim.golden.benchmark import BenchmarkStats, print_stats


@pl.jit
def add_one(x: pl.Tensor[[16, 64], pl.FP32], y: pl.Out[pl.Tensor[[16, 64], pl.FP32]]):
    with pl.at(level=pl.Level.CORE_GROUP):
        y[:, :] = pl.add(x[:, :], 1.0)


SPECS = [
    golden.TensorSpec("x", [16, 64], np.float32, init_value=1),
    golden.TensorSpec("y", [16, 64], np.float32, is_output=True),
]


def test_a_run_is_followed_by_the_launches(monkeypatch, capsys):
    for name, value in (("", "1"), ("_ROUNDS", "3"), ("_WARMUP", "1"), ("_RAW", "1")):
        monkeypatch.setenv(f"PYPTO_BENCH{name}", value)
    result = golden.run_jit(add_one, SPECS, lambda values: values["y"].__setitem__(slice(None), values["x"] + 1))
    assert result.passed and result.bench.rounds == 3
    assert len(result.bench.device_wall_us) == 3 and len(set(result.bench.device_wall_us)) == 1
    time = f"{result.bench.device_wall_us[0]:.1f}"
    said = capsys.readouterr().out
    assert f"[RUN]   effective_us (3 rounds) min={time} median={time} mean={time} max={time}" in said
    assert "not a measurement" in said
    assert f"[RUN]     rank 0 raw n=3 eff_us=[{time}, {time}, {time}]" in said


def test_no_launches_without_it():
    assert golden.run_jit(add_one, SPECS).bench is None


def test_statistics():
    stats = BenchmarkStats([1.0, 4.0, 1.0], [10.0, 10.0, 10.0], 3, 0)
    assert (stats.device_us_min, stats.device_us_max, stats.device_us_mean, stats.device_us_median) == (1, 4, 2, 1)
    assert stats.device_us_stdev == 3**0.5  # the squares are 1, 4 and 1, over two degrees of freedom
    assert not stats.all_zero_device and stats.per_round() == [1.0, 4.0, 1.0]
    assert BenchmarkStats().device_us_stdev == 0


def test_time_that_was_not_simulated_is_said(capsys):
    print_stats(BenchmarkStats([0.0], [5.0], 1, 0), raw=True)
    assert capsys.readouterr().out == "[RUN]   effective_us unavailable: time was not simulated\n"
