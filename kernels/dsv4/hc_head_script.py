"""The command line of hc_head."""

from collections.abc import Sequence

from command_line import base_parser, run_script
from hc_fixtures import hc_head_specs
from hc_reference import golden_hc_head

from pto_sim.golden import ratio_allclose

OUTPUT_TOLERANCE = {"y": ratio_allclose(atol=1e-4, rtol=1 / 128)}


def main(kernel: object, argv: Sequence[str] | None = None) -> None:
    """Run `kernel` as the flags say."""
    run_script(kernel, hc_head_specs(), golden_hc_head, OUTPUT_TOLERANCE, base_parser().parse_args(argv))
