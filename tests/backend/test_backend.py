"""Backends and sessions: what a run gives back, what a fault leaves, and how a backend is found."""

import dataclasses
import json
from importlib.metadata import EntryPoint

import numpy as np
import pytest

from ascend_model.signals import StandstillError
from pto_sim import backend
from pto_sim import language as pl
from pto_sim.backend import SessionResult, SimBackend, current_session, open_session, report_of, select, session
from pto_sim.program.errors import InputError, RuntimeFault
from pto_sim.program.findings import Finding
from pto_sim.program.launch import kernel_runner
from pto_sim.program.options import RunOptions
from pto_sim.report.trace import trace_json

N = 32
OPTIONS = RunOptions(timing=False)


@pl.jit(auto_scope=False)
def twice_plus(x: pl.Tensor[[N, N], pl.FP32], out: pl.Out[pl.Tensor[[N, N], pl.FP32]]):
    doubled = pl.create_tensor([N, N], dtype=pl.FP32)
    for _i in pl.spmd(2, name_hint="double"):
        i = pl.tile.get_block_idx()
        doubled[i * 16 : i * 16 + 16, :] = pl.mul(x[i * 16 : i * 16 + 16, :], 2.0)
    with pl.at(level=pl.Level.CORE_GROUP, name_hint="plus"):
        out[:, :] = pl.add(doubled[:, :], x[:, :])


def arguments():
    rng = np.random.default_rng(3)
    return rng.standard_normal((N, N)).astype(np.float32), np.zeros((N, N), np.float32)


def test_run_gives_outputs_heap_and_program_and_leaves_arguments_alone():
    x, out = arguments()
    run = SimBackend().run(twice_plus, (x, out), OPTIONS)
    np.testing.assert_array_equal(run.outputs["out"], x * np.float32(2) + x)
    assert not out.any() and run.written == {"out": None} and run.fault is None
    for reading in ("max_lag", "prompt"):
        assert run.heap[reading].rings[0][1] == N * N * 4  # one scratch tensor, a multiple of 1024 bytes
        assert run.heap[reading].frame_residency_bytes == N * N * 4
    assert [task.name for task in run.program.tasks] == ["double", "plus"]
    assert run.timeline is None and "simulated" not in run.heap


def test_ring_fault_is_a_result_without_outputs():
    run = SimBackend().run(twice_plus, arguments(), dataclasses.replace(OPTIONS, ring_heap_bytes=(1024,) * 4))
    assert run.outputs == {} and run.written == {}
    assert run.fault.runtime_code == 2 and run.fault.runtime_name == "HEAP_RING_DEADLOCK"
    assert run.fault.ring_state["size_bytes"] == 1024 and run.fault.ring_state["requested_bytes"] == N * N * 4
    report = report_of(SessionResult(run, passed=True), OPTIONS)
    assert not report.passed and report.outputs == {} and report.runtime_error.code == 2
    assert run.scope_reading().samples == run.fault_samples


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"chip": "a9"}, "PTO022"),
        ({"chip": "missing.toml"}, "PTO022"),
        ({"ring_heap_bytes": (1, 1, 1, 1)}, "PTO023"),
    ],
)
def test_unusable_options_are_refused_before_the_kernel_runs(change, code):
    class Never:
        name = "never"

        def variant(self, options):
            raise AssertionError("the kernel was started")

    with pytest.raises(InputError) as error:
        SimBackend().run(Never(), (), dataclasses.replace(OPTIONS, **change))
    assert error.value.code == code and error.value.hint


def test_progress_names_stages_and_tasks():
    calls = []
    SimBackend().run(twice_plus, arguments(), OPTIONS, lambda stage, detail: calls.append((stage, detail)))
    assert [stage for stage, _ in calls] == ["run", "run", "run", "lower", "heap", "check"]
    assert ("run", "twice_plus: double (2 blocks)") in calls


def test_direct_call_in_a_session_is_recorded_and_fills_the_output():
    x, out = arguments()
    with open_session(OPTIONS) as session:
        assert current_session() is session
        twice_plus(x, out)
    np.testing.assert_array_equal(out, x * np.float32(2) + x)
    (result,) = session.results
    assert result.passed and not result.compared and result.run.kernel == "twice_plus"
    assert current_session() is None and kernel_runner.get() is None


def test_direct_call_raises_a_fault_and_leaves_the_output():
    x, out = arguments()
    options = dataclasses.replace(OPTIONS, ring_heap_bytes=(1024,) * 4)
    with open_session(options) as session, pytest.raises(RuntimeFault):
        twice_plus(x, out)
    assert not out.any() and [result.passed for result in session.results] == [False]


def test_compile_lowers_and_is_noted():
    with open_session(OPTIONS) as session:
        lowered = SimBackend().compile(twice_plus, arguments(), OPTIONS)
    assert session.compiled == ["twice_plus"] and session.results == []
    assert [fact.name for fact in lowered.facts if fact.record >= 0] == ["double", "plus"]


def test_session_ends_with_an_exception():
    with pytest.raises(ZeroDivisionError), open_session(OPTIONS):
        raise ZeroDivisionError
    assert current_session() is None and kernel_runner.get() is None


def finding(code, severity):
    return Finding(code, "title", severity, "k.py:1", "message")


@pytest.mark.parametrize(
    ("fail_on", "codes"),
    [
        (None, ["PTO901"]),
        ((), []),
        (("PTO902",), ["PTO902"]),
        (("PTO902", "PTO901"), ["PTO901", "PTO902"]),
    ],
)
def test_which_findings_fail_a_run(fail_on, codes):
    found = [finding("PTO901", "error"), finding("PTO902", "info")]
    assert [f.code for f in backend.failing_findings(found, fail_on)] == codes
    run = SimBackend().run(twice_plus, arguments(), OPTIONS)
    run.findings, run.options = found, dataclasses.replace(OPTIONS, fail_on=fail_on)
    report = report_of(SessionResult(run, passed=True), OPTIONS)
    assert report.passed is not bool(codes)
    if codes:
        assert codes[0] in report.error


class Elsewhere:
    """A backend of another distribution."""

    name = "elsewhere"
    missing: str | None = None

    def available(self):
        return self.missing


@pytest.fixture
def entry_points(monkeypatch):
    def install(*points):
        monkeypatch.setattr(session, "entry_points", lambda group: [p for p in points if p.group == group])

    return install


def test_sim_is_there_without_installed_metadata(entry_points):
    entry_points()
    assert backend.names() == ["sim"] and isinstance(select("sim"), SimBackend)


def test_backends_are_found_by_entry_point(entry_points, monkeypatch):
    import sys
    from types import ModuleType

    module = ModuleType("elsewhere_backend")
    module.Elsewhere = Elsewhere
    monkeypatch.setitem(sys.modules, "elsewhere_backend", module)
    entry_points(EntryPoint("elsewhere", "elsewhere_backend:Elsewhere", session.ENTRY_POINT_GROUP))
    assert backend.names() == ["elsewhere", "sim"] and isinstance(select("elsewhere"), Elsewhere)
    monkeypatch.setattr(Elsewhere, "missing", "the toolchain is not installed")
    with pytest.raises(InputError, match="the toolchain is not installed"):
        select("elsewhere")


def test_unknown_backend_names_the_registered_ones(entry_points):
    entry_points()
    with pytest.raises(InputError, match="registered: sim") as error:
        select("npu")
    assert error.value.code == "PTO021"


def test_this_distribution_registers_the_simulator():
    assert isinstance(select("sim"), SimBackend) and SimBackend().available() is None


def test_timed_run_has_a_timeline_that_adds_up():
    run = SimBackend().run(twice_plus, arguments(), RunOptions())
    time = run.timeline
    assert time.total_us > 0 and run.heap["simulated"] is time.heap
    path = sum(step.end_us - step.start_us for step in time.critical_path)
    assert path == pytest.approx(time.total_us, rel=1e-9)
    assert [task.name for task in time.tasks if task.kind != "ALLOC"] == ["double", "plus"]
    counters = [event for event in json.loads(trace_json(time))["traceEvents"] if event["ph"] == "C"]
    assert {event["args"]["live bytes"] for event in counters} == {N * N * 4}


def test_a_run_that_stands_still_is_a_runtime_error(monkeypatch):
    def stuck(*args, **kwargs):
        raise StandstillError(3.0, {"scheduler 0": ("a core", "cluster 1")})

    monkeypatch.setattr("ascend_model.chip.simulate", stuck)
    run = SimBackend().run(twice_plus, arguments(), RunOptions())
    assert run.fault.runtime_code == 100 and run.outputs == {}
    assert "scheduler 0 waits for a core; cluster 1 should signal it" in str(run.fault)
