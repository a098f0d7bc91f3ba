"""The command line of prefill_layer, its inputs and its reference: those of attention and of the experts together."""

from collections.abc import MutableMapping, Sequence
from typing import Any

import numpy as np
from attention_fixtures import CSA, HCA, SWA
from command_line import base_parser, run_script
from compressor_fixtures import RATIO4, RATIO128
from decode_layer_script import STREAMS, kind_of, renamed
from moe_reference import golden_moe_ep1
from moe_script import moe_specs
from prefill_attention_fixtures import PrefillStep, csa_specs, hca_specs, shared_specs, swa_specs
from prefill_attention_script import GOLDEN, TOKENS, caches_tolerance, of_tokens

from pto_sim.golden import ScalarSpec, TensorSpec

SPECS = {SWA.name: swa_specs, HCA.name: hca_specs, CSA.name: csa_specs}
# Of every kind, under one name; of CSA alone, and named without it.
OF_ATTENTION = {"kv_cache", "ori_block_table", "cmp_kv", "cmp_block_table", "ori_slot_mapping"}
OF_THE_LAYER = {"idx_kv_cache", "idx_block_table"}
RENAMED = {"idx_weights_proj": "weights_proj"}


def layer_specs(
    names: Sequence[str], layer_id: int, start_pos: int = 0, num_tokens: int = TOKENS
) -> list[TensorSpec | ScalarSpec]:
    """Specs of the arguments `names` of prefill_layer.

    What is of another kind of attention stands at the positions of that kind's own test; nothing reads it.
    """
    kind = kind_of(layer_id)
    step = PrefillStep(kind, start_pos, num_tokens)
    found: dict[str, TensorSpec | ScalarSpec] = {}
    for other, compressor in ((HCA, RATIO128), (CSA, RATIO4)):
        own = step if other is kind else PrefillStep(other)
        parts = own.compression(compressor) | (own.indexing() if other is CSA else {})
        for name, spec in parts.items():
            if name in OF_THE_LAYER or name in OF_ATTENTION:
                found[name] = spec
            else:
                layer_name = f"{other.name}_{RENAMED.get(name, name)}"
                found[layer_name] = renamed(spec, layer_name)
    found |= shared_specs(step) | step.list_specs()
    found |= {spec.name: spec for spec in SPECS[kind.name](start_pos, num_tokens) if spec.name != "x_out"}
    found |= {spec.name: spec for spec in moe_specs(layer_id) if spec.name != "x_hc"}
    return [found[name] for name in names]


def tolerance(specs: Sequence[TensorSpec | ScalarSpec], layer_id: int, num_tokens: int = TOKENS) -> dict[str, Any]:
    """A comparer for each output among the arguments. What is of other kinds of attention stays as it is."""
    names = [spec.name for spec in specs if isinstance(spec, TensorSpec) and spec.is_output]
    kind = kind_of(layer_id).name
    caches = caches_tolerance(kind, num_tokens)
    found = {"x_next": of_tokens(STREAMS, num_tokens)}
    for name in names:
        if name != "x_next":
            found[name] = caches.get(name.removeprefix(f"{kind}_"), unchanged)
    return found


def unchanged(actual: np.ndarray, expected: np.ndarray, **_: Any) -> tuple[bool, str]:
    """Equal to the bit: nothing writes it."""
    same = actual.tobytes() == expected.tobytes()
    return same, "" if same else "changed, though the layer's attention does not use it"


def golden_prefill_layer(tensors: MutableMapping[str, Any]) -> None:
    """Fill x_next, the caches and the states."""
    kind = kind_of(int(tensors["layer_id"])).name
    prefix = f"{kind}_"
    own = {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}
    own |= {name: own[layer_name] for name, layer_name in RENAMED.items() if layer_name in own}
    x_attn = np.empty_like(tensors["x_next"])
    GOLDEN[kind]({**tensors, **own, "block_table": tensors["ori_block_table"], "x_out": x_attn})
    golden_moe_ep1({**tensors, "x_hc": x_attn})


def main(kernel: Any, argv: Sequence[str] | None = None) -> None:
    """Run `kernel` as the flags say."""
    flags = base_parser()
    flags.add_argument("--start-pos", type=int, default=0, help="position of the first token")
    flags.add_argument("--num-tokens", type=int, default=TOKENS, help="tokens that are not padding")
    flags.add_argument("--layer-id", type=int, default=2, help="0, 1: SWA; then even: CSA, odd: HCA")
    flags.add_argument("--ep", type=int, default=1, choices=[1], help="cards that share the experts")
    flags.add_argument("--routed-tile", type=int, choices=[48, 32], help="rows that a routed expert takes [48]")
    args = flags.parse_args(argv)
    names = [parameter.name for parameter in kernel.parameters]
    specs = layer_specs(names, args.layer_id, args.start_pos, args.num_tokens)
    accepted = tolerance(specs, args.layer_id, args.num_tokens)
    run_script(kernel, specs, golden_prefill_layer, accepted, args)
