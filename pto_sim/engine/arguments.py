"""Arguments of an entry, as the frontend hands them to the engine."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from pto_sim.program.dtypes import DataType


class EntryArgument(NamedTuple):
    """One argument. direction: 'in', 'out', 'inout', or 'scalar'. value: an array, or a Python number.

    carrier: the element type in which the caller holds the words, where it is not that of `value`.
    """

    name: str
    direction: str
    value: Any
    dtype: DataType | None
    carrier: np.dtype | None = None
