"""The command line of hc_post."""

from collections.abc import Sequence

from hc_fixtures import hc_post_specs
from hc_reference import golden_hc_post
from token_modes import run_modes

from pto_sim.golden import ratio_allclose

OUTPUT_TOLERANCE = {"y": ratio_allclose(atol=1e-3, rtol=1e-3, max_error_ratio=0.0)}


def main(kernel: object, argv: Sequence[str] | None = None) -> None:
    """Run `kernel` as the flags say."""
    run_modes(kernel, hc_post_specs, golden_hc_post, OUTPUT_TOLERANCE, argv)
