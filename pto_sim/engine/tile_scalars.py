"""Single elements of tiles: read by the scalar unit, or set in place."""

from __future__ import annotations

from typing import Any

import numpy as np

from pto_sim.engine.lanes import LaneScalar
from pto_sim.engine.tile import Tile
from pto_sim.engine.windows import Window
from pto_sim.program.errors import KernelError
from pto_sim.program.model import OpSignature


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


def write_element(tile: Tile, offsets: tuple[Any, ...], value: Any) -> None:
    """Set one element in place. Raises KernelError (PTO202) for a number of the wrong kind."""
    core, run = tile.core, tile.core.run
    raw = value.resolve() if isinstance(value, LaneScalar) else np.asarray(value)
    if raw.dtype.kind == "f" and tile.dtype.kind != "float":
        raise KernelError(
            "PTO202",
            "pl.write needs a scalar of the tile's type",
            site=run.site(),
            values=f"a float into {tile.dtype.name}",
            hint=f"pl.cast(s, pl.{tile.dtype.name})",
        )
    data = raw.astype(np.float32).astype(tile.data.dtype) if tile.dtype.kind == "float" else raw.astype(tile.data.dtype)
    shaped = data.reshape(-1, *(1,) * tile.ndim)
    source = core.make_tile(shaped, tile.type._replace(shape=(1,) * tile.ndim), tile.dtype)
    signature = OpSignature("full", (), source.type, (), run.here())
    core.record(run.recorder.signature(signature), source.number, ())
    run.memory.update_tile(tile, Window(offsets, (1,) * tile.ndim, ()), source)
