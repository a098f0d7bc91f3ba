"""The command line of lm_head, its inputs, and its NumPy reference."""

from collections.abc import Iterator, MutableMapping, Sequence

import numpy as np
from command_line import base_parser, run_script
from config import DECODE_TOKENS, FLASH
from draws import normal, stream
from equations import BF16, f32

from pto_sim.golden import TensorSpec, ratio_allclose

CARDS = 2  # that share the vocabulary
ROWS = FLASH.vocab_size // CARDS
SLAB = 512  # rows that are drawn or multiplied at a time: FP32 of the whole share is a GiB
PADDED_ROWS = -(-ROWS // SLAB) * SLAB

OUTPUT_TOLERANCE = {
    "logits_shard": ratio_allclose(atol=1e-3, rtol=1e-3, max_error_ratio=0, valid_rows=ROWS, valid_axis=1)
}


def slabs(rows: int) -> Iterator[slice]:
    """Parts of `rows` rows, the last one perhaps smaller."""
    for first in range(0, rows, SLAB):
        yield slice(first, min(first + SLAB, rows))


def lm_head_specs() -> list[TensorSpec]:
    """Arguments of lm_head_test: normal hidden states and weights; the rows that fill the share up are zero."""
    hidden, shape = FLASH.hidden_size, (DECODE_TOKENS, FLASH.hidden_size)

    def weight(seed: int) -> np.ndarray:
        scale = np.float32(hidden**-0.5)
        drawn, numbers = np.zeros((PADDED_ROWS, hidden), BF16), stream(seed, "lm_head_weight")
        for part in slabs(ROWS):
            drawn[part] = numbers.standard_normal((part.stop - part.start, hidden), np.float32) * scale
        return drawn

    return [
        TensorSpec("hidden_states", list(shape), BF16, lambda seed: normal(seed, "hidden_states", shape, 0.1)),
        TensorSpec("lm_head_weight", [PADDED_ROWS, hidden], BF16, weight),
        TensorSpec("logits_shard", [DECODE_TOKENS, PADDED_ROWS], np.float32, is_output=True),
    ]


def golden_lm_head(tensors: MutableMapping[str, np.ndarray]) -> None:
    """Fill logits_shard, all columns: those of zero rows are zero."""
    hidden, weight = f32(tensors["hidden_states"]), tensors["lm_head_weight"]
    for part in slabs(len(weight)):
        tensors["logits_shard"][:, part] = hidden @ f32(weight[part]).T


def main(kernel: object, argv: Sequence[str] | None = None) -> None:
    """Run `kernel` as the flags say."""
    run_script(kernel, lm_head_specs(), golden_lm_head, OUTPUT_TOLERANCE, base_parser().parse_args(argv))
