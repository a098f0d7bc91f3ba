"""`pl.tile`: operators under their tile name, and where a block finds itself."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from pto_sim.engine.run import require_run
from pto_sim.engine.tile import Tile
from pto_sim.language import cube, indexed, operators, padding, pipes, scalars, selection, statements, storage
from pto_sim.language.dialects import operators_of
from pto_sim.language.names import unknown_name
from pto_sim.language.operand_names import named_calls
from pto_sim.program.errors import UnsupportedError

MaskPattern = indexed.MaskPattern
_MODULES = (operators, storage, padding, cube, selection, indexed, pipes)


def get_block_idx() -> Any:
    """The number of the running block, 0 to n - 1."""
    return require_run("pl.tile.get_block_idx").task_core("pl.tile.get_block_idx").block


def get_block_num() -> int:
    """The number of blocks of the running task."""
    return require_run("pl.tile.get_block_num").task_core("pl.tile.get_block_num").blocks


def get_subblock_idx() -> int:
    """The vector core of the running block's pair, 0 or 1."""
    run = require_run("pl.tile.get_subblock_idx")
    core = run.task_core("pl.tile.get_subblock_idx")
    if core.split is None and not core.unit.startswith("aiv"):
        raise UnsupportedError(
            "pl.tile.get_subblock_idx in a function of both cores",
            site=run.site(),
            hint="use it in a pl.split_aiv(2) region, or in a function of type AIV that a group calls",
        )
    return core.subblock


def _tile_form(function: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(function)
    def form(*args: Any, **kwargs: Any) -> Any:
        result = function(*args, **kwargs)
        for part in result if type(result) is tuple else (result,):
            if type(part) is Tile:
                part.explicit = True
        return result

    return form


_FORMS = {name: _tile_form(value) for name, value in operators_of("pl.tile", _MODULES).items()}
_FORMS["create"] = _FORMS["create_tile"]
_FORMS["gather"] = _tile_form(indexed.tile_gather)
_FORMS["scatter"] = _tile_form(indexed.tile_scatter)
_FORMS["ci"] = _FORMS["arange"]
_FORMS.update(aiv_shard=statements.aiv_shard, aic_gather=statements.aic_gather, max=scalars.max, min=scalars.min)
_FORMS.update(named_calls("pl.tile", _FORMS))


def __getattr__(name: str) -> Any:
    if name in _FORMS:
        return _FORMS[name]
    raise unknown_name(name, _FORMS, "pl.tile")
