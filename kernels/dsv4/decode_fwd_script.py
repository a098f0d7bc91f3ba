"""The command line of decode_fwd, its inputs and its reference, which goes along with the run.

All layers' weights are 15 GiB and more. They are made a layer at a time, when the kernel comes to it; the reference
takes its step on them then, and they are dropped when the kernel has left the layer.
"""

import argparse
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import lru_cache
from typing import Any

import numpy as np
from attention_fixtures import CSA, HCA, SWA, AttentionInputs, Step, compression, indexing
from command_line import add_start_pos, base_parser, run_script
from compressor_fixtures import RATIO4, RATIO128
from config import DECODE_SEQ
from decode_attention_script import POSITIONS, WRITTEN_AT
from decode_layer_script import golden_decode_layer, kind_of, renamed
from forward_layers import LAYERS, possible
from moe_script import moe_specs

from pto_sim.golden import LayerStacks, TensorSpec

WINDOW_OF_128 = replace(RATIO128, swapped=None)
SHARED = {
    "block_table", "ori_slot_mapping", "position_ids", "kv_seq_lens", "cmp_block_table", "idx_block_table", "input_ids",
}  # fmt: skip
TABLES = ("cmp_slot_mapping", "state_slot_mapping", "idx_slot_mapping", "inner_state_slot_mapping", "block_table")
# A value beside the middle of two INT8 steps goes one way in the kernel and the other in the reference, and from layer
# 3 on a close choice between experts may: such differences are handed on and grow with the square of the depth.
# Measured at flash size: streams 0.022 after 5 layers and 0.20 after 15 in the middle of the tokens, 0.21 and 0.44 at
# most. Of streams without a common cause the relative error would be 1.4.
MEDIAN_ERROR = 0.0015  # times the square of the layers passed, the present one among them
LARGEST_ERROR = 0.8  # of any token's streams


def allowed(layers: int) -> float:
    """The median relative error of tokens that have passed `layers` layers."""
    return min(MEDIAN_ERROR * (layers + 1) ** 2, 0.7)


def layer_inputs(layer: int, start_pos: int | None = None) -> dict[str, TensorSpec]:
    """Specs of what one layer has, by parameter name. All layers stand at the positions of CSA's test."""
    kind = replace(kind_of(layer), starts=CSA.starts)
    step = Step(kind, start_pos)
    found = dict(AttentionInputs(step).specs())
    window = compression(step, WINDOW_OF_128 if kind.name != CSA.name else RATIO4)
    found |= {name: window[name] for name in ("cmp_kv", "kv_seq_lens")}
    own = {} if kind.name == SWA.name else window | (indexing(step) if kind.name == CSA.name else {})
    for name, spec in own.items():
        if name in ("idx_kv_cache", "idx_block_table"):
            found[name] = spec
        elif name not in found and name != "ori_block_table":
            found[f"{kind.name}_{name}"] = renamed(spec, f"{kind.name}_{name}")
    found |= {spec.name: spec for spec in moe_specs(layer) if isinstance(spec, TensorSpec) and spec.name != "x_hc"}
    return found


class Forward:
    """Specs of decode_fwd and the reference's way through its layers."""

    def __init__(self, layers: int = LAYERS, start_pos: int | None = None) -> None:
        self.layers = layers
        self.inputs = lru_cache(maxsize=2)(lambda layer: layer_inputs(layer, start_pos))
        self.stacks = LayerStacks(self.inputs, self.step)
        self.kinds = {kind.name: [i for i in range(layers) if kind_of(i) is kind] for kind in (SWA, CSA, HCA)}
        self.common: list[str] = []  # arguments that all layers share, and below their values in the run
        self.shared: dict[str, np.ndarray] = {}
        self.streams: np.ndarray | None = None
        self.rows: dict[tuple[str, int], tuple[np.ndarray, np.ndarray]] = {}

    def specs(self, names: Sequence[str]) -> list[TensorSpec]:
        """Of the arguments `names` of decode_fwd."""
        return [self._spec(name) for name in names]

    def _spec(self, name: str) -> TensorSpec:
        if name in ("x_hc", "x_next"):
            return self.inputs(0)[name]
        if name in SHARED or name.endswith(TABLES) or "freqs" in name:
            return self._shared(name)
        kind = CSA.name if name == "idx_kv_cache" else name.split("_")[0]
        return self.stacks.stacked(name, self.kinds.get(kind, range(self.layers)))

    def _shared(self, name: str) -> TensorSpec:
        kind = {"swa": SWA, "hca": HCA}.get(name.split("_")[0], CSA).name
        self.common.append(name)
        return renamed(self.inputs(self.kinds[kind][0])[name.removeprefix("swa_")], name)

    def begin(self, tensors: Mapping[str, Any]) -> None:
        """The golden function of the run: the reference starts with the run's streams, and goes on in `step`."""
        self.streams = np.array(tensors["x_hc"])
        self.shared = {name: tensors[name] for name in self.common}

    def step(self, layer: int, tensors: Mapping[str, np.ndarray]) -> None:
        """The reference's turn at a layer, on the layer's own tensors."""
        assert self.streams is not None
        kind = kind_of(layer).name
        turned = "swa_freqs" if kind == SWA.name else "freqs"
        rotations = {f"freqs_{part}": self.shared[f"{turned}_{part}"] for part in ("cos", "sin")}
        values = {**self.shared, **tensors, **rotations, "x_hc": self.streams, "layer_id": layer}
        values["x_next"] = np.empty_like(self.streams)
        golden_decode_layer(values)
        self.streams = values["x_next"]
        for name in tensors:
            slots = WRITTEN_AT.get(name.removeprefix(f"{kind}_"))
            found = values.get(f"{kind}_{slots}", values.get(slots)) if slots else None
            if found is not None:
                written = found[found >= 0]
                self.rows[name, layer] = written, rows_of(tensors[name])[written]

    def tolerance(self, specs: Sequence[TensorSpec]) -> dict[str, Callable[..., Any]]:
        """A comparer for each output: the streams, and the rows that were written of each layer's caches."""
        outputs = [spec.name for spec in specs if spec.is_output]
        return {name: self.compare_streams if name == "x_next" else self.comparer_of_rows(name) for name in outputs}

    def compare_streams(self, actual: np.ndarray, expected: np.ndarray, **_: Any) -> tuple[bool, str]:
        """Each token's streams beside those that the reference came to on its way (`expected` was made before)."""
        assert self.streams is not None
        errors = relative_errors(actual.reshape(len(actual), -1), self.streams.reshape(len(actual), -1))
        return judged("x_next", errors, allowed(self.layers), LARGEST_ERROR)

    def comparer_of_rows(self, name: str) -> Callable[..., tuple[bool, str]]:
        """Of a stack of caches or states: the rows that each layer has written."""

        def compare(actual: np.ndarray, expected: np.ndarray, **_: Any) -> tuple[bool, str]:
            said = []
            for (stack, layer), (slots, rows) in self.rows.items():
                if stack == name and len(slots):
                    have = rows_of(self.stacks.part(name, layer))[slots]
                    verdict = judged(f"layer {layer}", relative_errors(have, rows), allowed(layer), None)
                    said += [] if verdict[0] else [verdict[1]]
            return not said, "\n".join(said)

        compare.__name__ = "rows of every layer"
        return compare


def relative_errors(actual: np.ndarray, expected: np.ndarray) -> np.ndarray:
    """Of each row: length of the difference over the length of the expected row."""
    have, want = actual.astype(np.float32), expected.astype(np.float32)
    return np.linalg.norm(have - want, axis=1) / np.maximum(np.linalg.norm(want, axis=1), np.float32(1e-6))


def judged(what: str, errors: np.ndarray, median: float, largest: float | None) -> tuple[bool, str]:
    """Whether the middle of `errors` is at most `median` and the largest at most `largest`."""
    found, worst = float(np.median(errors)), float(errors.max())
    passed = bool(np.isfinite(errors).all()) and found <= median and (largest is None or worst <= largest)
    bound = "" if largest is None else f" (allowed {largest:.3g})"
    return passed, f"    {what}: median relative error {found:.3g} (allowed {median:.3g}), largest {worst:.3g}{bound}"


def rows_of(cache: np.ndarray) -> np.ndarray:
    """Rows of a cache or state in pages."""
    return cache.reshape(-1, cache.shape[-1])


def forward_depth(text: str) -> int:
    """The type of `--layers`."""
    if not text.isdecimal() or not possible(int(text)):
        raise argparse.ArgumentTypeError(f"{text!r} is no odd number of layers from 5 to the model's")
    return int(text)


def main(kernel: Any, argv: Sequence[str] | None = None) -> None:
    """Run `kernel` as the flags say."""
    flags = base_parser()
    add_start_pos(flags, POSITIONS["csa"] - DECODE_SEQ)
    flags.add_argument("--layers", type=forward_depth, default=LAYERS, help="layers of the pass")
    flags.add_argument("--ep", type=int, default=1, choices=[1], help="cards that share the experts")
    flags.add_argument("--routed-tile", type=int, choices=[48, 32], help="rows that a routed expert takes [48]")
    args = flags.parse_args(argv)
    forward = Forward(args.layers, args.start_pos)
    specs = forward.specs([parameter.name for parameter in kernel.parameters])
    run_script(kernel, specs, forward.begin, forward.tolerance(specs), args)
