"""Every result recorded from upstream's CPU simulator is reproduced to the bit under profile cpu-sim."""

from __future__ import annotations

import pytest

from tests.numerics.recordings import NAMES, cases
from tests.numerics.reproductions import REPRODUCTIONS
from tests.numerics.special_values import assert_same_bits


@pytest.mark.parametrize("name", NAMES)
def test_recorded_operator(name: str) -> None:
    for case in cases(name):
        assert_same_bits(REPRODUCTIONS[name](case), case.out, what=f"{case.name} {case.meta}")


def test_no_recording_is_left_out() -> None:
    assert set(REPRODUCTIONS) == set(NAMES)
    assert len(NAMES) == 114
    assert sum(len(cases(name)) for name in NAMES) == 1446
