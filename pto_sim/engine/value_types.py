"""What the compiler knows as the type of a name: what must not change when the name is bound again."""

from __future__ import annotations

from typing import Any

import numpy as np

from pto_sim.engine.lanes import LaneScalar
from pto_sim.engine.storage import Tensor
from pto_sim.engine.task_ids import TaskId, TaskIds
from pto_sim.engine.tile import Tile

_SCALARS = {"b": "BOOL", "i": "integer", "u": "integer", "f": "float"}


def type_of(value: Any) -> tuple[Any, ...]:
    """Kind, shape and element type. A tile that came from indexing a tensor is still a tensor to the compiler."""
    if isinstance(value, Tile):
        return ("tile" if value.explicit else "tensor", value.shape, value.dtype.name)
    if isinstance(value, Tensor):
        return ("tensor", value.shape, value.dtype.name)
    if isinstance(value, LaneScalar):
        return ("scalar", _SCALARS.get(value.base.dtype.kind, "other"))
    if isinstance(value, (TaskId, TaskIds)):
        return ("task id",)
    if isinstance(value, (bool, int, float, np.generic)):
        return ("scalar", _SCALARS.get(np.asarray(value).dtype.kind, "other"))
    return (type(value).__name__,)
