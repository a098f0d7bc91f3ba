"""Recorded fills and partial loads: what lies outside the valid shape."""

from __future__ import annotations

from typing import Any

import pytest

from pto_sim.numerics.padding import fill_outside
from tests.numerics.special_values import assert_same_bits
from tests.numerics.test_recorded import Recorded


@pytest.mark.parametrize("name", ["fillpad", "fillpad_inplace", "fillpad_expand", "load"])
def test_fill(name: str) -> None:
    recorded = Recorded(name)
    for case, meta in recorded.meta.items():
        x = recorded.operand(case, 0)
        shape: Any = tuple(meta.get("out_tile", meta["tile"]))
        out = recorded.get(case, "out", meta["dtype"])
        actual = fill_outside(x[None], tuple(meta["valid"]), shape, meta["pad"] if meta["pad"] != "null" else "zero")[0]
        assert_same_bits(actual, out)


def test_col_sum_with_scratch_is_the_plain_sum() -> None:
    """The simulator ignores the scratch tile of col_sum_tmp; so does the language's operator."""
    recorded, plain = Recorded("col_sum_tmp"), Recorded("col_sum")
    assert set(recorded.meta) and set(plain.meta)
    from tests.numerics.test_recorded import run

    for case, meta in recorded.meta.items():
        rows, columns = meta["valid"]
        x = recorded.operand(case, 0)[:rows, :columns]
        assert_same_bits(run("col_sum", x), recorded.get(case, "out", meta["dtype"])[:1, :columns])
