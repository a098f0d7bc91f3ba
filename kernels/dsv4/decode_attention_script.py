"""The command line of the decode attention kernels: build the inputs, run, compare."""

from collections.abc import Callable, Sequence

from attention_fixtures import SWA, AttentionInputs, Step
from attention_reference import Tensors, golden_attention_swa
from command_line import base_parser, run_script

from pto_sim.golden import TensorSpec, ratio_allclose, ratio_reldiff

OUTPUT_TOLERANCE = {
    "x_out": ratio_reldiff(diff_thd=3e-3, pct_thd=0.005, max_diff_hd=1),
    "kv_cache": ratio_allclose(atol=1e-4, rtol=1 / 128),
}
GOLDEN: dict[str, Callable[[Tensors], None]] = {"swa": golden_attention_swa}


def swa_specs(start_pos: int | None = None) -> list[TensorSpec]:
    """Arguments of attention_swa_test."""
    return list(AttentionInputs(Step(SWA, start_pos)).specs().values())


SPECS = {"swa": swa_specs}


def main(kernel: object, *, kind: str, argv: Sequence[str] | None = None) -> None:
    """Run `kernel` as the flags say. kind: 'swa', 'hca' or 'csa'."""
    flags = base_parser()
    flags.add_argument("--start-pos", type=int, help="position of every batch's first token, instead of a mixture")
    args = flags.parse_args(argv)
    run_script(kernel, SPECS[kind](args.start_pos), GOLDEN[kind], OUTPUT_TOLERANCE, args)
