"""Explicit pipes between the cube and the vector cores: `pl.tpush_*`, `pl.tpop_*`, `pl.tfree_*` and their set-up."""

from __future__ import annotations

from typing import Any

from pto_sim.engine.core import CoreState
from pto_sim.engine.pipes import C2V, V2C, Pipes
from pto_sim.engine.run import require_run
from pto_sim.engine.tile import Tile
from pto_sim.program.dtypes import DataType
from pto_sim.program.errors import KernelError

__all__ = [
    "AUTO", "aic_initialize_pipe", "aiv_initialize_pipe", "import_peer_buffer", "reserve_buffer", "tfree_to_aic",
    "tfree_to_aiv", "tpop_from_aic", "tpop_from_aiv", "tpush_to_aic", "tpush_to_aiv",
]  # fmt: skip

AUTO = -1
"""A reserved buffer's base: the compiler chooses it."""


def _side(name: str, kind: str) -> tuple[CoreState, Pipes]:
    """The running core, which must be of `kind`, and the pipes of its block. Raises KernelError (PTO262)."""
    run = require_run(f"pl.{name}")
    core = run.task_core(f"pl.{name}")
    if core.cluster is None or not core.unit.startswith(kind):
        raise KernelError(
            "PTO262",
            f"pl.{name} belongs in a function of type {'AIC' if kind == 'aic' else 'AIV'}",
            site=run.site(),
            values=f"found in '{run.function_name}'",
            hint="@pl.function(type=pl.FunctionType.AIC or AIV), called from a Group; in a function of both cores the "
            "compiler makes the transfers",
        )
    return core, core.cluster.pipes


def _tile(name: str, tile: Any) -> Tile:
    if not isinstance(tile, Tile):
        raise KernelError(
            "PTO206", f"pl.{name} takes a tile", site=require_run(f"pl.{name}").site(), values=f"got {tile!r}",
            hint="load it first: pl.load",
        )  # fmt: skip
    return tile


def tpush_to_aiv(tile: Any, *, split: Any, lane_stride: Any = None, id: int | None = None) -> None:
    """The cube sends a tile to the vector cores: whole (split=0), or rows (1, 3) or columns (2, 4) to each lane."""
    core, pipes = _side("tpush_to_aiv", "aic")
    _no_stride("tpush_to_aiv", lane_stride)
    pipes.push(core, _tile("tpush_to_aiv", tile), C2V, split, id or 0)


def tpush_to_aic(tile: Any, *, split: Any, id: int | None = None) -> None:
    """A vector core sends a tile, or its lane's half of one, to the cube."""
    core, pipes = _side("tpush_to_aic", "aiv")
    pipes.push(core, _tile("tpush_to_aic", tile), V2C, split, id or 0)


def tpop_from_aic(
    *, shape: Any = None, dtype: DataType | None = None, split: Any = 0, lane_stride: Any = None,
    id: int | None = None, valid_shape: Any = None,
) -> Tile:  # fmt: skip
    """The next tile from the cube, or this lane's half of it. valid_shape: what the annotation's TileView declares."""
    core, pipes = _side("tpop_from_aic", "aiv")
    _no_stride("tpop_from_aic", lane_stride)
    return pipes.pop(core, C2V, split, id or 0, shape, dtype, valid_shape)


def tpop_from_aiv(
    *, shape: Any = None, dtype: DataType | None = None, split: Any = 0, id: int | None = None, valid_shape: Any = None
) -> Tile:
    """The next tile from the vector cores, with the halves of both lanes joined."""
    core, pipes = _side("tpop_from_aiv", "aic")
    return pipes.pop(core, V2C, split, id or 0, shape, dtype, valid_shape)


def _no_stride(name: str, stride: Any) -> None:
    if stride is not None:
        raise KernelError(
            "PTO262", "lane_stride= is written by the compiler", site=require_run(f"pl.{name}").site(),
            values=f"lane_stride={stride!r}", hint="leave it out",
        )  # fmt: skip


def tfree_to_aic(tile: Any, *, split: Any = None, id: int | None = None) -> None:
    """Gives the slot of a tile from pl.tpop_from_aic back to the cube."""
    core, pipes = _side("tfree_to_aic", "aiv")
    pipes.free(core, _tile("tfree_to_aic", tile), C2V, id)


def tfree_to_aiv(tile: Any, *, split: Any = None, id: int | None = None) -> None:
    """Gives the slot of a tile from pl.tpop_from_aiv back to the vector cores."""
    core, pipes = _side("tfree_to_aiv", "aic")
    pipes.free(core, _tile("tfree_to_aiv", tile), V2C, id)


def _initialize(
    name: str, kind: str, dir_mask: int, slot_size: int, slot_num: int | None, local: int | None, id: int | None
) -> None:
    core, pipes = _side(name, kind)
    wrong = slot_size < 1 or (slot_num is not None and slot_num < 1)
    if wrong or (local is not None and not 1 <= local <= (slot_num or 8)):
        raise KernelError(
            "PTO262", "a pipe has positive sizes, and local_slot_num at most slot_num",
            site=require_run(f"pl.{name}").site(),
            values=f"slot_size={slot_size}, slot_num={slot_num}, local_slot_num={local}", hint="correct them",
        )  # fmt: skip
    pipes.open(core, id or 0, dir_mask, slot_size, slot_num)


def aic_initialize_pipe(
    c2v_consumer_buf: Any = 0, v2c_consumer_buf: Any = 0, *, dir_mask: int, slot_size: int, slot_num: int | None = None,
    local_slot_num: int | None = None, id: int | None = None,
) -> None:  # fmt: skip
    """Sets up a pipe on the cube. dir_mask: 1 cube to vector, 2 vector to cube, 3 both; slot_size in bytes.

    slot_num: slots of a ring, 8 for one direction and 4 for two if it is left out.
    """
    _initialize("aic_initialize_pipe", "aic", dir_mask, slot_size, slot_num, local_slot_num, id)


def aiv_initialize_pipe(
    c2v_consumer_buf: Any = 0, v2c_consumer_buf: Any = 0, *, dir_mask: int, slot_size: int, slot_num: int | None = None,
    local_slot_num: int | None = None, id: int | None = None,
) -> None:  # fmt: skip
    """Sets up a pipe on a vector core; arguments as aic_initialize_pipe's."""
    _initialize("aiv_initialize_pipe", "aiv", dir_mask, slot_size, slot_num, local_slot_num, id)


def reserve_buffer(*, name: str, size: int, base: int = AUTO) -> int:
    """Reserves on-chip bytes for a pipe under a name; returns their base."""
    core, pipes = _side("reserve_buffer", "")
    pipes.reserve(core, require_run("pl.reserve_buffer").function_name, name)
    return base


def import_peer_buffer(*, name: str, peer_func: str) -> int:
    """The buffer that the function `peer_func` of the same group reserves under `name`."""
    core, pipes = _side("import_peer_buffer", "")
    pipes.expect(core, peer_func, name)
    return 0
