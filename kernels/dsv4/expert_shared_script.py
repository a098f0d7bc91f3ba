"""The command line of expert_shared: build the inputs, run, compare."""

from collections.abc import Sequence

from command_line import base_parser, run_script
from expert_fixtures import expert_shared_specs
from expert_reference import golden_expert_shared

from pto_sim.golden import ratio_reldiff

OUTPUT_TOLERANCE = {"sh": ratio_reldiff(diff_thd=2e-3, pct_thd=0.01)}


def main(kernel: object, argv: Sequence[str] | None = None) -> None:
    """Run `kernel` as the flags say."""
    run_script(kernel, expert_shared_specs(), golden_expert_shared, OUTPUT_TOLERANCE, base_parser().parse_args(argv))
