"""`pl.tensor`: operators under their tensor name, and shape queries."""

from __future__ import annotations

from typing import Any

from pto_sim.language import cube, indexed, operators, padding, selection, storage
from pto_sim.language.names import unknown_name


def dim(x: Any, axis: int) -> int:
    """Extent of one axis; negative axes count from the end."""
    return x.shape[axis]


_MODULES = (operators, storage, padding, cube, selection, indexed)
create = storage.create_tensor


def __getattr__(name: str) -> Any:
    for module in _MODULES:
        if not name.startswith("_") and name in vars(module):
            return vars(module)[name]
    raise unknown_name(name, [name for module in _MODULES for name in vars(module)], "pl.tensor")
