"""The command line of decode_layer, its inputs and its reference: those of attention and of the experts together."""

from collections.abc import MutableMapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from attention_fixtures import CSA, HCA, SWA, AttentionInputs, Kind, Step, compression, indexing
from command_line import add_start_pos, base_parser, run_script
from compressor_fixtures import RATIO4, RATIO128
from config import DECODE_SEQ
from decode_attention_script import GOLDEN, POSITIONS, WRITTEN_AT, rows_tolerance
from moe_reference import golden_moe_ep1
from moe_script import moe_specs

from pto_sim.golden import ScalarSpec, TensorSpec, ratio_reldiff

STREAMS = ratio_reldiff(diff_thd=1e-2, pct_thd=0.05)
OF_ATTENTION = {"kv_cache", "ori_block_table", "cmp_kv", "cmp_block_table", "ori_slot_mapping", "kv_seq_lens"}
OF_THE_LAYER = {"idx_kv_cache", "idx_block_table"}  # of CSA alone, and named without it


def kind_of(layer_id: int) -> Kind:
    """The attention of a layer."""
    return SWA if layer_id < 2 else HCA if layer_id % 2 else CSA


def renamed(spec: TensorSpec, name: str) -> TensorSpec:
    return TensorSpec(name, spec.shape, spec.dtype, spec.init_value, is_output=spec.is_output)


def layer_specs(names: Sequence[str], layer_id: int, start_pos: int | None = None) -> list[TensorSpec | ScalarSpec]:
    """Specs of the arguments `names` of decode_layer. start_pos: of every batch; None takes those of the layer's kind.

    The compressors of other kinds of attention stand at the positions of their own tests; nothing reads them.
    """
    kind = kind_of(layer_id)
    step = Step(kind, start_pos)
    found: dict[str, TensorSpec | ScalarSpec] = dict(AttentionInputs(step).specs())
    window_of_128 = replace(RATIO128, swapped=None)
    for other, compressor in ((HCA, window_of_128), (CSA, RATIO4)):
        own = step if other is kind else Step(other)
        parts = compression(own, compressor) | (indexing(own) if other is CSA else {})
        for name, spec in parts.items():
            if name in OF_THE_LAYER:
                found[name] = spec
            elif name not in OF_ATTENTION:
                found[f"{other.name}_{name}"] = renamed(spec, f"{other.name}_{name}")
    found |= {"cmp_kv": compression(step, window_of_128)["cmp_kv"]}
    found |= {"kv_seq_lens": TensorSpec("kv_seq_lens", [step.batch], np.int32, step.starts + step.step)}
    found |= {spec.name: spec for spec in moe_specs(layer_id) if spec.name != "x_hc"}
    return [found[name] for name in names]


def tolerance(specs: Sequence[TensorSpec | ScalarSpec], layer_id: int) -> dict[str, Any]:
    """A comparer for each output among the arguments. What is of other kinds of attention stays as it is."""
    by_name = {spec.name: spec for spec in specs if isinstance(spec, TensorSpec)}
    kind = kind_of(layer_id).name
    found = {"x_next": STREAMS}
    for name, spec in by_name.items():
        if spec.is_output and name != "x_next":
            own = name.removeprefix(f"{kind}_")
            slots = WRITTEN_AT.get(own, "")
            found[name] = rows_tolerance(spec, by_name.get(f"{kind}_{slots}") or by_name.get(slots))
    return found


def golden_decode_layer(tensors: MutableMapping[str, Any]) -> None:
    """Fill x_next, the caches and the states."""
    kind = kind_of(int(tensors["layer_id"])).name
    prefix = f"{kind}_"
    own = {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}
    x_attn = np.empty_like(tensors["x_next"])
    GOLDEN[kind]({**tensors, **own, "ori_block_table": tensors["block_table"], "x_out": x_attn})
    golden_moe_ep1({**tensors, "x_hc": x_attn})


def main(kernel: Any, argv: Sequence[str] | None = None) -> None:
    """Run `kernel` as the flags say."""
    flags = base_parser()
    add_start_pos(flags, POSITIONS["csa"] - DECODE_SEQ)
    flags.add_argument("--layer-id", type=int, default=10, help="0, 1: SWA; then even: CSA, odd: HCA")
    flags.add_argument("--routed-tile", type=int, choices=[48, 32], help="rows that a routed expert takes [48]")
    args = flags.parse_args(argv)
    names = [parameter.name for parameter in kernel.parameters]
    specs = layer_specs(names, args.layer_id, args.start_pos)
    run_script(kernel, specs, golden_decode_layer, tolerance(specs, args.layer_id), args)
