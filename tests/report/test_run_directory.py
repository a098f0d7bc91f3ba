"""A run directory is whole, or it says that it is not."""

import errno
import json
import os

import pytest

from pto_sim.program.errors import InputError
from pto_sim.report import run_directory
from pto_sim.report.run_directory import MARKER, Artifacts, begin, fill, finish, open_finished

RINGS = (1 << 28,) * 4


@pytest.fixture
def artifacts(make_report, timeline, heap):
    return Artifacts(make_report(), None, timeline, heap["simulated"], RINGS)


def test_whole_run(tmp_path, artifacts):
    begin(tmp_path / "run")
    assert (tmp_path / "run" / MARKER).exists()
    fill(tmp_path / "run", artifacts)
    with pytest.raises(InputError) as error:
        open_finished(tmp_path / "run")
    assert error.value.code == "PTO034"
    finish(tmp_path / "run")
    assert open_finished(tmp_path / "run") == artifacts.report
    files = {str(path.relative_to(tmp_path / "run")) for path in (tmp_path / "run").rglob("*") if path.is_file()}
    assert files == {"report.json", "report.html", "trace.json", "dfx_outputs/scope_stats/scope_stats.jsonl"}


def test_second_run_replaces_the_first(tmp_path, artifacts):
    begin(tmp_path)
    fill(tmp_path, artifacts)
    finish(tmp_path)
    begin(tmp_path)
    assert {path.name for path in tmp_path.iterdir() if path.is_file()} == {MARKER}


def test_files_of_an_earlier_run_that_cannot_be_removed_are_said(tmp_path, artifacts, monkeypatch):
    """They would be read as those of the new run."""
    begin(tmp_path)
    fill(tmp_path, artifacts)
    finish(tmp_path)

    def busy(path):
        raise OSError(errno.EBUSY, os.strerror(errno.EBUSY))

    monkeypatch.setattr(run_directory.shutil, "rmtree", busy)
    with pytest.raises(InputError, match="dfx_outputs") as error:
        begin(tmp_path)
    assert error.value.code == "PTO033" and os.strerror(errno.EBUSY) in str(error.value)


def test_other_peoples_files_are_left_alone(tmp_path):
    (tmp_path / "thesis.txt").write_text("chapter 1")
    with pytest.raises(InputError) as error:
        begin(tmp_path)
    assert error.value.code == "PTO032" and "thesis.txt" in str(error.value)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]


def test_full_disk_is_one_clear_error_and_leaves_the_marker(tmp_path, artifacts, monkeypatch):
    begin(tmp_path)

    def no_space(descriptor):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(run_directory.os, "fsync", no_space)
    with pytest.raises(InputError) as error:
        fill(tmp_path, artifacts)
    assert error.value.code == "PTO033" and os.strerror(errno.ENOSPC) in str(error.value)
    assert (tmp_path / MARKER).exists() and not list(tmp_path.rglob("*.partial"))


def test_a_file_in_the_way(tmp_path):
    (tmp_path / "run").write_text("")
    with pytest.raises(InputError) as error:
        begin(tmp_path / "run")
    assert error.value.code == "PTO033"


def test_scope_stats_is_the_upstream_format(tmp_path, artifacts):
    begin(tmp_path)
    fill(tmp_path, artifacts)
    lines = (tmp_path / "dfx_outputs/scope_stats/scope_stats.jsonl").read_text().splitlines()
    meta, records = json.loads(lines[0]), [json.loads(line) for line in lines[1:]]
    assert meta == {
        "version": 6,
        "fatal": False,
        "dropped": 0,
        "total": 6,
        "task_window_max": [16384] * 4,
        "heap_max": list(RINGS),
        "dep_pool_max": [16384] * 4,
        "tensormap_max": 65536,
    }
    assert len(records) == 6 and all(
        list(record)
        == [
            "site",
            "phase",
            "depth",
            "ring",
            "task_window_start",
            "task_window_end",
            "heap_start",
            "heap_end",
            "dep_pool_start",
            "dep_pool_end",
            "tensormap",
        ]
        for record in records
    )
    end = next(record for record in records if record["phase"] == "end")
    assert end["heap_end"] - end["heap_start"] == 6 << 20
