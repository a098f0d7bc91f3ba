"""Where an author places a tile, and how it is laid out: `pl.MemRef`, `pl.TileView`, in annotations of tiles.

pypto: python/pypto/language/typing/memref.py, python/pypto/ir/type.py. A placement changes no value: the compiler
refuses a kernel in which two live tiles would share their bytes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from pto_sim.frontend.annotations import caller_site
from pto_sim.program.errors import KernelError


@dataclass(frozen=True)
class MemRef:
    """`pl.MemRef("name", slots=n)`: an on-chip buffer of n equal slots that the author names. `[k]` is one of them."""

    name: str = ""
    slots: int = 1
    slot: Any = None

    def __getitem__(self, slot: Any) -> MemRef:
        """Slot `slot`, a number or a scalar of the kernel. Raises KernelError (PTO203) if it is not there."""
        if isinstance(slot, int) and not 0 <= slot < self.slots:
            raise KernelError(
                "PTO203",
                f"pl.MemRef '{self.name}' has no slot {slot}",
                site=caller_site(),
                values=f"{self.slots} slots",
                hint=f"use 0 to {self.slots - 1}, or MemRef(name, slots={slot + 1})",
            )
        return MemRef(self.name, self.slots, slot)


@dataclass(frozen=True, kw_only=True)
class TileView:
    """`pl.TileView(valid_shape=[...])`: what the author expects of a tile's valid shape and layout."""

    valid_shape: Sequence[Any] = ()
    stride: Sequence[Any] = ()
    start_offset: Any = None
    blayout: Any = None
    slayout: Any = None
    fractal: int = 512
    pad: Any = None
    compact: Any = None
