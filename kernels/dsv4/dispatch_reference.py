"""NumPy reference of packing by expert and of the sum by token, written from their meaning."""

from collections.abc import MutableMapping
from typing import NamedTuple

import numpy as np
from equations import f32

Tensors = MutableMapping[str, np.ndarray]


class Routes(NamedTuple):
    """Token and place among the token's experts of every row that an expert receives, in the order of the tokens."""

    token: np.ndarray
    choice: np.ndarray


def routes(indices: np.ndarray, expert: int) -> Routes:
    """Routes to `expert`. indices: [tokens, topk]."""
    return Routes(*np.nonzero(indices == expert))


def golden_dispatch(tensors: Tensors) -> None:
    """Fill recv_x up to each expert's count, and recv_scale_dq, recv_weights, recv_token and recv_expert_count."""
    for name in ("recv_scale_dq", "recv_weights", "recv_token"):
        tensors[name][...] = 0
    for expert in range(len(tensors["recv_expert_count"])):
        found = routes(tensors["indices"], expert)
        rows = len(found.token)
        tensors["recv_x"][expert, :rows] = tensors["x_norm_i8"][found.token]
        tensors["recv_scale_dq"][expert, :rows] = tensors["x_norm_scale"][found.token, 0]
        tensors["recv_weights"][expert, :rows] = tensors["weights"][found]
        tensors["recv_token"][expert, :rows] = found.token
        tensors["recv_expert_count"][expert] = rows


def golden_combine(tensors: Tensors) -> None:
    """Fill ffn_out: the shared expert's row plus every row of the token, in the order of the experts."""
    total = f32(tensors["sh"])
    for expert, rows in enumerate(tensors["recv_expert_count"][:, 0].tolist()):
        total[tensors["recv_token"][expert, :rows]] += f32(tensors["recv_y"][expert, :rows])
    tensors["ffn_out"][...] = total
