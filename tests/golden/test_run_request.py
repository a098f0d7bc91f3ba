"""runtime_cfg and compile_cfg: what is honoured, refused by name, or noted."""

import pytest

from pto_sim.golden.run_request import check_request
from pto_sim.program.errors import InputError, UnsupportedError
from pto_sim.program.options import RunOptions


def request(runtime_cfg=None, compile_cfg=None, **options):
    return check_request(RunOptions(**options), runtime_cfg, compile_cfg)


def test_nothing_asked_for():
    found = request()
    assert (found.seed, found.artifacts, found.notes, found.runtime_cfg) == (0, (), (), ())


@pytest.mark.parametrize(("option", "key", "seed"), [(None, None, 0), (None, 4, 4), (9, 4, 9), (0, 4, 0)])
def test_seed_of_the_options_wins(option, key, seed):
    found = request({"seed": key}, seed=option)
    assert found.seed == seed and found.applied_to(RunOptions(seed=option)).seed == seed


def test_scope_stats_are_produced():
    assert request({"enable_scope_stats": True}).artifacts == ("scope_stats.jsonl",)
    assert request({"enable_scope_stats": False}).artifacts == ()


@pytest.mark.parametrize(
    ("key", "file"),
    [
        ("enable_chip_swimlane", "chip_swimlane_records.json"),
        ("enable_pmu", "pmu.csv"),
        ("enable_dump_args", "args_dump.json"),
    ],
)
def test_other_artifacts_are_refused_by_name(key, file):
    request({key: 0})
    with pytest.raises(UnsupportedError, match=rf"{key} \(the file {file}\)"):
        request({key: 1})


def test_dependency_records_are_left_out_with_a_note():
    (note,) = request({"enable_dep_gen": True}).notes
    assert "deps.json is not written" in note


def test_other_backends_get_the_request_as_it_is():
    asked = {"platform": "a5", "device_id": 3, "enable_pmu": 2, "enable_scope_stats": True}
    found = request(asked, {"dump_passes": True, "anything": 1}, backend="npu")
    assert dict(found.applied_to(RunOptions(backend="npu")).runtime_cfg) == asked
    assert found.artifacts == ("pmu.csv", "scope_stats.jsonl") and not found.notes


def test_old_name_of_the_swimlane():
    with pytest.warns(DeprecationWarning, match="enable_chip_swimlane"):
        request({"enable_l2_swimlane": False})
    with pytest.warns(DeprecationWarning), pytest.raises(UnsupportedError, match="enable_chip_swimlane"):
        request({"enable_l2_swimlane": True, "enable_chip_swimlane": 0})


@pytest.mark.parametrize(
    ("key", "value"),
    [("enable_pmu", 3), ("enable_chip_swimlane", 5), ("enable_dep_gen", "yes"), ("platform", "a4"), ("log_level", "x")],
)
def test_values_that_do_not_exist(key, value):
    with pytest.raises(InputError, match=f"PTO018.*{key}"):
        request({key: value})


def test_unknown_keys():
    with pytest.raises(InputError, match=r"PTO018.*enable_everything"):
        request({"enable_everything": True})
    with pytest.raises(InputError, match=r"PTO018.*unroll_all"):
        request(compile_cfg={"unroll_all": True})


@pytest.mark.parametrize("platform", ["a5", "a5sim"])
def test_platforms_that_are_not_simulated(platform):
    with pytest.raises(UnsupportedError, match=platform):
        request({"platform": platform})


@pytest.mark.parametrize("platform", ["a2a3", "a2a3sim"])
def test_platforms_that_are(platform):
    request({"platform": platform})


def test_settings_without_effect_are_said():
    notes = request({"device_id": 2, "log_level": "debug"}).notes
    assert len(notes) == 2 and "device_id=2" in notes[0] and "log_level=debug" in notes[1]


def test_generated_code_is_refused():
    request(compile_cfg={"dump_passes": True, "save_kernels": False, "ring_heap": None})
    for key, value in (("save_kernels", True), ("ring_heap", 1 << 20), ("codegen_only", True)):
        with pytest.raises(UnsupportedError, match=key):
            request(compile_cfg={key: value})


def test_device_benchmark(monkeypatch):
    monkeypatch.setenv("PYPTO_BENCH", "1")
    with pytest.raises(UnsupportedError, match="PYPTO_BENCH"):
        request()
    monkeypatch.setenv("PYPTO_BENCH", "0")
    request()
