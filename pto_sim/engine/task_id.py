"""The name of a launched task."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pto_sim.engine.scopes import Place


class TaskId:
    """Names a launched task in `deps=`. index: its position in the recorded Program's tasks.

    place: where it was bound; None for an element of an array, which lives as long as the array.
    """

    __slots__ = ("index", "place")

    def __init__(self, index: int = -1, place: Place | None = None) -> None:
        self.index, self.place = index, place
