"""Single elements: scalars for tensors and tiles, elements of tiles read by the scalar unit or set in place."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from pto_sim.engine.lanes import LaneScalar
from pto_sim.engine.tile import Tile
from pto_sim.engine.windows import Window
from pto_sim.program.dtypes import DataType
from pto_sim.program.errors import KernelError
from pto_sim.program.model import OpSignature

if TYPE_CHECKING:
    from pto_sim.engine.run import Run


def read_element(tile: Tile, offsets: tuple[Any, ...]) -> Any:
    """One element: a number where all active blocks have one tile and one place, else a LaneScalar."""
    core, run = tile.core, tile.core.run
    window = Window(offsets, (1,) * tile.ndim, ())
    part = run.memory.tile_window(tile, window)
    values = part.resolve().reshape(part.data.shape[0], -1)[:, 0]
    signature = OpSignature("tile.read", (part.type,), None, (), run.here())
    core.record(run.recorder.signature(signature), -1, (part.number,))
    if values.dtype.kind in "iub":
        if len(values) == 1:
            return values[0].item()
        return LaneScalar(core, values if values.dtype.kind == "b" else values.astype(np.int64), core.lanes)
    # A float scalar stays FP32, so that arithmetic on it rounds as the scalar unit does.
    return LaneScalar(core, np.broadcast_to(values.astype(np.float32), len(core.lanes)), core.lanes)


def scalar_values(run: Run, value: Any, dtype: DataType) -> np.ndarray:
    """A scalar to be stored as `dtype`: an array [L], or of no dimension. Raises KernelError (PTO202, PTO205)."""
    if not isinstance(value, (LaneScalar, bool, int, float, np.generic)):
        raise KernelError(
            "PTO202",
            "pl.write stores one scalar",
            site=run.site(),
            values=f"got {value!r}",
            hint="assign a tile to a window: x[i : i + 1, j : j + 8] = tile",
        )
    raw = value.resolve() if isinstance(value, LaneScalar) else np.asarray(value)
    if raw.dtype.kind == "f" and dtype.kind != "float":
        raise KernelError(
            "PTO202",
            "pl.write needs a scalar of the element type that it writes",
            site=run.site(),
            values=f"a float into {dtype.name}",
            hint=f"pl.cast(s, pl.{dtype.name})",
        )
    if dtype.kind == "int" and isinstance(value, int) and dtype.numpy is not None:
        limits = np.iinfo(dtype.numpy)
        if not limits.min <= value <= limits.max:
            raise KernelError(
                "PTO205",
                "pl.write cannot store this number",
                site=run.site(),
                values=f"{value} into {dtype.name}, which holds {limits.min} to {limits.max}",
                hint="use a wider element type, or check the value",
            )
    return raw


def write_element(tile: Tile, offsets: tuple[Any, ...], value: Any) -> None:
    """Set one element in place. Raises KernelError (PTO202) for a number of the wrong kind."""
    core, run = tile.core, tile.core.run
    raw = scalar_values(run, value, tile.dtype)
    data = raw.astype(np.float32).astype(tile.data.dtype) if tile.dtype.kind == "float" else raw.astype(tile.data.dtype)
    shaped = data.reshape(-1, *(1,) * tile.ndim)
    source = core.make_tile(shaped, tile.type._replace(shape=(1,) * tile.ndim), tile.dtype)
    signature = OpSignature("full", (), source.type, (), run.here())
    core.record(run.recorder.signature(signature), source.number, ())
    run.memory.update_tile(tile, Window(offsets, (1,) * tile.ndim, ()), source)
