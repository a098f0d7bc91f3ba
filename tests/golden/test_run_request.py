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
        ("enable_dep_gen", "deps.json"),
    ],
)
def test_artifacts_are_asked_for_by_key(key, file):
    assert request({key: 0}).artifacts == ()
    found = request({key: 2 if key == "enable_pmu" else 1})
    assert found.artifacts == (file,) and found.notes == ()


@pytest.mark.parametrize("key", ["enable_chip_swimlane", "enable_pmu"])
def test_times_need_the_cycle_model(key):
    with pytest.raises(InputError, match=f"(?s){key} asks for times.*run without --no-timing") as caught:
        request({key: 2}, timing=False)
    assert caught.value.code == "PTO026"
    assert request({"enable_dep_gen": True}, timing=False).artifacts == ("deps.json",)


def test_counters_that_have_no_model_are_refused():
    with pytest.raises(UnsupportedError, match="enable_pmu=4"):
        request({"enable_pmu": 4})


def test_other_backends_get_the_request_as_it_is():
    asked = {"platform": "a5", "device_id": 3, "enable_pmu": 2, "enable_scope_stats": True}
    found = request(asked, {"dump_passes": True, "anything": 1}, backend="npu")
    assert dict(found.applied_to(RunOptions(backend="npu")).runtime_cfg) == asked
    assert found.artifacts == ("pmu.csv", "scope_stats.jsonl") and not found.notes


def test_old_name_of_the_swimlane():
    with pytest.warns(DeprecationWarning, match="enable_chip_swimlane"):
        request({"enable_l2_swimlane": False})
    with pytest.warns(DeprecationWarning):
        found = request({"enable_l2_swimlane": True, "enable_chip_swimlane": 0})
    assert found.artifacts == ("chip_swimlane_records.json",)


@pytest.mark.parametrize(
    ("key", "value"),
    [("enable_pmu", 3), ("enable_chip_swimlane", 5), ("enable_dep_gen", "yes"), ("platform", "a4"), ("log_level", "x")],
)
def test_values_that_do_not_exist(key, value):
    with pytest.raises(InputError, match=f"PTO018.*{key}"):
        request({key: value})


def test_unknown_keys_name_the_nearest_known_one():
    with pytest.raises(InputError, match=r"(?s)PTO018.*enable_scope_stat\b.*did you mean enable_scope_stats"):
        request({"enable_scope_stat": True})
    with pytest.raises(InputError, match=r"(?s)PTO018.*dump_pases.*did you mean dump_passes"):
        request(compile_cfg={"dump_pases": True})
    with pytest.raises(InputError, match=r"(?s)PTO018.*quite_different.*known: platform"):
        request({"quite_different": True})


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
    for key, value in (("save_kernels", True), ("output_dir", "x"), ("codegen_only", True)):
        with pytest.raises(UnsupportedError, match=key):
            request(compile_cfg={key: value})


def test_ring_sizes_size_the_run():
    found = request({"ring_heap": 1 << 20}, {"ring_task_window": [0, 64, 64, 8]}).applied_to(RunOptions())
    assert found.ring_heap_bytes == (1 << 20,) * 4
    assert found.ring_task_window == (0, 64, 64, 8) and found.ring_dep_pool == (0,) * 4


def test_the_heap_of_the_command_line_stands():
    options = RunOptions(ring_heap_bytes=(2048,) * 4, ring_heap_given=True)
    found = check_request(options, {"ring_heap": 1 << 20, "ring_dep_pool": 4}, None).applied_to(options)
    assert found.ring_heap_bytes == (2048,) * 4 and found.ring_dep_pool == (4,) * 4


@pytest.mark.parametrize("value", [1000, 512, True, "1M", [1024, 1024], [1024, 1024, 1024, 1023]])
def test_ring_sizes_that_cannot_be(value):
    with pytest.raises(ValueError, match=r"PTO018.*ring_heap"):
        request({"ring_heap": value})


@pytest.mark.parametrize("value", ["", "0", "false"])
def test_no_benchmark(monkeypatch, value):
    monkeypatch.setenv("PYPTO_BENCH", value)
    assert request().bench is None


def test_benchmark_of_the_environment(monkeypatch, capsys):
    monkeypatch.setenv("PYPTO_BENCH", "1")
    found = request().bench
    assert (found.rounds, found.warmup, found.raw) == (100, 5, False)
    for name, value in (("ROUNDS", "3"), ("WARMUP", "-1"), ("RAW", "yes")):
        monkeypatch.setenv(f"PYPTO_BENCH_{name}", value)
    found = request().bench
    assert (found.rounds, found.warmup, found.raw) == (3, 5, True)
    assert "ignoring PYPTO_BENCH_WARMUP='-1'" in capsys.readouterr().out
