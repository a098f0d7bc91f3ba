"""`report`, `compare`, `chips`, `ops`, `demo` and the help text."""

import subprocess
import sys

import pytest

from ascend_model.chipspec import list_chips
from pto_sim.cli import demo
from pto_sim.numerics.optable import OP_TABLE

QUICK = ("run", "--no-timing")


@pytest.fixture
def runs(cli, write, tmp_path):
    """Three run directories: two of one kernel, the second with scratch at the frame, and one with other values."""
    script = write()
    other = write(name="other.py", changes=[("np.full((N, N), 2", "np.full((N, N), 5"), ("(out == 3).all()", "True")])
    for name, arguments in {"a": (script,), "b": ("--scopes", "auto", script), "c": (other,)}.items():
        assert cli(*QUICK, "--out", tmp_path / name, *arguments).exit_code == 0
    return tmp_path


def test_report_shows_a_run_again(cli, runs):
    result = cli("report", runs / "a")
    assert result.exit_code == 0 and "PASSED" in result.stdout and "add_one" in result.stdout
    assert "report.html" in result.stdout
    (runs / "a" / "report.html").unlink()
    cli("report", runs / "a")
    assert "add_one" in (runs / "a" / "report.html").read_text()


@pytest.mark.parametrize("command", [("report", "nowhere"), ("compare", "nowhere", "nowhere")])
def test_no_such_run(cli, command):
    result = cli(*command)
    assert result.exit_code == 2 and "PTO030" in result.stderr


def test_compare_says_same_bits_and_other_heap(cli, runs):
    result = cli("compare", runs / "a", runs / "b")
    assert result.exit_code == 0 and "SAME BITS" in result.stdout and "ring 1 high water" in result.stdout


def test_compare_fails_on_other_bits(cli, runs):
    result = cli("compare", runs / "a", runs / "c")
    assert result.exit_code == 1 and "DIFFERENT BITS" in result.stdout


def test_compare_takes_report_files(cli, runs):
    assert cli("compare", runs / "a" / "report.json", runs / "b").exit_code == 0


def test_chips_lists_all_and_shows_sources(cli):
    listed = cli("chips")
    assert listed.exit_code == 0 and all(chip in listed.stdout for chip in list_chips())
    one = cli("chips", "a2a3")
    assert "clock.core_hz" in one.stdout and "pto-isa" in one.stdout and "1,850,000,000" in one.stdout
    assert cli("chips", "a9").exit_code == 2


def test_ops_lists_all_and_shows_rules(cli):
    listed = cli("ops")
    words = set(listed.stdout.split())
    assert listed.exit_code == 0 and set(OP_TABLE) <= words
    one = cli("ops", "pl.matmul")
    assert one.exit_code == 0 and "cube (AIC)" in one.stdout
    unknown = cli("ops", "matmull")
    assert unknown.exit_code == 2 and "matmul" in unknown.stderr


# pypto: python/pypto/language, what kernels of pypto-lib and the tests under tests/st call on one a2a3 card.
NAMES_TEXT = """
aiv_shard aic_gather aic_initialize_pipe aiv_initialize_pipe arange array.create array.get_element
array.update_element assemble at ci cluster cond const create_l1 create_tensor create_tile cross_core_slot dump_tag
dynamic expand_clone expands fillpad fillpad_expand full func_attr gather gather_row get_block_idx get_block_num
get_subblock_idx import_peer_buffer inline jit jit.extern jit.host jit.incore jit.inline jit.opaque load
manual_scope max mgather min move mrgsort mscatter no_dep paged_gather parallel pipeline prefetch.async_prefetch
prefetch.make_context prefetch.session prefetch.wait program range read reinterpret_view reserve_buffer reshape
scatter scatter_update scope set_validshape slice split split_aiv spmd spmd_submit static_assert static_print store
submit system.available_aiv_count system.available_cluster_count system.bar_all system.bar_m system.bar_v
system.cacheinvalid system.fence system.set_ffts system.sync_dst system.sync_set system.sync_src system.sync_wait
system.syncall system.task_dummy tensor.dim tensor.view tfree_to_aic tfree_to_aiv tile.batch_matmul
tile.batch_matmul_acc tile.cmps tile.create tile.extract tile.fillpad_inplace tile.gather tile.gather_compare
tile.gather_mask tile.gemv tile.gemv_acc tile.gemv_bias tile.maximums tile.minimums tile.scatter tile.scatter_mask
tile.transpose_view tpop_from_aic tpop_from_aiv tpush_to_aic tpush_to_aiv transpose unroll while_ write yield_
MemRef MemorySpace PipeType TileView TensorView
"""


@pytest.mark.parametrize("name", NAMES_TEXT.split())
def test_ops_explains_every_name_of_the_language(cli, name):
    shown = cli("ops", f"pl.{name}")
    assert shown.exit_code == 0 and len(shown.stdout.split()) > 8, shown.stderr


@pytest.mark.parametrize("name", ["pl.tile.alloc", "pl.loads"])
def test_ops_says_what_is_not_modelled(cli, name):
    shown = cli("ops", name)
    assert shown.exit_code != 0 and "not modelled" in shown.stderr


def test_help_names_what_works_and_nothing_else(cli):
    text = cli("--help").stdout
    for command in ("demo", "run", "check", "report", "compare", "chips", "ops", "findings"):
        assert f"  {command} " in text
    assert "study" not in text


def test_help_imports_nothing_heavy():
    code = (
        "import sys; from pto_sim.cli import app; print(sorted({'numpy', 'numba', 'rich', 'simpy'} & set(sys.modules)))"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"


def test_usage_errors_are_status_two(cli):
    assert cli("run").exit_code == 2 and cli("fly").exit_code == 2


def test_demo_without_its_kernels_says_where_they_are(cli, monkeypatch, tmp_path):
    monkeypatch.setattr(demo, "KERNEL", demo.Path("kernels/dsv4/not_there.py"))
    result = cli("demo", "--out", tmp_path / "run")
    assert result.exit_code == 2 and "PTO055" in result.stderr and "checkout" in result.stderr


def test_demo_runs_the_kernel_of_the_checkout(cli, monkeypatch, tmp_path, write):
    write()
    monkeypatch.setattr(demo, "KERNEL", demo.Path("kernel.py"))
    monkeypatch.chdir(tmp_path)
    called = []
    monkeypatch.setattr(demo, "run_script", lambda script, argv, options: called.append((script, argv, options)))
    cli("demo", "--out", tmp_path / "run")
    ((script, argv, options),) = called
    assert script == tmp_path / "kernel.py" and argv == [] and options.out_dir == tmp_path / "run"
    assert options.timing and options.seed is not None


def test_findings_are_listed_and_explained(cli):
    listed = cli("findings")
    assert listed.exit_code == 0 and all(
        code in listed.stdout for code in ("PTO401", "PTO433", "race between the blocks")
    )
    page = cli("findings", "PTO431")
    assert (
        page.exit_code == 0 and "a write that may come before an earlier read" in page.stdout and "deps=" in page.stdout
    )
    error = cli("findings", "PTO203")
    assert error.exit_code == 0 and "PTO203" in error.stdout
    wrong = cli("findings", "PTO43")
    assert wrong.exit_code == 2 and "PTO058" in wrong.stderr and "did you mean PTO43" in wrong.stderr


@pytest.mark.parametrize(
    ("fail_on", "status"), [("none", 0), ("error", 0), ("warning", 1), ("PTO405", 1), ("PTO401", 0)]
)
def test_a_severity_stands_for_its_codes(cli, write, fail_on, status):
    script = write(
        changes=[("    scratch = pl", "    spare = pl.create_tensor([N, N], dtype=pl.FP32)\n    scratch = pl")]
    )
    assert cli(*QUICK, "--fail-on", fail_on, script).exit_code == status
