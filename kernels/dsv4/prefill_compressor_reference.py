"""NumPy reference of the prefill compressors, written from their equations."""

from collections.abc import Iterator, Mapping, MutableMapping
from dataclasses import dataclass

import numpy as np
from config import FLASH
from equations import f32, product, rms_norm, rope, softmax


@dataclass(frozen=True)
class Projections:
    """Value and score of every token of the run, [tokens, columns] FP32, and the token at each position."""

    values: np.ndarray
    scores: np.ndarray
    token_at: Mapping[int, int]


def projections(tensors: Mapping[str, np.ndarray]) -> Projections:
    """Of the tokens that are not padding."""
    tokens, ape = int(tensors["num_tokens"]), tensors["ape"]
    x, positions = tensors["x"][:tokens], tensors["position_ids"][:tokens]
    scores = product(x, tensors["wgate"]) + ape[positions % len(ape)]
    return Projections(product(x, tensors["wkv"]), scores, {int(p): t for t, p in enumerate(positions)})


def rows(
    tensors: Mapping[str, np.ndarray], run: Projections, positions: range, columns: slice, no_score: float
) -> tuple[np.ndarray, np.ndarray]:
    """Values and scores at `positions`: of the run, else of the state; 0 and `no_score` where the state has no page."""
    table, page = tensors["compress_state_block_table"], tensors["kv_state"].shape[1]
    values, scores = [], []
    for position in positions:
        token, place = run.token_at.get(position), table[position // page]
        if token is not None:
            values.append(run.values[token, columns])
            scores.append(run.scores[token, columns])
        elif place >= 0:
            values.append(tensors["kv_state"][place, position % page, columns])
            scores.append(tensors["score_state"][place, position % page, columns])
        else:
            values.append(np.zeros_like(run.values[0, columns]))
            scores.append(np.full_like(run.scores[0, columns], no_score))
    return np.array(values), np.array(scores)


def pooled(tensors: Mapping[str, np.ndarray], run: Projections, start: int, no_score: float) -> np.ndarray:
    """The values of the window from `start` weighted by a softmax over its scores, channel by channel, [width] FP32.

    If a projection has two halves, the window takes part with its second one and the window before with its first.
    """
    ratio, width = len(tensors["ape"]), len(tensors["norm_w"])
    overlap = tensors["ape"].shape[1] > width
    own = slice(width, 2 * width) if overlap else slice(0, width)
    values, scores = rows(tensors, run, range(start, start + ratio), own, no_score)
    if overlap and start >= ratio:
        before = rows(tensors, run, range(start - ratio, start), slice(0, width), no_score)
        values, scores = np.concatenate([before[0], values]), np.concatenate([before[1], scores])
    return (values * softmax(scores, axis=0)).sum(axis=0)


def compressed_rows(
    tensors: Mapping[str, np.ndarray], run: Projections, slots: np.ndarray, no_score: float
) -> Iterator[tuple[int, np.ndarray]]:
    """Of each token of the run that has a slot: the slot, and the row of the window it completes, normalised and
    rotated, FP32."""
    pairs = FLASH.qk_rope_head_dim // 2
    for position, token in run.token_at.items():
        if slots[token] >= 0:
            start = position + 1 - len(tensors["ape"])
            row = rms_norm(pooled(tensors, run, start, no_score), f32(tensors["norm_w"]), FLASH.rms_norm_eps)
            yield slots[token], rope(row, tensors["freqs_cos"][start, :pairs], tensors["freqs_sin"][start, :pairs])


def keep_projections(tensors: MutableMapping[str, np.ndarray], run: Projections, slots: np.ndarray) -> None:
    """Write the run's values and scores to the rows of the state that `slots` names."""
    slots = slots[: len(run.values)]
    for name, found in (("kv_state", run.values), ("score_state", run.scores)):
        tensors[name].reshape(-1, found.shape[1])[slots[slots >= 0]] = found[slots >= 0]


def golden_prefill_compressor(tensors: MutableMapping[str, np.ndarray], no_score: float) -> None:
    """Fill cmp_kv, kv_state and score_state. no_score: of a position that the state has no page for."""
    run = projections(tensors)
    cache = tensors["cmp_kv"].reshape(-1, tensors["cmp_kv"].shape[-1])
    for slot, row in compressed_rows(tensors, run, tensors["cmp_slot_mapping"], no_score):
        cache[slot] = row
    keep_projections(tensors, run, tensors["state_slot_mapping"])
