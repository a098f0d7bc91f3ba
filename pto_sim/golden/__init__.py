"""The test harness of kernel authors: describe the arguments, run the kernel, compare with a golden.

May import backend, report and every package below them.
"""

from pto_sim.golden.comparers import ratio_allclose, ratio_reldiff
from pto_sim.golden.layers import LayerStacks
from pto_sim.golden.pools import error_distribution, mapped_pool_ratio_allclose
from pto_sim.golden.runner import RunResult, run, run_jit
from pto_sim.golden.specs import ScalarSpec, TensorSpec
from pto_sim.golden.topk import topk_pair_compare
from pto_sim.golden.validation import validate_golden

__all__ = [
    "LayerStacks",
    "RunResult",
    "ScalarSpec",
    "TensorSpec",
    "error_distribution",
    "mapped_pool_ratio_allclose",
    "ratio_allclose",
    "ratio_reldiff",
    "run",
    "run_jit",
    "topk_pair_compare",
    "validate_golden",
]
