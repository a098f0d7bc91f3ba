"""The command line of the decode attention kernels: build the inputs, run, compare."""

from collections.abc import Callable, Sequence
from typing import Any

from attention_fixtures import csa_specs, hca_specs, swa_specs
from attention_reference import Tensors, golden_attention_csa, golden_attention_hca, golden_attention_swa
from command_line import add_start_pos, base_parser, run_script
from compressor_fixtures import RATIO4, RATIO128
from config import DECODE_SEQ, FLASH

from pto_sim.golden import TensorSpec, ratio_allclose, ratio_reldiff

OUTPUT_TOLERANCE = {
    "x_out": ratio_reldiff(diff_thd=3e-3, pct_thd=0.005, max_diff_hd=1),
    "kv_cache": ratio_allclose(atol=1e-4, rtol=1 / 128),
    "cmp_kv": ratio_allclose(atol=1e-4, rtol=1 / 128),
    "compress_state": ratio_allclose(atol=1e-3, rtol=1e-3),
    "inner_compress_state": ratio_allclose(atol=1e-3, rtol=1e-3),
    "idx_kv_cache": ratio_allclose(atol=1e-4, rtol=1 / 128),
}
SPECS: dict[str, Callable[[int | None], list[TensorSpec]]] = {"swa": swa_specs, "hca": hca_specs, "csa": csa_specs}
GOLDEN: dict[str, Callable[[Tensors], None]] = {
    "swa": golden_attention_swa,
    "hca": golden_attention_hca,
    "csa": golden_attention_csa,
}
POSITIONS = {"swa": FLASH.max_position_embeddings, "hca": RATIO128.positions, "csa": RATIO4.positions}


def tolerance(specs: Sequence[TensorSpec]) -> dict[str, Any]:
    """A comparer for each output among the arguments."""
    return {spec.name: OUTPUT_TOLERANCE[spec.name] for spec in specs if spec.is_output}


def main(kernel: object, *, kind: str, argv: Sequence[str] | None = None) -> None:
    """Run `kernel` as the flags say. kind: 'swa', 'hca' or 'csa'."""
    flags = base_parser()
    add_start_pos(flags, POSITIONS[kind] - DECODE_SEQ)
    args = flags.parse_args(argv)
    specs = SPECS[kind](args.start_pos)
    run_script(kernel, specs, GOLDEN[kind], tolerance(specs), args)
