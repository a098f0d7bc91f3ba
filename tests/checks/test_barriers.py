"""Barriers of tasks with more blocks than cores (PTO437)."""

from __future__ import annotations

import inspect
from typing import Any

import numpy as np
import pytest

import pto_sim.language as pl
from pto_sim.testing import run

CELLS = pl.Tensor[[16], pl.INT32]
ROWS = pl.Tensor[[64, 16], pl.FP32]
X = np.ones((64, 16), np.float32)


def kernel(blocks: int, rows: int) -> Any:
    @pl.jit
    def waits(x: ROWS, cells: CELLS, out: pl.Out[ROWS]):
        for b in pl.spmd(blocks):
            tile = pl.neg(x[b * rows : b * rows + rows, :])
            pl.system.syncall(mode="soft", core_type="aiv_only", gm_workspace=cells, used_cores=blocks)  # bad
            out[b * rows : b * rows + rows, :] = tile
        return out

    return waits


def test_blocks_of_a_second_wave_are_found_at_the_barrier() -> None:
    """64 blocks on the 48 vector cores of a chip."""
    bad = kernel(64, 1)
    done = run(bad, [X, np.zeros(16, np.int32), np.zeros_like(X)], timing=False)
    (finding,) = done.findings
    lines, first = inspect.getsourcelines(bad.function)
    assert finding.code == "PTO437" and finding.severity == "error"
    assert "the 64 blocks of task" in finding.message and "only 48 vector cores" in finding.message
    assert finding.site.endswith(f":{first + next(i for i, text in enumerate(lines) if '# bad' in text)}")
    assert finding.other.endswith(f":{first + next(i for i, text in enumerate(lines) if 'pl.spmd' in text)}")


@pytest.mark.parametrize("blocks", [1, 32])
def test_one_block_for_each_core_is_silent(blocks: int) -> None:
    done = run(kernel(blocks, 64 // blocks), [X, np.zeros(16, np.int32), np.zeros_like(X)], timing=False)
    assert done.findings == []
