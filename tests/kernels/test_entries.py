"""What is true of every kernel: it is listed, imports little, and its run leaves the files that its flags ask for."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

from .sandbox import FOLDER, kernel_folder

SCRIPTS = sorted(
    path.name for path in FOLDER.glob("*.py")
    if "__name__ ==" in (text := path.read_text()) and "@pl.jit" in text
)  # fmt: skip
LIGHT = {  # the others take several seconds each, and share their command lines with these
    "combine.py", "decode_compressor_ratio128.py", "decode_sparse_attn_swa.py", "dispatch.py", "gate.py", "hc_post.py",
    "prefill_compressor_ratio128.py", "rmsnorm.py",
}  # fmt: skip


def test_every_kernel_with_a_main_part_is_a_case(tmp_path):
    with kernel_folder(tmp_path):
        import entries

        files = {"rms_norm": "rmsnorm"}
        assert sorted(f"{files.get(name, name)}.py" for name in entries.CASES) == SCRIPTS


@pytest.mark.parametrize("script", SCRIPTS)
def test_kernel_functions_import_only_the_language_their_sizes_and_one_another(script):
    tree = ast.parse((FOLDER / script).read_text())
    kernels = {path.removesuffix(".py") for path in SCRIPTS} | {"routed_tile", "forward_layers", "decode_fwd_layers"}
    for node in tree.body:
        if isinstance(node, ast.Import):
            names = {alias.name for alias in node.names}
            assert names <= {"pto_sim.language", "config"}, names
        elif isinstance(node, ast.ImportFrom):
            assert node.module in kernels | {"config"}, node.module


@pytest.mark.flash
@pytest.mark.parametrize("script", [pytest.param(s, marks=[] if s in LIGHT else [pytest.mark.slow]) for s in SCRIPTS])
def test_a_run_with_scope_stats_leaves_them(tmp_path, script):
    flags = ["--no-timing", "--no-checks", str(FOLDER / script), "--enable-scope-stats"]
    tool = Path(sys.executable).with_name("pto-sim")
    done = subprocess.run([tool, "run", *flags], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr
    files = list(tmp_path.rglob("scope_stats.jsonl"))
    assert files and all(len(path.read_text().splitlines()) > 2 for path in files)
