"""An entry and its arguments, as the frontend hands them to the engine."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, Protocol

import numpy as np

from pto_sim.program.dtypes import DataType
from pto_sim.program.model import Site
from pto_sim.program.options import RunOptions


class EntryArgument(NamedTuple):
    """One argument. direction: 'in', 'out', 'inout', or 'scalar'. value: an array, or a Python number.

    carrier: the element type in which the caller holds the words, where it is not that of `value`. specialised: a
    scalar that the compiler takes for a constant.
    """

    name: str
    direction: str
    value: Any
    dtype: DataType | None
    carrier: np.dtype | None = None
    specialised: bool = False


class EntryKernel(Protocol):
    """What the engine needs of an entry. `frontend.JitKernel` is one."""

    name: str
    site: Site

    def variant(self, options: RunOptions) -> Any:
        """The scope variant that the options ask for."""

    def entry_arguments(self, args: Sequence[Any]) -> list[EntryArgument]:
        """The arguments, checked."""

    def facts(self, variant: Any) -> Any:
        """Facts of the entry function."""

    def form(self, variant: Any) -> Callable[..., Any]:
        """The rewritten entry function."""

    def extents(self, arguments: Sequence[EntryArgument]) -> dict[str, int]:
        """Extents of the entry's dynamic dimensions, by name."""
