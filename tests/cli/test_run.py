"""`pto-sim run`: what a script sees, what it leaves, and the exit status of every way it can end."""

import hashlib
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from pto_sim.engine.transfers import Transfers
from pto_sim.lowering import lower
from pto_sim.program import store
from pto_sim.report import run_directory

QUICK = ("run", "--no-timing")
EXPECTED = hashlib.sha256(np.full((32, 32), 3, np.float32).tobytes()).hexdigest()


def test_script_runs_as_main_with_its_arguments(cli, write):
    result = cli(*QUICK, write(), "--flag", "value", "-p", "a2a3")
    assert result.exit_code == 0, result.output
    assert "arguments: --flag value -p a2a3" in result.stdout
    assert "PASSED" in result.stdout and EXPECTED[:12] in result.stdout


DRAWS = """
import random
import numpy as np
import sys
print("drawn:", random.random(), np.random.rand(), np.random.default_rng().random())
sys.exit(3)
"""


def drawn(result):
    return next(line for line in result.stdout.splitlines() if line.startswith("drawn:"))


def test_a_run_without_a_seed_can_be_repeated(cli, write):
    script = write(DRAWS)
    first = drawn(cli(*QUICK, script))
    assert drawn(cli(*QUICK, script)) == first == drawn(cli(*QUICK, "--seed", "0", script))
    assert drawn(cli(*QUICK, "--seed", "1", script)) != first


def test_script_imports_from_its_own_folder(cli, write):
    write("VALUE = 1.0\n", name="sibling_of_the_kernel.py")
    script = write(changes=[("import sys", "import sys\nfrom sibling_of_the_kernel import VALUE"), ("1.0)", "VALUE)")])
    assert cli(*QUICK, script).exit_code == 0
    sys.modules.pop("sibling_of_the_kernel")
    assert all("sibling" not in path for path in sys.path)


def test_json_and_run_directory(cli, write, tmp_path):
    result = cli(*QUICK, "--out", tmp_path / "run", "--json", tmp_path / "run.json", write())
    assert result.exit_code == 0, result.output
    found = json.loads((tmp_path / "run.json").read_text())
    assert found["passed"] is True and found["outputs"]["out"]["sha256"] == EXPECTED
    assert found["heap"]["max_lag"]["rings"]["0"]["high_water_bytes"] == 4096
    assert found["time"] is None and found["findings"] == []
    assert run_directory.open_finished(tmp_path / "run").to_json() == found
    names = {path.name for path in (tmp_path / "run").rglob("*") if path.is_file()}
    assert names == {"report.json", "report.html", "program.pto", "scope_stats.jsonl"}


def test_runtime_error_is_status_one_with_json(cli, write, tmp_path):
    result = cli(*QUICK, "--ring-heap", "1024", "--out", tmp_path / "run", "--json", tmp_path / "run.json", write())
    assert result.exit_code == 1
    found = json.loads((tmp_path / "run.json").read_text())
    assert found["passed"] is False and found["outputs"] == {} and found["runtime_error"]["code"] == 2
    assert found["runtime_error"]["ring_state"]["requested_bytes"] == 4096
    assert "HEAP_RING_DEADLOCK" in result.stdout and "--ring-heap" in result.stdout
    meta = json.loads((tmp_path / "run/dfx_outputs/scope_stats/scope_stats.jsonl").read_text().splitlines()[0])
    assert meta["fatal"] is True


def test_several_kernels_each_get_a_report(cli, write, tmp_path):
    script = write(changes=[("    assert", "    add_one(out, out.copy())\n    assert")])
    result = cli(*QUICK, "--out", tmp_path / "run", "--json", tmp_path / "run.json", script)
    assert result.exit_code == 0 and result.stdout.count("PASSED") == 2
    found = json.loads((tmp_path / "run.json").read_text())
    assert len(found["runs"]) == 2 and found["outputs"] == found["runs"][1]["outputs"]
    assert run_directory.open_finished(tmp_path / "run" / "kernel_1").passed
    assert cli(*QUICK, "--out", tmp_path / "run", write()).exit_code == 0  # one kernel this time
    assert not (tmp_path / "run" / "kernel_1").exists()


def test_scope_variants_and_hoisting_keep_the_bits(cli, write, tmp_path):
    script = write()
    for name, options in {
        "a": (),
        "b": ("--scopes", "flat"),
        "c": ("--scopes", "auto"),
        "d": ("--hoist", "scratch"),
    }.items():
        assert cli(*QUICK, *options, "--json", tmp_path / f"{name}.json", script).exit_code == 0
    found = [json.loads((tmp_path / f"{name}.json").read_text()) for name in "abcd"]
    assert {run["outputs"]["out"]["sha256"] for run in found} == {EXPECTED}
    assert found[2]["heap"]["max_scope_depth"] == 1 and found[0]["heap"]["max_scope_depth"] == 0


@pytest.mark.parametrize(
    ("text", "code", "part"),
    [
        (None, "PTO050", "No such file"),
        ("\x7fELF\x02\x00\x01", "PTO051", "null bytes"),
        ("def kernel(:\n", "PTO051", "line 1"),
        ("#!/bin/sh\necho hello there\n", "PTO051", "line 2"),
        ("x = 1\n", "PTO052", "ran no kernel"),
        ("import sys\nsys.exit(0)\n", "PTO052", "ran no kernel"),
    ],
    ids=["missing", "binary", "syntax", "shell", "no-kernel", "exits"],
)
def test_scripts_that_are_no_use(cli, write, tmp_path, text, code, part):
    script = tmp_path / "none.py" if text is None else write(text)
    result = cli(*QUICK, script)
    assert result.exit_code == 2 and code in result.stderr and part in result.stderr
    assert "instead:" in result.stderr and "Traceback" not in result.output


def test_a_folder_is_no_script(cli, tmp_path):
    result = cli(*QUICK, tmp_path)
    assert result.exit_code == 2 and "PTO050" in result.stderr


@pytest.mark.parametrize(
    "option",
    [
        ("--numerics", "exact"),
        ("--scopes", "none"),
        ("--pipe-slots", "8"),
        ("--ring-heap", "big"),
        ("--ring-heap", "1,2"),
        ("--ring-heap", "100"),
        ("--ring-heap", "-1"),
        ("--fail-on", "PTO999"),
        ("--seed", "-1"),
        ("--chip", "a9"),
        ("--backend", "gpu"),
        ("--hoist", "nothing_of_that_name"),
        ("--colour", "red"),
        ("--seed", "x"),
    ],
)
def test_options_that_cannot_be_used(cli, write, option):
    result = cli(*QUICK, *option, write())
    assert result.exit_code == 2, result.output
    assert option[1].strip("-") in result.stderr or option[0] in result.stderr
    assert "Traceback" not in result.output


def test_sizes_with_units(cli, write, tmp_path):
    cli(*QUICK, "--ring-heap", "1G,64M,8k,2048", "--json", tmp_path / "run.json", write())
    rings = json.loads((tmp_path / "run.json").read_text())["heap"]["max_lag"]["rings"]
    assert [rings[ring]["capacity_bytes"] for ring in "0123"] == [1 << 30, 64 << 20, 8 << 10, 2048]


def test_failed_assertion_shows_the_author_only_their_lines(cli, write):
    result = cli(*QUICK, write(changes=[("== 3", "== 4")]))
    assert result.exit_code == 1 and "AssertionError" in result.stderr and "kernel.py" in result.stderr
    assert "runpy" not in result.stderr and "pto_sim/" not in result.stderr


def test_rule_broken_in_a_kernel_names_the_line(cli, write):
    script = write(changes=[("pl.mul(scratch[:, :], 1.0)", "pl.mul(scratch[0:16, :], 1.0)")])
    result = cli(*QUICK, script)
    line = next(n for n, text in enumerate(Path(script).read_text().splitlines(), 1) if "scratch[0:16" in text)
    assert result.exit_code == 1 and f"{script}:{line}" in result.stderr and "Traceback" not in result.output


def test_findings_fail_a_run_when_asked_to(cli, write, tmp_path):
    script = write(
        changes=[
            ("out[:, :] = pl.mul(scratch[:, :], 1.0)", "out[0:16, :] = pl.mul(scratch[0:16, :], 1.0)"),
            ("(out == 3).all()", "True"),
        ]
    )
    assert cli(*QUICK, script).exit_code == 0
    result = cli(*QUICK, "--fail-on", "PTO402", "--json", tmp_path / "run.json", script)
    assert result.exit_code == 1 and "PTO402" in result.stdout
    assert json.loads((tmp_path / "run.json").read_text())["passed"] is False
    assert cli(*QUICK, "--fail-on", "none", script).exit_code == 0


@pytest.mark.parametrize(("status", "expected"), [("0", 0), ("3", 1), ("2", 2), ("'wrong'", 1)])
def test_the_scripts_own_exit_status(cli, write, status, expected):
    result = cli(*QUICK, write(changes=[("    print(", f"    sys.exit({status})\n    print(")]))
    assert result.exit_code == expected
    if status == "'wrong'":
        assert "wrong" in result.stderr


def test_help_of_a_script_is_not_an_empty_run(cli, write):
    script = write("import argparse\nargparse.ArgumentParser().parse_args()\n")
    result = cli(*QUICK, script, "--help")
    assert result.exit_code == 0 and "usage:" in result.stdout


def test_ctrl_c_leaves_a_directory_that_says_so(cli, write, tmp_path):
    script = write(changes=[("    add_one(x, out)\n", "    add_one(x, out)\n    raise KeyboardInterrupt\n")])
    result = cli(*QUICK, "--out", tmp_path / "run", "--json", tmp_path / "run.json", script)
    assert result.exit_code == 1 and result.stderr.strip().endswith("interrupted")
    assert (tmp_path / "run" / run_directory.MARKER).exists() and not (tmp_path / "run.json").exists()
    again = cli("report", tmp_path / "run")
    assert again.exit_code == 2 and "PTO034" in again.stderr
    assert "1 kernels had finished" in (tmp_path / "run" / run_directory.MARKER).read_text()
    assert cli("report", tmp_path / "run" / "kernel_1").exit_code == 0


@pytest.mark.parametrize("stage", ["kernel", "model"])
def test_ctrl_c_in_a_kernel_keeps_what_it_had_recorded(cli, write, tmp_path, monkeypatch, stage):
    def stop(*args):
        raise KeyboardInterrupt

    if stage == "kernel":  # in the second of two tasks
        stores = iter([Transfers.store, stop])
        monkeypatch.setattr(Transfers, "store", lambda *args: next(stores)(*args))
    else:
        monkeypatch.setattr("ascend_model.heap.replay", stop)
    result = cli(*QUICK, "--out", tmp_path / "run", write())
    assert result.exit_code == 1 and result.stderr.strip().endswith("interrupted")
    marker = (tmp_path / "run" / run_directory.MARKER).read_text()
    tasks = ["first"] if stage == "kernel" else ["first", "second"]
    assert "0 kernels had finished" in marker and f"recorded: {len(tasks)} complete tasks" in marker
    program = store.load(tmp_path / "run" / "program.pto")
    assert [task.name for task in program.tasks] == tasks
    assert [task.name for task in lower(program).workload.tasks if task.kind != "ALLOC"] == tasks


def test_older_json_does_not_survive_a_run_that_fails(cli, write, tmp_path):
    (tmp_path / "run.json").write_text("{}")
    assert cli(*QUICK, "--json", tmp_path / "run.json", write("1 / 0\n")).exit_code == 1
    assert not (tmp_path / "run.json").exists()


def test_full_disk_is_one_message(cli, write, tmp_path, monkeypatch):
    def no_space(descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(run_directory.os, "fsync", no_space)
    result = cli(*QUICK, "--out", tmp_path / "run", write())
    assert result.exit_code == 2 and "No space left on device" in result.stderr and "Traceback" not in result.output


def test_breakpoint_stops_at_the_authors_line(write):
    script = write(
        changes=[
            (
                '    with pl.at(level=pl.Level.CORE_GROUP, name_hint="second"):\n',
                '    with pl.at(level=pl.Level.CORE_GROUP, name_hint="second"):\n        breakpoint()\n',
            )
        ]
    )
    command = [sys.executable, "-m", "pto_sim.cli", "run", "--no-timing", script]
    result = subprocess.run(command, input="p x.shape\nc\n", capture_output=True, text=True, timeout=120)
    assert result.returncode == 0, result.stderr
    assert f"{script}(" in result.stdout and "add_one()" in result.stdout and "(32, 32)" in result.stdout


def test_profile_diff_is_taken_and_refused_with_a_profile_that_is_not_exact(cli, write):
    script = write()
    assert cli(*QUICK, "--profile-diff", script).exit_code == 0
    refused = cli(*QUICK, "--profile-diff", "--numerics", "fast", script)
    assert refused.exit_code == 2 and "PTO053" in refused.output and "--profile-diff" in refused.output
