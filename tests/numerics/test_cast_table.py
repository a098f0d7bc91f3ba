"""The whole table of casts: each source, target and mode is one native step, a chain, or refused, as documented.

pypto: docs/en/dev/passes/14-legalize_tile_cast.md, the table of Ascend910B, without INT4.
"""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from pto_sim.numerics.casts import MODES, NATIVE_CASTS, cast, cast_chain
from pto_sim.numerics.element_types import FLOATS, INTS, STORAGE
from pto_sim.numerics.optable import OP_TABLE, OpTypeError, infer
from pto_sim.numerics.strict import convert as strict_convert
from tests.numerics.special_values import assert_same_bits, specials
from tests.numerics.test_optable import Type

_NATIVE = {
    "FP32": {"FP16", "BF16", "INT16", "INT32", "INT64"},
    "FP16": {"FP32", "INT32", "INT16", "INT8", "UINT8"},
    "BF16": {"FP32", "INT32"},
    "INT16": {"FP16", "FP32"},
    "INT32": {"FP32", "INT16", "INT64", "FP16"},
    "INT64": {"FP32", "INT32"},
    "UINT8": {"FP16"},
    "INT8": {"FP16"},
}
_CHAINED = {
    "BF16": {"FP16": 2, "INT16": 2, "INT8": 3, "UINT8": 3},
    "FP16": {"BF16": 2},
    "FP32": {"INT8": 2, "UINT8": 2},
    "INT16": {"BF16": 2, "INT8": 2, "UINT8": 2},
    "INT32": {"BF16": 2, "INT8": 2, "UINT8": 2},
    "INT64": {"BF16": 2, "FP16": 2, "INT16": 2, "INT8": 3, "UINT8": 3},
    "INT8": {"UINT8": 2},
    "UINT8": {"INT8": 2},
}
_ALL = (*FLOATS, *INTS)


def _steps(source: str, target: str) -> int:
    """Instructions of a cast, 0 if the compiler refuses it, as it does one to the same type."""
    if target in _NATIVE.get(source, ()):
        return 1
    return _CHAINED.get(source, {}).get(target, 0)


def test_native_steps() -> None:
    assert {source: set(targets) for source, targets in NATIVE_CASTS.items()} == _NATIVE


@pytest.mark.parametrize("source", _ALL)
@pytest.mark.parametrize("target", [*_ALL, "BOOL"])
def test_a_pair_is_accepted_or_refused(source: str, target: str) -> None:
    row, steps = OP_TABLE["cast"], _steps(source, target)
    assert source == target or len(cast_chain(source, target) or ()) == steps
    x = np.zeros((1, 2, 3), STORAGE[source])
    for mode in MODES:
        attrs = {"target": target, "mode": mode}
        if steps:
            assert infer(row, [Type((2, 3), source)], attrs) == ((2, 3), target)
            assert cast(x, target=target, mode=mode).dtype == STORAGE[target]
            continue
        with pytest.raises(OpTypeError) as refused:
            infer(row, [Type((2, 3), source)], attrs)
        assert refused.value.hint


def test_an_unknown_mode_is_refused() -> None:
    with pytest.raises(OpTypeError, match="mode"):
        infer(OP_TABLE["cast"], [Type((2, 3), "FP32")], {"target": "FP16", "mode": "nearest"})


@pytest.mark.parametrize("profile", ["a2a3", "cpu-sim"])
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("source", list(_NATIVE))
def test_a_chain_is_its_steps(source: str, mode: str, profile: str) -> None:
    """Special values through every chain, step by step with the slow twin. INT64 to FP32 rounds through a double."""
    x = specials(STORAGE[source])[None]
    for target in {*_NATIVE[source], *_CHAINED[source]}:
        path = (source, *(cast_chain(source, target) or ()))
        if ("INT64", "FP32") in pairwise(path):
            continue
        expected = x
        for step in path[1:]:
            expected = strict_convert(expected, STORAGE[step], mode, profile)
        assert_same_bits(cast(x, target=target, mode=mode, profile=profile), expected, x)
