"""The command on the real kernels at flash size: golden, heap figures, bits of the variants, and no warnings."""

import json

import pytest

from pto_sim.checks import CATALOGUE
from pto_sim.report.units import bytes_text

KERNELS = "kernels/dsv4"
WARNINGS = ",".join(code for code, kind in CATALOGUE.items() if kind.severity != "info")
SEED_RULES = ("run", "--no-timing", "--seed", "0", "--pipe-slots", "seed", "--ring-heap", "1G", "--fail-on", WARNINGS)
BLOCK_TENSORS = "sparse_blk_mi,sparse_blk_li,sparse_blk_oi"

pytestmark = pytest.mark.flash


@pytest.fixture
def report(cli, tmp_path, request):
    """Run a kernel with options and return its --json object."""

    def run(kernel, *options):
        path = tmp_path / "run.json"
        script = request.config.rootpath / KERNELS / kernel
        result = cli(*SEED_RULES, *options, "--json", path, script)
        assert result.exit_code == 0, result.output
        return json.loads(path.read_text())

    return run


def frame(found):
    return bytes_text(found["heap"]["max_lag"]["frame_residency_bytes"])


def test_csa_frame_residency_before_and_after_hoisting_with_the_same_bits(report):
    written = report("decode_sparse_attn.py")
    hoisted = report("decode_sparse_attn.py", "--hoist", BLOCK_TENSORS)
    assert (frame(written), frame(hoisted)) == ("90.31 MiB", "170.63 MiB")
    assert written["outputs"] == hoisted["outputs"]
    assert written["passed"] and {finding["severity"] for finding in written["findings"]} <= {"info"}


@pytest.mark.parametrize("kernel", ["decode_sparse_attn_swa.py", "decode_sparse_attn_hca.py"])
def test_frame_residency_of_the_two_block_kernels(report, kernel):
    found = report(kernel)
    assert found["passed"] and frame(found) == "42.13 MiB"
    assert {finding["severity"] for finding in found["findings"]} <= {"info"}
