"""Which operators take tiles alone, and which tensors alone.

Most names of `pl` take either and say which they want by what they are given. `pl.tile.x` and some names of `pl` belong
to the tile dialect, `pl.tensor.x` and some others to that of tensors (pypto: python/pypto/language/__init__.py, the
imports from tile_ops and tensor_ops; src/ir/op: "requires ... to be a TileType", "... a TensorType").
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import MappingProxyType, ModuleType
from typing import Any

from pto_sim.engine.run import require_run
from pto_sim.engine.storage import Tensor
from pto_sim.engine.tile import Tile
from pto_sim.program.errors import KernelError

_TILE_NAMES = """
addc addsc cmps gatherb gemv gemv_acc gemv_bias lrelu matmul_bias maximums minimums prelu relu rem rems sel sels subc
subsc
"""
TILES_ONLY = frozenset(_TILE_NAMES.split())
"""Names of `pl` that are those of `pl.tile`."""

_NOT_OF_TILES = """
aic_initialize_pipe aiv_initialize_pipe const create_l1 create_tensor dump_tag expand_clone import_peer_buffer maxs
mins no_dep pad_number paged_gather rdivs reserve_buffer static_assert static_print tfree_to_aic tfree_to_aiv
tile_gather tile_scatter xor_
"""
_NOT_OF_TENSORS = """
batch_matmul batch_matmul_acc const create_tile extract fillpad_inplace gather_compare gather_mask load matmul_mx
matmul_mx_acc matmul_mx_bias maxs mgather mins move mscatter pad_number rdivs scatter_mask static_assert static_print
store tile_gather tile_scatter transpose_view tri xor_
"""
NOT_IN: Mapping[str, frozenset[str]] = MappingProxyType(
    {
        "pl.tile": frozenset(_NOT_OF_TILES.split()),
        "pl.tensor": frozenset(_NOT_OF_TENSORS.split()) | TILES_ONLY,
    }
)
"""Operators that a namespace does not have (pypto: python/pypto/language/op/{tile,tensor}_ops.py, __all__)."""

_OF_BOTH = frozenset(("load", "store", "mgather", "mscatter", "gather_row", "read", "write", "assemble", "extract"))
"""Names of `pl.tile` that take a tensor in GM beside tiles, or that reach into either."""


def operators_of(space: str, modules: Iterable[ModuleType]) -> dict[str, Any]:
    """The operators that `space` has of those that the modules define."""
    return {
        name: value
        for module in modules
        for name, value in vars(module).items()
        if callable(value) and getattr(value, "__module__", "") == module.__name__
        and not name.startswith("_") and not isinstance(value, type) and name not in NOT_IN[space]
    }  # fmt: skip


def refused_level(space: str, name: str) -> str:
    """What `space`.`name` does not take: 'tensor', 'tile', or '' where both or neither are taken."""
    if name in _OF_BOTH:
        return ""
    if space == "pl.tile" or (space == "pl" and name in TILES_ONLY):
        return "tensor"
    return "tile" if space == "pl.tensor" else ""


def check_level(called: str, refused: str, operands: Iterable[Any]) -> None:
    """Raises KernelError (PTO249) for an operand of the level `refused` in a call of `called`."""
    for x in operands:
        if isinstance(x, Tile):
            level = "tile" if x.explicit else "tensor"
        elif isinstance(x, Tensor):
            level = "tensor"
        else:
            continue
        if level == refused:
            raise _refusal(called, refused, x)


def _refusal(called: str, refused: str, x: Any) -> KernelError:
    name = called.rpartition(".")[2]
    if refused == "tensor":
        hint = f"pl.load the operand: {called}(pl.load(x, offsets, shape), ...)"
    elif name in ("gather", "scatter"):
        hint = f"pl.tile.{name}, pl.tile.{name}_mask or pl.tile.gather_compare is the form for tiles"
    else:
        hint = f"pl.{name} takes tiles"
    return KernelError(
        "PTO249",
        f"{called} takes {'tiles' if refused == 'tensor' else 'tensors'} only",
        site=require_run(called).site(),
        values=f"got {'of a tensor: ' if refused == 'tensor' else 'a tile: '}{x!r}",
        hint=hint,
    )
