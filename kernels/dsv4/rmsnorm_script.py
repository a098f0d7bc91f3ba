"""The command line of rms_norm."""

from collections.abc import Sequence

from hc_fixtures import rms_norm_specs
from hc_reference import golden_rms_norm
from token_modes import run_modes

from pto_sim.golden import ratio_allclose

OUTPUT_TOLERANCE = {"x_normed": ratio_allclose(atol=1e-4, rtol=1 / 128)}


def main(kernel: object, argv: Sequence[str] | None = None) -> None:
    """Run `kernel` as the flags say."""
    run_modes(kernel, rms_norm_specs, golden_rms_norm, OUTPUT_TOLERANCE, argv)
