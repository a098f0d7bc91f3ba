"""Arguments of an entry, as the frontend hands them to the engine."""

from __future__ import annotations

from typing import Any, NamedTuple

from pto_sim.program.dtypes import DataType


class EntryArgument(NamedTuple):
    """One argument. direction: 'in', 'out', 'inout', or 'scalar'. value: an array, or a Python number."""

    name: str
    direction: str
    value: Any
    dtype: DataType | None
