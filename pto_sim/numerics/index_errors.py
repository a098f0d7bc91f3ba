"""An index that leads outside what it counts in: undefined on the device, so it is named."""

from __future__ import annotations

import numpy as np


class GatherIndexError(IndexError):
    """An index of a gather or scatter lies outside.

    lane: the lane. place: where the index stands in its tile; row and column are the last two of it. index: its value.
    extent: how many elements, rows or bytes it may count. what: 'gather' or 'scatter'.
    """

    def __init__(self, lane: int, place: tuple[int, ...], index: int, extent: int, what: str = "gather") -> None:
        super().__init__(f"{what} index {index} at {list(place)} of lane {lane} is outside 0..{extent - 1}")
        self.lane, self.place, self.index, self.extent, self.what = lane, place, index, extent, what
        self.row = place[-2] if len(place) > 1 else 0
        self.column = place[-1]


def first_outside(index: np.ndarray, extent: int, what: str) -> GatherIndexError | None:
    """The error for the first entry of index ([L, ...]) outside 0..extent - 1, or None."""
    bad = np.argwhere((index < 0) | (index >= extent))
    if not len(bad):
        return None
    lane, *place = bad[0].tolist()
    return GatherIndexError(lane, tuple(place), int(index[tuple(bad[0])]), extent, what)


class TooManyMatchesError(ValueError):
    """A row has more matches than the result has columns."""

    def __init__(self, lane: int, row: int, matches: int, columns: int) -> None:
        super().__init__(f"row {row} of lane {lane} has {matches} matches, out_cols is {columns}")
        self.lane, self.row = lane, row
