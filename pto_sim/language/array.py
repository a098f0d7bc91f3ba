"""`pl.array`: arrays of scalars and of task ids."""

from __future__ import annotations

from typing import Any

from pto_sim.engine.arrays import Array
from pto_sim.engine.run import require_run
from pto_sim.program.dtypes import DataType
from pto_sim.program.errors import KernelError


def create(n: Any, dtype: DataType) -> Array:
    """An array of n numbers (all 0) or task ids (all None). Element i is `a[i]`."""
    run = require_run("pl.array.create")
    if not isinstance(n, int) or n < 1 or dtype.kind == "float":
        raise KernelError(
            "PTO206",
            "pl.array.create takes a constant length and an integer, bool or TASK_ID type",
            site=run.site(),
            values=f"length {n!r}, type {dtype!r}",
            hint="pl.array.create(8, pl.INT32)",
        )
    return Array(run, n, dtype)


def get_element(a: Array, index: Any) -> Any:
    """Element `index`."""
    return a[index]


def update_element(a: Array, index: Any, value: Any) -> Array:
    """The array with element `index` set."""
    a[index] = value
    return a
