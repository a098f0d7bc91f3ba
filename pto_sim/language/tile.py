"""`pl.tile`: operators under their tile name, and where a block finds itself."""

from __future__ import annotations

from typing import Any

from pto_sim.engine.run import require_run
from pto_sim.language import operators, storage
from pto_sim.language.names import unknown_name


def get_block_idx() -> Any:
    """The number of the running block, 0 to n - 1."""
    return require_run("pl.tile.get_block_idx").task_core("pl.tile.get_block_idx").block


def get_block_num() -> int:
    """The number of blocks of the running task."""
    return require_run("pl.tile.get_block_num").task_core("pl.tile.get_block_num").blocks


def __getattr__(name: str) -> Any:
    for module in (operators, storage):
        if not name.startswith("_") and name in vars(module):
            return vars(module)[name]
    raise unknown_name(name, [*vars(operators), *vars(storage)], "pl.tile")
