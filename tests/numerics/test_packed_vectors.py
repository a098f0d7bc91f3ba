"""Row expand operators with a packed vector, and with the vector first."""

from __future__ import annotations

import operator
from typing import Any

import numpy as np
import pytest

from pto_sim.numerics.optable import OP_TABLE, OpTypeError, infer
from tests.numerics.special_values import assert_same_bits, sample
from tests.numerics.test_optable import Type

_PLAIN: dict[str, Any] = {"add": operator.add, "sub": operator.sub, "mul": operator.mul, "max": None, "min": None}


def _element(name: str, a: Any, b: Any) -> Any:
    if name == "max":
        return b if a < b else a
    if name == "min":
        return b if b < a else a
    with np.errstate(all="ignore"):
        return _PLAIN[name](a, b)


@pytest.mark.parametrize("name", list(_PLAIN))
@pytest.mark.parametrize(("dtype", "packed"), [("FP32", 8), ("INT16", 16)])
def test_element_by_element(name: str, dtype: str, packed: int) -> None:
    """Column c of a row takes element c % packed of the vector; the operands keep their order."""
    x = sample(dtype, (1, 3, 19), seed=1, moderate=True)
    for columns in (1, packed):
        v = sample(dtype, (2, 3, columns), seed=2, moderate=True)
        after = OP_TABLE[f"row_expand_{name}"].function(x, v, profile="a2a3")
        before = OP_TABLE[f"row_expand_{name}"].function(v, x, profile="a2a3")
        for lane, row, c in np.ndindex(2, 3, 19):
            vector = v[lane, row, c % columns]
            assert_same_bits(after[lane, row, c], _element(name, x[0, row, c], vector))
            assert_same_bits(before[lane, row, c], _element(name, vector, x[0, row, c]))


def test_only_the_addition_takes_a_packed_vector() -> None:
    """32 bytes a row, as pypto's type rule for row_expand_add has it."""
    tile, packed = Type((4, 64), "FP32"), Type((4, 8), "FP32")
    assert infer(OP_TABLE["row_expand_add"], [tile, packed], {}) == ((4, 64), "FP32")
    with pytest.raises(OpTypeError, match=r"\[4, 8\]"):
        infer(OP_TABLE["row_expand_add"], [tile, Type((4, 16), "FP32")], {})
    with pytest.raises(OpTypeError, match=r"column \[M, 1\]"):
        infer(OP_TABLE["row_expand_sub"], [tile, packed], {})
