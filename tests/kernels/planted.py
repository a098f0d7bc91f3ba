"""Tables of planted faults as parameters of a test."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pytest


def first_ones_quick(names: Iterable[str], quick: int) -> list[Any]:
    """The names of faults: the first `quick` ones for every day, the others for the exhaustive run."""
    return [pytest.param(name, marks=[] if i < quick else [pytest.mark.slow]) for i, name in enumerate(names)]
