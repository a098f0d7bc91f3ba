"""On-chip values."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from pto_sim.engine.lanes import BlocksDisagreeError
from pto_sim.program.dtypes import DataType
from pto_sim.program.errors import KernelError
from pto_sim.program.model import ValueType

if TYPE_CHECKING:
    from pto_sim.engine.core import CoreState
    from pto_sim.engine.windows import Window


class Tile:
    """A value on chip, on each of the lanes that made it.

    data: [L, *shape], or [1, *shape] while all lanes hold the same. number: its value number in the
    recorded stream. view_of: the tile that a view was taken from, None if it is no view.
    accumulator: a matmul made it, so it may be narrowed when it is stored to GM.
    valid: extents of the valid box, or None if every element is valid.
    space: where the compiler has it before it cuts products: '' for a load, which goes where it is used, else vec, mat,
    left, right or acc.
    window: of a slice of an accumulator the accumulator and where, as products into the slice write there.
    is_slice: a slice of a tile, which has its valid shape in its type.
    explicit: the author made it as a tile (pl.load, pl.tile.*), not by indexing a tensor; some operators differ.
    """

    __slots__ = (
        "accumulator",
        "core",
        "data",
        "dtype",
        "explicit",
        "is_slice",
        "lanes",
        "number",
        "space",
        "type",
        "valid",
        "view_of",
        "window",
    )

    def __init__(
        self,
        core: CoreState,
        data: np.ndarray,
        type_: ValueType,
        dtype: DataType,
        number: int,
        *,
        root: Tile | None = None,
        accumulator: bool = False,
        valid: tuple[int, ...] | None = None,
    ) -> None:
        self.core, self.data, self.type, self.dtype, self.number = core, data, type_, dtype, number
        self.lanes = core.lanes
        self.view_of = root
        self.accumulator = accumulator
        self.valid = valid
        self.explicit = self.is_slice = False
        self.space = ""
        self.window: tuple[Tile, Window] | None = None

    @property
    def root(self) -> Tile:
        """The tile that a view was taken from, itself if it is no view: kept as None, as a tile that held itself would
        keep its data until Python looks for cycles."""
        return self if self.view_of is None else self.view_of

    @property
    def shape(self) -> tuple[int, ...]:
        """The tile's shape, without the lane axis."""
        return self.type.shape

    @property
    def ndim(self) -> int:
        """Number of dimensions."""
        return len(self.type.shape)

    def resolve(self) -> np.ndarray:
        """The data on the lanes that are active now: [L, *shape] or [1, *shape].

        Raises KernelError (PTO102, PTO208) if the tile belongs to another task or to other lanes.
        """
        core = self.core
        if core is not core.run.core:
            raise KernelError(
                "PTO102",
                "a tile is used outside the task that made it",
                site=core.run.site(),
                values=f"{self!r}",
                hint="store it to a tensor in the task that makes it and load it where it is needed",
            )
        data = self.data
        if data.shape[0] == 1 or self.lanes is core.lanes:
            return data
        positions = core.lanes.positions_in(self.lanes)
        if positions is None:
            raise BlocksDisagreeError(
                "PTO208",
                "a tile that was made on only some blocks is used on others",
                site=core.run.site(),
                values=f"{self!r} made on {len(self.lanes)} blocks, used on {len(core.lanes)}",
                hint="bind the name before the `if` (or in both arms), so that every block has a value",
            )
        return data[positions]

    def __getitem__(self, index: Any) -> Any:
        return self.core.run.memory.subscript(self, index)

    def __setitem__(self, index: Any, value: Any) -> None:
        self.core.run.memory.assign(self, index, value)

    def __repr__(self) -> str:
        return f"Tile({list(self.type.shape)} {self.dtype.name})"
