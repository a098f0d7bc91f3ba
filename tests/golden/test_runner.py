"""run_jit with a backend that gives what the test says: stages, comparison, sessions, files."""

import json
from pathlib import Path

import ml_dtypes
import numpy as np
import pytest

from pto_sim import golden
from pto_sim.backend import BackendRun, open_session
from pto_sim.golden import runner
from pto_sim.program.errors import InputError, KernelError, RuntimeFault, UnsupportedError
from pto_sim.program.options import RunOptions


class FakeBackend:
    """Doubles 'x' into 'y'; keeps what it was called with."""

    name = "sim"

    def __init__(self, error=0.0, fault=None):
        self.error, self.fault = error, fault
        self.ran, self.compiled, self.options = [], [], None

    def run(self, kernel, args, options, progress=None):
        self.ran.append([np.array(a) for a in args])
        self.options = options
        if self.fault is not None:
            return BackendRun("twice", {}, fault=self.fault)
        return BackendRun("twice", {"y": args[0] * 2 + np.float32(self.error)})

    def compile(self, kernel, args, options):
        self.compiled.append(args)


def twice(values):
    values["y"][...] = values["x"] * 2


def specs(init=None):
    def ramp(seed):
        return np.arange(4, dtype=np.float32) + seed

    return [
        golden.TensorSpec("x", [4], np.float32, ramp if init is None else init),
        golden.ScalarSpec("n", np.int32, 3),
        golden.TensorSpec("y", [4], np.float32, is_output=True),
    ]


@pytest.fixture
def use(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)

    def install(backend):
        monkeypatch.setattr(runner, "select", lambda name: backend)
        return backend

    return install


def test_passes_and_prints_its_stages(use, capsys):
    backend = use(FakeBackend())
    result = golden.run_jit("kernel", specs(), twice)
    assert result.passed and result.error is None and result.execution_time > 0 and result.work_dir is None
    assert str(result).startswith("PASS (")
    x, n, y = backend.ran[0]
    assert x.tolist() == [0, 1, 2, 3] and n == 3 and not y.any()
    lines = capsys.readouterr().out.splitlines()
    expected = [
        "generate inputs ...",
        "generate inputs done",
        "compute golden ...",
        "compute golden done",
        "runtime ...",
    ]
    expected += ["runtime done", "validate ...", "  'y' PASS  shape=(4,) dtype=float32", "validate done", "PASS ("]
    assert [line[: len(want) + 6] for line, want in zip(lines, expected, strict=True)] == [
        f"[RUN] {w}" for w in expected
    ]


def test_difference_is_a_result(use):
    use(FakeBackend(error=0.5))
    result = golden.run_jit("kernel", specs(), twice)
    assert not result.passed
    assert "['y']" in result.error and "[0] actual=0.5, expected=0" in result.error and str(result).startswith("FAIL: ")
    assert golden.run_jit("kernel", specs(), twice, atol=0.5).passed
    assert golden.run_jit("kernel", specs(), twice, compare_fn={"y": golden.ratio_allclose(atol=0.6)}).passed
    assert not golden.run_jit("kernel", specs(), twice, compare_fn={"y": golden.ratio_allclose(atol=0.4)}).passed


def test_comparers_see_everything(use):
    use(FakeBackend())
    seen = {}

    def look(actual, expected, **context):
        seen.update(context)
        return True, ""

    assert golden.run_jit("kernel", specs(), twice, compare_fn={"y": look}, rtol=0.25, atol=0.5).passed
    assert set(seen) == {"actual_outputs", "expected_outputs", "inputs", "rtol", "atol"}
    assert set(seen["inputs"]) == {"x", "n"} and (seen["rtol"], seen["atol"]) == (0.25, 0.5)


def test_comparer_for_no_output_is_not_ignored(use):
    use(FakeBackend())
    result = golden.run_jit("kernel", specs(), twice, compare_fn={"z": golden.ratio_allclose()})
    assert not result.passed and "compare_fn names z" in result.error


def test_without_a_golden_the_comparison_is_skipped(use, capsys):
    use(FakeBackend())
    assert golden.run("kernel", specs()).passed
    assert "validation skipped" in capsys.readouterr().out


def test_golden_function_cannot_change_the_kernels_inputs(use):
    def spoil(values):
        values["x"][...] = -1

    backend = use(FakeBackend())
    result = golden.run_jit("kernel", specs(), spoil)
    assert not result.passed and "golden_fn changes one of its inputs" in result.error
    assert not backend.ran


def test_inputs_are_lent_to_the_golden_function_and_not_copied(use):
    lent, x = {}, np.arange(4, dtype=np.float32)

    def keep(values):
        lent.update(values)
        twice(values)

    use(FakeBackend())
    assert golden.run_jit("kernel", specs(x), keep).passed
    assert np.shares_memory(lent["x"], x)


def test_seed_reaches_inputs_and_options(use):
    backend = use(FakeBackend())
    golden.run_jit("kernel", specs(), twice, runtime_cfg={"seed": 10})
    assert backend.ran[0][0].tolist() == [10, 11, 12, 13] and backend.options.seed == 10
    with open_session(RunOptions(seed=20)):
        golden.run_jit("kernel", specs(), twice, runtime_cfg={"seed": 10})
    assert backend.ran[1][0].tolist() == [20, 21, 22, 23]


def test_init_without_a_seed_is_repeatable(use):
    backend = use(FakeBackend())
    for seed in (1, 1, 2):
        golden.run_jit("kernel", specs(lambda: np.random.rand(4)), twice, runtime_cfg={"seed": seed})
    first, again, other = (call[0].tolist() for call in backend.ran)
    assert first == again != other


def test_session_gets_options_and_results(use):
    backend = use(FakeBackend())
    with open_session(RunOptions(numerics="cpu-sim")) as session:
        golden.run_jit("kernel", specs(), twice)
        backend.error = 1.0
        golden.run_jit("kernel", specs(), twice)
        golden.run_jit("kernel", specs())
    assert [(r.passed, r.compared) for r in session.results] == [(True, True), (False, True), (True, False)]
    assert session.results[1].error.startswith("Output(s) does not match golden: ['y']\n  'y' FAIL  shape=(4,)")
    assert backend.options.numerics == "cpu-sim"


def test_runtime_error_is_a_result(use):
    use(FakeBackend(fault=RuntimeFault(2, "HEAP_RING_DEADLOCK", "the heap ring is full", ring_state={})))
    with open_session(RunOptions()) as session:
        result = golden.run_jit("kernel", specs(), twice)
    assert not result.passed and "the heap ring is full" in result.error
    assert not session.results[0].passed and session.results[0].run.outputs == {}


def test_scope_stats_of_a_run_that_stopped(use):
    fault = RuntimeFault(2, "HEAP_RING_DEADLOCK", "the heap ring is full", ring_state={})
    use(FakeBackend(fault=fault))
    result = golden.run_jit("kernel", specs(), twice, runtime_cfg={"enable_scope_stats": True})
    lines = (result.work_dir / "dfx_outputs" / "scope_stats" / "scope_stats.jsonl").read_text().splitlines()
    assert not result.passed and len(lines) == 1 and '"fatal":true' in lines[0]


def test_output_that_the_kernel_does_not_have(use):
    use(FakeBackend())
    wrong = [*specs()[:2], golden.TensorSpec("z", [4], np.float32, is_output=True)]
    with pytest.raises(InputError, match=r"PTO019.*'twice' gives no output z"):
        golden.run_jit("kernel", wrong)


def test_wrong_shape_or_type_of_the_golden_fails(use):
    use(FakeBackend())

    def other_shape(values):
        values["y"] = np.zeros((4, 1), np.float32)

    def other_type(values):
        values["y"] = (values["x"] * 2).astype(ml_dtypes.bfloat16)

    for function in (other_shape, other_type):
        result = golden.run_jit("kernel", specs(), function)
        assert not result.passed and "actual is (4,) float32" in result.error


def test_nan_equals_nothing(use):
    use(FakeBackend(error=np.nan))

    def nan(values):
        values["y"][...] = np.nan

    assert not golden.run_jit("kernel", specs(), nan).passed


def test_value_errors_are_results(use):
    backend = use(FakeBackend())
    result = golden.run_jit("kernel", specs(np.zeros(5)), twice)
    assert not result.passed and "init_value has [5]" in result.error and not backend.ran


def test_other_errors_are_raised(use):
    use(FakeBackend())

    def broken(values):
        raise KeyError("missing")

    with pytest.raises(KeyError, match="missing"):
        golden.run_jit("kernel", specs(), broken)
    with pytest.raises(UnsupportedError, match="a5"):
        golden.run_jit("kernel", specs(), twice, runtime_cfg={"platform": "a5"})


def test_compile_only(use, capsys):
    backend = use(FakeBackend())
    assert golden.run_jit("kernel", specs(), twice, compile_only=True).passed
    (arguments,) = backend.compiled
    assert [np.shape(a) for a in arguments] == [(4,), (), (4,)] and not backend.ran
    assert "[RUN] compile ..." in capsys.readouterr().out


def test_a_build_directory_is_run_from(use, capsys):
    backend = use(FakeBackend())
    build = golden.run_jit("kernel", specs(), twice, compile_only=True).work_dir
    assert build.parent == Path("build_output") and [path.name for path in build.iterdir()] == ["build.json"]
    result = golden.run_jit("kernel", specs(), twice, runtime_dir=str(build))
    assert result.passed and result.work_dir == build and len(backend.ran) == 1
    assert f"[RUN] runtime_only: skipping compile, using {build}" in capsys.readouterr().out
    assert (build / "report.json").exists() and not (build / "INCOMPLETE").exists()
    assert golden.run_jit("kernel", specs(), twice, runtime_dir=str(build)).passed  # as often as one likes


def test_a_changed_source_is_said(use, capsys):
    use(FakeBackend())
    build = golden.run_jit("kernel", specs(), twice, compile_only=True).work_dir
    record = json.loads((build / "build.json").read_text())
    (build / "build.json").write_text(json.dumps(record | {"source": "0"}))
    assert golden.run_jit("kernel", specs(), twice, runtime_dir=str(build)).passed
    assert "source has changed since the build" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        (None, "is not a build directory of pto-sim"),
        ("{", "is not a build directory of pto-sim"),
        ("[]", "is not a build directory of pto-sim"),
        ('{"format": "pto-sim build", "kernel": "other"}', "made for another kernel"),
        ('{"format": "pto-sim build", "kernel": "kernel", "arguments": []}', "made for another set of arguments"),
    ],
)
def test_another_directory_is_refused(use, tmp_path, text, rule):
    use(FakeBackend())
    if text is not None:
        (tmp_path / "build.json").write_text(text)
    with pytest.raises(InputError, match=rule) as caught:
        golden.run_jit("kernel", specs(), twice, runtime_dir=str(tmp_path))
    assert caught.value.code == "PTO025"


def test_no_build_directory(use):
    use(FakeBackend())
    missing = golden.run_jit("kernel", specs(), twice, runtime_dir="build")
    assert missing.error == "runtime_dir does not exist: build"
    assert not golden.run_jit("kernel", specs(), twice, runtime_dir="build", compile_only=True).passed


def test_saved_data_can_be_given_back(use):
    backend = use(FakeBackend())
    result = golden.run_jit("kernel", specs(), twice, save_data=True, runtime_cfg={"seed": 6})
    assert result.passed and result.work_dir.parent == Path("build_output")
    assert (result.work_dir / "report.json").is_file() and not (result.work_dir / "INCOMPLETE").exists()
    data = result.work_dir / "data"
    assert sorted(p.relative_to(data).as_posix() for p in data.rglob("*.npy")) == ["in/n.npy", "in/x.npy", "out/y.npy"]

    again = golden.run_jit("kernel", specs(), golden_data=data)
    assert again.passed and backend.ran[1][0].tolist() == backend.ran[0][0].tolist()
    backend.error = 1.0
    assert not golden.run_jit("kernel", specs(), golden_data=data).passed
    (data / "out" / "y.npy").unlink()
    lacking = golden.run_jit("kernel", specs(), golden_data=data)
    assert not lacking.passed and "y.npy" in lacking.error


def test_two_runs_in_a_second_have_two_directories(use):
    use(FakeBackend())
    first, second = (golden.run_jit("kernel", specs(), twice, save_data=True).work_dir for _ in range(2))
    assert first != second and first.is_dir() and second.is_dir()


def test_session_directory_is_used(use, tmp_path):
    use(FakeBackend())
    with open_session(RunOptions(out_dir=tmp_path / "run")):
        result = golden.run_jit("kernel", specs(), twice, save_data=True)
    assert result.work_dir == tmp_path / "run" and (tmp_path / "run" / "data" / "out" / "y.npy").is_file()
    assert not (tmp_path / "build_output").exists()


def test_torch_script(use):
    torch = pytest.importorskip("torch")
    backend = use(FakeBackend())

    def twice_torch(values):
        assert values["n"] == 3
        values["y"][:] = values["x"] * 2

    described = [
        golden.TensorSpec("x", [4], torch.float32, torch.randn),
        golden.ScalarSpec("n", torch.int32, 3),
        golden.TensorSpec("y", [4], torch.float32, is_output=True),
    ]
    for _ in range(2):
        assert golden.run_jit("kernel", described, twice_torch, compare_fn={"y": golden.ratio_allclose()}).passed
    assert backend.ran[0][0].tolist() == backend.ran[1][0].tolist()


def test_rules_of_the_language_come_before_the_inputs():
    import pto_sim.language as pl

    @pl.jit
    def broken(x: pl.Tensor[[4], pl.FP32], y: pl.Out[pl.Tensor[[4], pl.FP32]]):
        try:
            y[:] = x[:]
        finally:
            pass

    x = golden.TensorSpec("x", [4], np.float32, lambda: pytest.fail("the inputs were made"))
    with pytest.raises(KernelError, match="PTO2"):
        golden.run_jit(broken, [x, golden.TensorSpec("y", [4], np.float32, is_output=True)])


def test_a_signed_spec_may_stand_for_an_unsigned_output():
    import pto_sim.language as pl

    @pl.jit
    def copy(x: pl.Tensor[[8, 64], pl.UINT32], y: pl.Out[pl.Tensor[[8, 64], pl.UINT32]]):
        with pl.at(level=pl.Level.CORE_GROUP):
            y[:, :] = x[:, :]

    specs = [golden.TensorSpec("x", [8, 64], np.int32, -1), golden.TensorSpec("y", [8, 64], np.int32, is_output=True)]
    assert golden.run_jit(copy, specs, lambda values: values["y"].fill(-1)).passed
