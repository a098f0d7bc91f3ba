"""Nothing but the inputs and the numerics profile decides a bit: sparse attention at its real size.

One run with the default options is the standard; every other way to run must give the same output hash.
"""

import hashlib
import sys
from pathlib import Path

import numpy as np
import pytest

from ascend_model import chip, chipspec
from pto_sim.engine import run_kernel
from pto_sim.lowering import lower
from pto_sim.program.options import RunOptions

pytestmark = pytest.mark.flash

KERNELS = Path(__file__).parents[2] / "kernels" / "dsv4"
OUTPUT = "attn_out"
MIB = 2**20


@pytest.fixture(scope="module")
def case():
    """The SWA kernel, its seeded inputs and the standard run."""
    sys.path.insert(0, str(KERNELS))
    try:
        import decode_sparse_attn_swa as kernel
        from sparse_attn_fixtures import Fixture, tensor_specs
    finally:
        sys.path.remove(str(KERNELS))
    fixture = Fixture(topk=kernel.TOPK, compress_ratio=0, overlay_replacement=True)
    arguments = [spec.create_tensor(seed=5) for spec in tensor_specs(fixture)]
    return kernel.sparse_attn_test, arguments, run_kernel(kernel.sparse_attn_test, arguments, RunOptions(), [])


def digest(run) -> str:
    return hashlib.sha256(np.ascontiguousarray(run.outputs[OUTPUT]).view(np.uint8)).hexdigest()


@pytest.mark.parametrize(
    "options",
    [
        {"lanes": 1},
        {"lanes": 7},
        {"threads": 2},
        {"block_order_seed": 11},
        {"scopes": "flat"},
        {"scopes": "auto"},
        {"hoist": ("sparse_blk_mi", "sparse_blk_li", "sparse_blk_oi")},
    ],
    ids=lambda options: " ".join(f"{key}={value}" for key, value in options.items())[:40],
)
def test_how_it_runs_never_changes_a_bit(case, options):
    kernel, arguments, standard = case
    assert digest(run_kernel(kernel, arguments, RunOptions(**options), [])) == digest(standard)


def test_the_inputs_do_change_bits(case):
    """The comparison above can fail: one more window row changes the hash."""
    kernel, arguments, standard = case
    changed = [argument.copy() for argument in arguments]
    index = next(a for a in changed if a.dtype == np.int32 and a.shape[0] == 128)
    index[5, 20] = 3
    assert digest(run_kernel(kernel, changed, RunOptions(), [])) != digest(standard)


@pytest.mark.parametrize("cores", [1, 24])
@pytest.mark.parametrize("ring_mib", [128, 1024])
def test_the_simulated_machine_sees_the_same_program(case, cores, ring_mib):
    """Cores and rings only enter after the outputs exist: the same Program is simulated on every machine."""
    _, _, standard = case
    lowered = lower(standard.program)
    timeline = chip.simulate(
        lowered.workload, chipspec.load_chip("a2a3"), heap_bytes=(ring_mib * MIB,) * 4, cores=cores
    )
    assert {span.name: span.blocks for span in timeline.tasks if span.kind != "ALLOC"} == {
        task.name: task.blocks for task in standard.program.tasks
    }
    assert {block.core.split("_")[0] for block in timeline.blocks} == {"AIC", "AIV"}
