"""Comparison of an indexer's lists of rows by the scores that the kernel gave them."""

from collections.abc import Callable
from typing import Any

import numpy as np
from config import FLASH

from pto_sim.golden import topk_pair_compare


def rows_by_score(offset: int) -> Callable[..., tuple[bool, str]]:
    """topk_pair_compare of the listed rows, with the scores that the kernel gave them in its output `score`.

    Besides: no row is listed twice, and there is a -1 exactly where the reference has one. offset: number of the first
    row in a list.
    """

    def rows(actual: Any, expected: Any, *, actual_outputs: dict[str, Any], **context: Any) -> tuple[bool, str]:
        kept, listed = min(FLASH.index_topk, actual.shape[-1]), np.sort(actual, axis=-1)
        if not np.array_equal(actual < offset, expected < offset):
            return False, "    the lists differ in length, or name rows of the window"
        if ((listed[..., 1:] == listed[..., :-1]) & (listed[..., 1:] >= 0)).any():
            return False, "    a list names a row twice"
        places = np.clip(actual[..., :kept] - offset, 0, actual_outputs["score"].shape[-1] - 1)
        paired = np.take_along_axis(actual_outputs["score"], places, axis=-1)
        return topk_pair_compare("score_of_row")(
            actual[..., :kept], expected[..., :kept], **{**context, "actual_outputs": {"score_of_row": paired}}
        )

    rows.__name__ = "topk_pair_compare(score of row)"
    return rows
