"""The command lines of dispatch and combine, and their inputs: every token goes to distinct random experts."""

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import numpy as np
from command_line import base_parser, run_script
from config import DECODE_BATCH, DECODE_SEQ, EP_WORLD_SIZE, FLASH, RECV_MAX
from dispatch_reference import golden_combine, golden_dispatch, routes
from draws import normal, stream, uniform
from equations import BF16

from pto_sim.golden import TensorSpec, ratio_allclose

TOKENS = DECODE_BATCH * DECODE_SEQ
LOCAL_EXPERTS = FLASH.n_routed_experts // EP_WORLD_SIZE


def distinct_experts(seed: int, name: str, rows: int) -> np.ndarray:
    """[rows, topk] INT32, each row without repetition."""
    order = stream(seed, name).random((rows, LOCAL_EXPERTS), np.float32)
    return np.argsort(order, axis=1)[:, : FLASH.num_experts_per_tok].astype(np.int32)


def received_rows(actual: Any, expected: Any, *, expected_outputs: dict[str, Any], **_context: Any) -> tuple[bool, str]:
    """Equality of the rows that an expert received; those behind them carry no meaning."""
    valid = np.arange(actual.shape[1]) < expected_outputs["recv_expert_count"]
    differ = (actual[valid] != expected[valid]).any(axis=-1)
    if not differ.any():
        return True, ""
    expert, row = (int(axis[differ][0]) for axis in np.nonzero(valid))
    return False, f"    {int(differ.sum())} of {differ.size} received rows differ, the first is [{expert}, {row}]"


EXACT = ratio_allclose(atol=0, rtol=0, max_error_ratio=0)
DISPATCH_TOLERANCE = {
    "recv_x": received_rows,
    "recv_scale_dq": EXACT,
    "recv_weights": EXACT,
    "recv_token": EXACT,
    "recv_expert_count": EXACT,
}
COMBINE_TOLERANCE = {"ffn_out": ratio_allclose(atol=1e-3, rtol=1e-3, max_error_ratio=0)}


def dispatch_specs() -> list[TensorSpec]:
    """Arguments of dispatch_test, in order."""
    hidden, topk = FLASH.hidden_size, FLASH.num_experts_per_tok
    rows = [LOCAL_EXPERTS, RECV_MAX]

    def x(seed: int) -> np.ndarray:
        return stream(seed, "x_norm_i8").integers(-128, 128, (TOKENS, hidden), np.int8)

    def weights(seed: int) -> np.ndarray:
        drawn = uniform(seed, "weights", (TOKENS, topk), 0.1, 1.1)
        return drawn / drawn.sum(axis=1, keepdims=True) * np.float32(FLASH.routed_scaling_factor)

    return [
        TensorSpec("x_norm_i8", [TOKENS, hidden], np.int8, x),
        TensorSpec(
            "x_norm_scale", [TOKENS, 1], np.float32, lambda seed: uniform(seed, "x_norm_scale", (TOKENS, 1), 0.01, 1.01)
        ),
        TensorSpec("indices", [TOKENS, topk], np.int32, lambda seed: distinct_experts(seed, "indices", TOKENS)),
        TensorSpec("weights", [TOKENS, topk], np.float32, weights),
        TensorSpec("recv_x", [*rows, hidden], np.int8, is_output=True),
        TensorSpec("recv_scale_dq", rows, np.float32, is_output=True),
        TensorSpec("recv_weights", rows, np.float32, is_output=True),
        TensorSpec("recv_token", rows, np.int32, is_output=True),
        TensorSpec("recv_expert_count", [LOCAL_EXPERTS, 1], np.int32, is_output=True),
    ]


def combine_specs() -> list[TensorSpec]:
    """Arguments of combine_test, in order."""
    hidden, rows = FLASH.hidden_size, (LOCAL_EXPERTS, RECV_MAX)

    @lru_cache(maxsize=1)
    def packed(seed: int) -> tuple[np.ndarray, np.ndarray]:
        indices = distinct_experts(seed, "indices", TOKENS)
        tokens, counts = np.zeros(rows, np.int32), np.zeros((LOCAL_EXPERTS, 1), np.int32)
        for expert in range(LOCAL_EXPERTS):
            found = routes(indices, expert).token
            tokens[expert, : len(found)], counts[expert] = found, len(found)
        return tokens, counts

    return [
        TensorSpec("recv_y", [*rows, hidden], BF16, lambda seed: normal(seed, "recv_y", (*rows, hidden), dtype=BF16)),
        TensorSpec("recv_token", list(rows), np.int32, lambda seed: packed(seed)[0]),
        TensorSpec("recv_expert_count", [LOCAL_EXPERTS, 1], np.int32, lambda seed: packed(seed)[1]),
        TensorSpec("sh", [TOKENS, hidden], BF16, lambda seed: normal(seed, "sh", (TOKENS, hidden))),
        TensorSpec("ffn_out", [TOKENS, hidden], BF16, is_output=True),
    ]


def dispatch_main(kernel: object, argv: Sequence[str] | None = None) -> None:
    """Run dispatch as the flags say."""
    run_script(kernel, dispatch_specs(), golden_dispatch, DISPATCH_TOLERANCE, base_parser().parse_args(argv))


def combine_main(kernel: object, argv: Sequence[str] | None = None) -> None:
    """Run combine as the flags say."""
    run_script(kernel, combine_specs(), golden_combine, COMBINE_TOLERANCE, base_parser().parse_args(argv))
