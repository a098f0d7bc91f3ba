"""`pl.tensor`: operators under their tensor name, and shape queries."""

from __future__ import annotations

from typing import Any

from pto_sim.language import operators, storage
from pto_sim.language.names import unknown_name


def dim(x: Any, axis: int) -> int:
    """Extent of one axis; negative axes count from the end."""
    return x.shape[axis]


def __getattr__(name: str) -> Any:
    for module in (operators, storage):
        if not name.startswith("_") and name in vars(module):
            return vars(module)[name]
    raise unknown_name(name, [*vars(operators), *vars(storage)], "pl.tensor")
