"""The object of --json: the keys that other tools rely on, and what a fault does to it."""

import dataclasses
import json

import numpy as np
import pytest

from pto_sim.program.errors import InputError
from pto_sim.report.model import RunReport, load_report
from pto_sim.report.output_hash import output_sha256
from pto_sim.report.run_directory import report_text

CONTRACT = {
    "": {"passed", "runtime_error", "outputs", "heap", "time", "findings", "host"},
    "heap": {"pipe_slots", "max_scope_depth", "max_lag", "prompt", "simulated"},
    "time": {"total_us", "per_task", "critical_path", "chip"},
    "host": {"wall_s", "peak_rss_bytes"},
}


def document(report):
    return json.loads(report_text(report))


def test_contract_keys_are_there(make_report):
    found = document(make_report())
    for part, keys in CONTRACT.items():
        assert keys <= (found[part] if part else found).keys()
    for name in ("max_lag", "prompt", "simulated"):
        reading = found["heap"][name]
        assert {"rings", "scopes", "frame_residency_bytes"} <= reading.keys()
        assert all(row.keys() == {"capacity_bytes", "high_water_bytes"} for row in reading["rings"].values())
        assert all(
            row.keys() == {"site", "depth", "ring", "alloc_bytes", "high_water_bytes", "residency_bytes"}
            for row in reading["scopes"]
        )
    assert all({"code", "severity", "site", "message"} <= row.keys() for row in found["findings"])


def test_figures_arrive_unchanged(make_report):
    found = document(make_report())
    assert found["passed"] is True and found["runtime_error"] is None
    assert found["heap"]["max_lag"]["rings"]["1"] == {"capacity_bytes": 268435456, "high_water_bytes": 12582912}
    assert found["heap"]["prompt"]["frame_residency_bytes"] == 2097152
    assert found["time"]["total_us"] == 17.0 and found["time"]["chip"] == "a2a3"
    assert sum(step["end_us"] - step["start_us"] for step in found["time"]["critical_path"]) == 17.0
    array = np.arange(6, dtype=np.float32).reshape(2, 3)
    assert found["outputs"] == {
        "out": {"sha256": output_sha256(array), "shape": [2, 3], "dtype": "float32", "written_elements": 6}
    }


def test_runtime_error_empties_outputs_and_fails(make_report, ring_fault):
    found = document(make_report(fault=ring_fault, passed=True))
    assert found["passed"] is False and found["outputs"] == {}
    assert found["runtime_error"]["code"] == 2 and found["runtime_error"]["name"] == "HEAP_RING_DEADLOCK"
    assert found["runtime_error"]["ring_state"]["requested_bytes"] == 8388608


def test_readings_that_were_not_taken_are_null(make_report, heap):
    del heap["simulated"]
    found = document(make_report(heap=heap, timeline=None))
    assert found["heap"]["simulated"] is None and found["time"] is None
    assert document(make_report(heap={}, timeline=None))["heap"] is None


def test_numpy_scalars_become_plain_numbers(make_report, timeline):
    changed = dataclasses.replace(timeline, total_us=np.float64(17.5))
    assert document(make_report(timeline=changed))["time"]["total_us"] == 17.5


def test_report_round_trips(make_report, tmp_path, ring_fault):
    for report in (make_report(), make_report(fault=ring_fault, heap={}, timeline=None, findings=[])):
        (tmp_path / "report.json").write_text(report_text(report, [report]))
        loaded = load_report(tmp_path / "report.json")
        assert isinstance(loaded, RunReport) and loaded == report


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("", "PTO031"),
        ("{", "PTO031"),
        ("[]", "PTO031"),
        ('{"version": 99}', "PTO031"),
        ('{"version": 1}', "PTO031"),
        ("[" * 100000, "PTO031"),
        (None, "PTO030"),
    ],
)
def test_bad_files_are_refused(tmp_path, text, code):
    if text is not None:
        (tmp_path / "report.json").write_text(text)
    with pytest.raises(InputError) as error:
        load_report(tmp_path / "report.json")
    assert error.value.code == code and error.value.hint
