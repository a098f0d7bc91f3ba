"""Comparison of an indexer's lists of rows by the scores that the kernel gave them."""

from collections.abc import Callable
from typing import Any

import numpy as np
from config import FLASH

from pto_sim.golden import ratio_allclose, topk_pair_compare

SCORES = ratio_allclose(atol=1e-4, rtol=1 / 128)  # as the scores themselves are compared


def rows_by_score(offset: int) -> Callable[..., tuple[bool, str]]:
    """topk_pair_compare of the listed rows, with the scores that the kernel gave them in its output `score`.

    Besides: no row is listed twice, there is a -1 exactly where the reference has one, and at each place the score is
    that of the reference's list: a list of other rows than the best can be in order too. offset: number of the first
    row in a list.
    """

    def rows(
        actual: Any, expected: Any, *, actual_outputs: dict[str, Any], expected_outputs: dict[str, Any], **context: Any
    ) -> tuple[bool, str]:
        kept, listed = min(FLASH.index_topk, actual.shape[-1]), np.sort(actual, axis=-1)
        if not np.array_equal(actual < offset, expected < offset):
            return False, "    the lists differ in length, or name rows of the window"
        if ((listed[..., 1:] == listed[..., :-1]) & (listed[..., 1:] >= 0)).any():
            return False, "    a list names a row twice"
        paired = scores_of(actual[..., :kept] - offset, actual_outputs["score"])
        best = scores_of(expected[..., :kept] - offset, expected_outputs["score"])
        none = expected[..., :kept] < 0
        close, said = SCORES(np.where(none, 0, paired), np.where(none, 0, best), **context)
        if not close:
            return False, f"    the listed rows are not the best: {said.strip()}"
        return topk_pair_compare("score_of_row")(
            actual[..., :kept], expected[..., :kept], **{**context, "actual_outputs": {"score_of_row": paired}}
        )

    rows.__name__ = "topk_pair_compare(score of row)"
    return rows


def scores_of(rows: np.ndarray, scores: np.ndarray) -> np.ndarray:
    """The score of each of `rows`, of some row where there is none (below 0)."""
    return np.take_along_axis(scores, np.clip(rows, 0, scores.shape[-1] - 1), axis=-1)
