"""Flags of the scripts: each reaches the harness, and what cannot be done is said."""

import subprocess
import sys

import command_line
import pytest

from kernels.dsv4 import sparse_attn_script
from pto_sim.golden import RunResult

from .conftest import FOLDER


@pytest.fixture
def called(monkeypatch):
    """What the script hands to run_jit."""
    seen = {"result": RunResult(passed=True)}

    def record(kernel, specs, golden_fn, **options):
        seen.update(options, kernel=kernel, specs={s.name: s for s in specs}, golden_fn=golden_fn)
        return seen["result"]

    monkeypatch.setattr(command_line, "run_jit", record)
    return seen


def start(*flags, topk=640, ratio=4):
    sparse_attn_script.main("kernel", topk=topk, default_compress_ratio=ratio, argv=flags)


NOTHING = {
    "platform": "a2a3",
    "device_id": 0,
    "enable_chip_swimlane": 0,
    "enable_dep_gen": False,
    "enable_pmu": 0,
    "enable_scope_stats": False,
    "seed": None,
}


@pytest.mark.parametrize(
    ("flags", "changed"),
    [
        ([], {}),
        (["-p", "a2a3sim", "-d", "7"], {"platform": "a2a3sim", "device_id": 7}),
        (["--enable-chip-swimlane"], {"enable_chip_swimlane": 4}),
        (["--enable-chip-swimlane", "2"], {"enable_chip_swimlane": 2}),
        (["--enable-l2-swimlane"], {"enable_chip_swimlane": 4}),
        (["--enable-dep-gen"], {"enable_dep_gen": True}),
        (["--enable-pmu"], {"enable_pmu": 2}),
        (["--enable-pmu", "4"], {"enable_pmu": 4}),
        (["--enable-scope-stats"], {"enable_scope_stats": True}),
        (["--scope-stats"], {"enable_scope_stats": True}),
        (["--seed", "3"], {"seed": 3}),
    ],
)
def test_flag_reaches_runtime_cfg(called, flags, changed):
    start(*flags)
    assert called["runtime_cfg"] == NOTHING | changed


def test_tolerances_and_golden_data(called):
    start("--golden-data", "somewhere")
    assert called["golden_data"] == "somewhere" and (called["rtol"], called["atol"]) == (1e-3, 1e-3)
    assert called["compare_fn"]["attn_out"].__name__ == (
        f"ratio_allclose(atol=0.0001, rtol={1 / 128}, max_error_ratio=0.005)"
    )


@pytest.mark.parametrize(
    ("flags", "row"),
    [
        ([], [*range(128), *range(130, 642)]),
        (["--compress-ratio", "0"], [*range(128), *[-1] * 512]),
        (["--compress-ratio", "128"], [*range(128), *range(130, 194), *[-1] * 448]),
        (["--short-window-fixture"], [*range(17), *[-1] * 623]),
        (["--mixed-topk-fixture"], [*range(17), *[-1] * 111, *range(130, 642)]),
        (["--overlay-replacement-fixture"], [*range(16), 128, *[-1] * 623]),
        (["--causal-regression-fixture", "--compress-ratio", "0"], [*range(128), *[-1] * 512]),
    ],
)
def test_flag_reaches_the_inputs(called, flags, row):
    start(*flags)
    assert called["specs"]["cmp_sparse_indices"].create_tensor()[0].tolist() == row
    causal = "--causal-regression-fixture" in flags
    assert (called["specs"]["q"].create_tensor()[0] == 1).all() == causal


def test_failure_exits_with_one(called, capsys):
    called["result"] = RunResult(passed=False, error="outputs differ")
    with pytest.raises(SystemExit, match=r"^1$"):
        start()
    assert "outputs differ" in capsys.readouterr().out


def test_another_chip_family_is_refused_by_name(capsys):
    with pytest.raises(SystemExit, match=r"^2$"):
        start("-p", "a5")
    assert "platform 'a5' is not modelled" in capsys.readouterr().err


@pytest.mark.parametrize("flags", [["--compress-ratio", "8"], ["--enable-pmu", "3"], ["-p", "a4"], ["--seed", "x"]])
def test_wrong_values_are_usage_errors(flags, capsys):
    with pytest.raises(SystemExit, match=r"^2$"):
        start(*flags)
    assert "usage:" in capsys.readouterr().err


@pytest.mark.parametrize("file", ["decode_sparse_attn.py", "decode_sparse_attn_swa.py", "decode_sparse_attn_hca.py"])
def test_script_runs_from_its_folder(file):
    done = subprocess.run([sys.executable, file, "--help"], cwd=FOLDER, capture_output=True, text=True, check=True)
    assert "--overlay-replacement-fixture" in done.stdout
