"""Arrays that Hypothesis makes of special values and of any bits: every row and type equals its slow twin to the bit,
and neither the number of lanes nor their order changes a value."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pto_sim.numerics.casts import MODES, NATIVE_CASTS, convert
from pto_sim.numerics.element_types import STORAGE
from pto_sim.numerics.optable import OP_TABLE, OpRow
from pto_sim.numerics.strict import convert as strict_convert
from pto_sim.program.dtypes import DTYPES
from pto_sim.testing import tensors
from tests.numerics.special_values import assert_same_bits
from tests.numerics.test_optable import _attrs, _legal, _types
from tests.numerics.test_strict_twins import MOVES, TWINS

_ROWS = [row for row in OP_TABLE.values() if row.operands and row.name != "cast"]
_APART = [row for row in _ROWS if row.name != "mscatter"]  # its lanes write one table of GM
_EXAMPLES = settings(max_examples=20)


def _values(data: st.DataObject, row: OpRow, dtype: str, lanes: int) -> list[Any]:
    """Legal operands of `row`. A NaN has no place in an order, so sorts get numbers."""
    operands: list[Any] = [
        1
        if t.space == "scalar"
        else data.draw(tensors(DTYPES[t.dtype], (lanes, *t.shape), special="sort" not in row.name))
        for t in _types(row, dtype)
    ]
    _legal(row, dtype, operands)
    return operands


@pytest.mark.parametrize("row", _ROWS, ids=[row.name for row in _ROWS])
@_EXAMPLES
@given(data=st.data())
def test_a_row_equals_its_twin(row: OpRow, data: st.DataObject) -> None:
    dtype = data.draw(st.sampled_from(row.dtypes))
    operands, attrs = _values(data, row, dtype, data.draw(st.integers(1, 2))), _attrs(row, dtype)
    twin = {**TWINS, **MOVES}[row.name]
    assert_same_bits(row.function(*operands, profile="a2a3", **attrs), twin(*operands, **attrs))


@pytest.mark.parametrize("profile", ["a2a3", "cpu-sim"])
@pytest.mark.parametrize("row", _APART, ids=[row.name for row in _APART])
@settings(max_examples=6)
@given(data=st.data())
def test_lanes_do_not_see_each_other(row: OpRow, profile: str, data: st.DataObject) -> None:
    """Three lanes at once, in another order, and one by one."""
    dtype = data.draw(st.sampled_from(row.dtypes))
    operands, attrs = _values(data, row, dtype, 3), _attrs(row, dtype)
    order = data.draw(st.permutations(range(3)))

    def made(lanes: list[int]) -> np.ndarray:
        picked = [x[lanes] if isinstance(x, np.ndarray) else x for x in operands]
        return row.function(*picked, profile=profile, **attrs)

    together = made([0, 1, 2])
    assert_same_bits(made(list(order)), together[list(order)])
    assert_same_bits(np.concatenate([made([lane]) for lane in range(3)]), together)


@pytest.mark.parametrize("source", list(NATIVE_CASTS))
@_EXAMPLES
@given(data=st.data())
def test_a_cast_equals_its_twin(source: str, data: st.DataObject) -> None:
    target = data.draw(st.sampled_from([name for name in NATIVE_CASTS[source] if (source, name) != ("INT64", "FP32")]))
    mode, profile = data.draw(st.sampled_from(MODES)), data.draw(st.sampled_from(["a2a3", "cpu-sim"]))
    x = data.draw(tensors(DTYPES[source], (1, 40)))
    assert_same_bits(convert(x, target, mode, profile), strict_convert(x, STORAGE[target], mode, profile), x)
