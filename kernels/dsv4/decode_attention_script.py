"""The command line of the decode attention kernels: build the inputs, run, compare."""

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from attention_fixtures import csa_specs, hca_specs, swa_specs
from attention_reference import Tensors, golden_attention_csa, golden_attention_hca, golden_attention_swa
from command_line import add_start_pos, base_parser, run_script
from compressor_fixtures import RATIO4, RATIO128
from config import DECODE_SEQ, FLASH

from pto_sim.golden import TensorSpec, ratio_allclose, ratio_reldiff

STREAMS = ratio_reldiff(diff_thd=3e-3, pct_thd=0.005, max_diff_hd=1)
WRONG_SHARE = 0.005  # of the elements that the step writes; a step writes a small part of a cache
WRITTEN_AT = {  # caches and states, and the parameter that names the rows that a step writes
    "kv_cache": "ori_slot_mapping",
    "cmp_kv": "cmp_slot_mapping",
    "idx_kv_cache": "idx_slot_mapping",
    "compress_state": "state_slot_mapping",
    "inner_compress_state": "inner_state_slot_mapping",
}
SPECS: dict[str, Callable[[int | None], list[TensorSpec]]] = {"swa": swa_specs, "hca": hca_specs, "csa": csa_specs}
GOLDEN: dict[str, Callable[[Tensors], None]] = {
    "swa": golden_attention_swa,
    "hca": golden_attention_hca,
    "csa": golden_attention_csa,
}
POSITIONS = {"swa": FLASH.max_position_embeddings, "hca": RATIO128.positions, "csa": RATIO4.positions}


def rows_tolerance(cache: TensorSpec, slots: TensorSpec | None) -> Any:
    """A comparer of a cache or state of which a step writes the rows that `slots` names (None: no row)."""
    written = 0 if slots is None else int((slots.create_tensor(0) >= 0).sum()) * cache.shape[-1]
    share = WRONG_SHARE * written / math.prod(cache.shape)
    atol, rtol = (1e-3, 1e-3) if cache.dtype is np.float32 else (1e-4, 1 / 128)
    return ratio_allclose(atol=atol, rtol=rtol, max_error_ratio=share)


def tolerance(specs: Sequence[TensorSpec]) -> dict[str, Any]:
    """A comparer for each output among the arguments."""
    by_name = {spec.name: spec for spec in specs}
    caches = [spec for spec in specs if spec.is_output and spec.name != "x_out"]
    return {"x_out": STREAMS, **{spec.name: rows_tolerance(spec, by_name[WRITTEN_AT[spec.name]]) for spec in caches}}


def main(kernel: object, *, kind: str, argv: Sequence[str] | None = None) -> None:
    """Run `kernel` as the flags say. kind: 'swa', 'hca' or 'csa'."""
    flags = base_parser()
    add_start_pos(flags, POSITIONS[kind] - DECODE_SEQ)
    args = flags.parse_args(argv)
    specs = SPECS[kind](args.start_pos)
    run_script(kernel, specs, GOLDEN[kind], tolerance(specs), args)
