"""Comparing the indices of a top-k selection, where equal scores may be listed in any order."""

from __future__ import annotations

from typing import Any

import numpy as np

from pto_sim.golden.comparers import Comparer
from pto_sim.golden.tensors import as_numpy, to_float32


def topk_pair_compare(vals_name: str, *, dim: int = -1, descending: bool = True, max_show: int = 10) -> Comparer:
    """Indices may differ from the golden where the actual scores stay in order around that place.

    vals_name: the output that holds the scores of the indices, same shape. dim: the axis of the selection. A place
    whose index differs fails if its score is out of order with a neighbour. Whether the scores are right is for the
    comparison of `vals_name` itself. Rule: pypto-lib, golden/validation.py.
    """

    def compare(actual: Any, expected: Any, *, actual_outputs: dict[str, Any], **_context: Any) -> tuple[bool, str]:
        if vals_name not in actual_outputs:
            return False, f"    topk_pair_compare: there is no output {vals_name!r}, only {list(actual_outputs)}"
        have, want, scores = as_numpy(actual), as_numpy(expected), to_float32(actual_outputs[vals_name])
        if not have.shape == want.shape == scores.shape:
            return False, f"    shapes differ: actual {have.shape}, expected {want.shape}, scores {scores.shape}"
        if not -have.ndim <= dim < have.ndim:
            return False, f"    dim={dim} is outside a tensor of shape {have.shape}"
        have, want, scores = (np.moveaxis(side, dim, -1) for side in (have, want, scores))
        fails = (have != want) & ~_in_order(scores, descending)
        if not fails.any():
            return True, ""
        return False, "\n".join(_describe(fails, have, want, scores, dim, descending, max_show))

    compare.__name__ = f"topk_pair_compare({vals_name})"
    return compare


def _in_order(scores: np.ndarray, descending: bool) -> np.ndarray:
    """For each place of the last axis: in order with both neighbours. A NaN is out of order."""
    left, right = scores[..., :-1], scores[..., 1:]
    pairs = left >= right if descending else left <= right
    good = np.ones(scores.shape, bool)
    good[..., 1:] &= pairs
    good[..., :-1] &= pairs
    return good


def _describe(
    fails: np.ndarray, have: np.ndarray, want: np.ndarray, scores: np.ndarray, dim: int, descending: bool, limit: int
) -> list[str]:
    places = np.argwhere(fails)
    order = "descending" if descending else "ascending"
    lines = [f"    {len(places)} indices differ where the scores are not {order} (dim={dim}):"]
    for place in places[:limit]:
        row, position = tuple(place[:-1]), int(place[-1])
        start, stop = max(0, position - 1), min(scores.shape[-1], position + 2)
        around = ", ".join(f"{score:.6g}" for score in scores[row][start:stop])
        coordinate = [int(i) for i in row]
        coordinate.insert(dim if dim >= 0 else scores.ndim + dim, position)
        lines.append(
            f"      {coordinate} actual={have[(*row, position)]} expected={want[(*row, position)]} "
            f"scores[{start}:{stop}]=[{around}]"
        )
    if len(places) > limit:
        lines.append(f"      and {len(places) - limit} more")
    return lines
