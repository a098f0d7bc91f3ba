"""Two comparers for caches and for looking at an error's shape."""

from __future__ import annotations

from typing import Any

import numpy as np

from pto_sim.golden.comparers import Comparer, ratio_allclose
from pto_sim.golden.tensors import as_numpy, to_float32

_THRESHOLDS = (1e-3, 3e-3, 5e-3, 1e-2, 3e-2, 5e-2)
_QUANTILES = (0.5, 0.9, 0.99, 0.999, 0.9999, 1.0)


def mapped_pool_ratio_allclose(
    mapping_name: str,
    *,
    mapping_shape: tuple[int, ...],
    block_size: int,
    leading_rank_axis: bool = False,
    pool_name: str = "pool",
    atol: float | None = None,
    rtol: float | None = None,
    max_error_ratio: float = 0.005,
) -> Comparer:
    """Rows of a block-major pool that the input `mapping_name` maps are compared by ratio, all others exactly.

    The pool is [blocks, block_size, ...], with leading_rank_axis [ranks, blocks, block_size, ...]. A mapping holds
    row numbers, or -1 for none; a row may be mapped once in each rank. Raises ValueError for a shape or a block size
    that cannot be.
    """
    if not mapping_shape or any(extent <= 0 for extent in mapping_shape):
        raise ValueError(f"mapping_shape must contain positive dimensions, got {mapping_shape}")
    if block_size <= 0:
        raise ValueError(f"block_size must be positive, got {block_size}")
    if leading_rank_axis and len(mapping_shape) < 2:
        raise ValueError(f"leading_rank_axis needs a rank axis and another in mapping_shape, got {mapping_shape}")
    mapped = ratio_allclose(atol=atol, rtol=rtol, max_error_ratio=max_error_ratio)

    def compare(actual: Any, expected: Any, **context: Any) -> tuple[bool, str]:
        have, want = as_numpy(actual), as_numpy(expected)
        mapping = context.get("inputs", {}).get(mapping_name)
        problem = _layout_problem(have, want, mapping)
        if problem:
            return False, f"    {problem}"
        ranks = have.shape[0] if leading_rank_axis else 1
        rows = as_numpy(mapping).astype(np.int64).reshape(ranks, -1)
        width = int(np.prod(have.shape[(3 if leading_rank_axis else 2) :]))
        sides = [side.reshape(ranks, -1, width) for side in (have, want)]
        chosen = np.zeros(sides[0].shape[:2], bool)
        for rank in range(ranks):
            used = rows[rank][rows[rank] != -1]
            if ((used < 0) | (used >= chosen.shape[1])).any():
                return False, f"    '{mapping_name}' maps rows outside 0..{chosen.shape[1] - 1}"
            if len(np.unique(used)) != len(used):
                return False, f"    '{mapping_name}' maps a row twice"
            chosen[rank, used] = True
        raw = [np.ascontiguousarray(side[~chosen]).view(np.uint8) for side in sides]
        changed = int(np.count_nonzero((raw[0] != raw[1]).reshape(len(raw[0]), -1).any(axis=-1))) if raw[0].size else 0
        if changed:
            return False, f"    {changed} rows of {pool_name} that '{mapping_name}' does not map were changed"
        return mapped(sides[0][chosen], sides[1][chosen], **context)

    def _layout_problem(have: np.ndarray, want: np.ndarray, mapping: Any) -> str:
        axis = 2 if leading_rank_axis else 1
        if have.shape != want.shape:
            return f"{pool_name} shapes differ: actual {have.shape}, expected {want.shape}"
        if have.ndim < axis + 1 or have.shape[axis] != block_size:
            return f"{pool_name} must have blocks of {block_size} rows on axis {axis}, got {have.shape}"
        if mapping is None:
            return f"there is no input '{mapping_name}'"
        array = as_numpy(mapping)
        if array.dtype.kind not in "iu" or array.shape != tuple(mapping_shape):
            return f"'{mapping_name}' must be integers of shape {mapping_shape}, got {array.dtype} {array.shape}"
        if leading_rank_axis and have.shape[0] != mapping_shape[0]:
            return f"{pool_name} has {have.shape[0]} ranks, '{mapping_name}' {mapping_shape[0]}"
        return ""

    compare.__name__ = f"mapped_pool_ratio_allclose('{mapping_name}', block_size={block_size})"
    return compare


def error_distribution(
    diff_thds: tuple[float, ...] = _THRESHOLDS,
    quantiles: tuple[float, ...] = _QUANTILES,
    always_pass: bool = True,
) -> Comparer:
    """Prints where an output's error lies, and passes; with always_pass=False NaN and infinities fail."""

    def compare(actual: Any, expected: Any, **_context: Any) -> tuple[bool, str]:
        have, want = to_float32(as_numpy(actual)), to_float32(as_numpy(expected))
        bad = int(np.count_nonzero(~np.isfinite(have)))
        if bad:
            message = f"    {bad} values of the output are NaN or infinite"
            print(message)
            if not always_pass:
                return False, message
        with np.errstate(all="ignore"):
            difference = np.abs(have - want)
            norms = [float(np.linalg.norm(side.astype(np.float64))) for side in (difference, want, have)]
            dot = float(np.dot(have.ravel().astype(np.float64), want.ravel().astype(np.float64)))
            cosine = dot / max(norms[1] * norms[2], 1e-12)
            print(f"rel-L2 = {norms[0] / max(norms[1], 1e-12):.4%}  cosine = {cosine:.7f}  numel={have.size}")
            for threshold in diff_thds:
                scale = np.maximum(np.maximum(np.abs(have), np.abs(want)), 2.0**-14 / threshold) + 1e-9
                relative = np.where(difference < threshold, difference, difference / scale)
                over = relative > threshold
                worst = float(relative[over].max()) if over.any() else 0.0
                print(f"  diff_thd={threshold:.0e}  frac>thd={over.mean():.4%}  worst={worst:.3g}")
            columns = {
                "relative diff": difference / np.abs(want),
                "absolute diff": difference,
                "|golden|": np.abs(want),
            }
        for label, values in columns.items():
            finite = values[np.isfinite(values)]
            if finite.size:
                points = np.quantile(finite, quantiles)
                text = "  ".join(f"p{100 * q:g}={v:.3g}" for q, v in zip(quantiles, points, strict=True))
                print(f"  {label}: {text}")
        return True, ""

    compare.__name__ = "error_distribution()"
    return compare
