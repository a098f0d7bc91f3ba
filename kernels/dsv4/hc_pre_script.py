"""The command line of hc_pre."""

from collections.abc import Sequence

from hc_fixtures import hc_pre_specs
from hc_reference import golden_hc_pre
from token_modes import run_modes

from pto_sim.golden import ratio_allclose

OUTPUT_TOLERANCE = {
    "x_mixed": ratio_allclose(atol=1e-4, rtol=1 / 128),
    "post": ratio_allclose(atol=2.5e-5, rtol=5e-3),
    "comb": ratio_allclose(atol=2.5e-5, rtol=5e-3),
}


def main(kernel: object, argv: Sequence[str] | None = None) -> None:
    """Run `kernel` as the flags say."""
    run_modes(kernel, hc_pre_specs, golden_hc_pre, OUTPUT_TOLERANCE, argv)
