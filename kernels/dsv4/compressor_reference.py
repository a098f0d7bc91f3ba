"""NumPy reference of the decode compressors, written from their equations."""

from collections.abc import Mapping, MutableMapping
from dataclasses import dataclass

import numpy as np
from config import FLASH
from equations import f32, product, rms_norm, rope, softmax

Tensors = MutableMapping[str, np.ndarray]


@dataclass(frozen=True)
class Window:
    """A batch's window that this step completes: its first position, and which of the step's tokens is its last."""

    batch: int
    start: int
    last_token: int


def completed_windows(position_ids: np.ndarray, ratio: int) -> list[Window]:
    """Windows of `ratio` positions whose last one is among the step's. position_ids: [batches, step]."""
    found = []
    for batch, positions in enumerate(position_ids):
        for token, position in enumerate(positions.tolist()):
            if (position + 1) % ratio == 0:
                found.append(Window(batch, position + 1 - ratio, token))
                break  # one window a step: a step is shorter than a window
    return found


def keep_projections(tensors: Mapping[str, np.ndarray], ratio: int) -> None:
    """Write value and score of every token to the state, at the rows that state_slot_mapping names."""
    x, positions = tensors["x"], tensors["position_ids"]
    values = product(x, tensors["wkv"])
    scores = product(x, tensors["wgate"]) + tensors["ape"][positions % ratio]
    slots = tensors["state_slot_mapping"].reshape(-1)
    rows = tensors["compress_state"].reshape(-1, tensors["compress_state"].shape[-1])
    merged = np.concatenate([values, scores], axis=-1).reshape(len(slots), -1)
    rows[slots[slots >= 0]] = merged[slots >= 0]


def pooled(tensors: Mapping[str, np.ndarray], window: Window, ratio: int, width: int) -> np.ndarray:
    """The window's values weighted by a softmax over its scores, channel by channel, [width] FP32.

    A state of two halves overlaps: the window before takes part with its first `width` columns.
    """
    state, table = tensors["compress_state"], tensors["compress_state_block_table"][window.batch]
    page = state.shape[1]
    half = state.shape[-1] // 2
    overlap = half // width - 1

    def rows(positions: np.ndarray, first: int) -> tuple[np.ndarray, np.ndarray]:
        picked = state[table[positions // page], positions % page]
        return picked[:, first : first + width], picked[:, half + first : half + first + width]

    values, scores = rows(np.arange(window.start, window.start + ratio), overlap * width)
    if overlap and window.start > 0:
        before = rows(np.arange(window.start - ratio, window.start), 0)
        values, scores = np.concatenate([before[0], values]), np.concatenate([before[1], scores])
    return (values * softmax(scores, axis=0)).sum(axis=0)


def golden_compressor(tensors: Tensors, ratio: int) -> None:
    """Fill kv, compress_state and cmp_kv_cache."""
    keep_projections(tensors, ratio)
    cache = tensors["cmp_kv_cache"].reshape(-1, tensors["cmp_kv_cache"].shape[-1])
    for window in completed_windows(tensors["position_ids"], ratio):
        row = pooled(tensors, window, ratio, FLASH.head_dim)
        row = rms_norm(row, f32(tensors["norm_w"]), FLASH.rms_norm_eps)
        row = rope(row, tensors["cos"][window.batch], tensors["sin"][window.batch])
        tensors["kv"][window.batch, 0] = row
        slot = tensors["cmp_slot_mapping"][window.batch, window.last_token]
        if slot >= 0:
            cache[slot] = row
