"""Values against the annotations of their names."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from pto_sim.engine.storage import Tensor
from pto_sim.engine.tile import Tile
from pto_sim.program.dtypes import DataType
from pto_sim.program.errors import KernelError

if TYPE_CHECKING:
    from pto_sim.engine.run import Run


class DeclaredValue(NamedTuple):
    """What an annotation says. kind: 'tile' or 'tensor'; shape and dtype: None where the source does not show it."""

    name: str
    kind: str
    shape: tuple[int | None, ...]
    dtype: DataType | None


def check_declared(run: Run, value: Any, declared: DeclaredValue) -> None:
    """Raises KernelError (PTO268) if the value is not what the annotation of its name says."""
    if not isinstance(value, (Tile, Tensor)):
        return
    # A tile that was made of a tensor, by indexing it, may go by either name.
    kind = "tensor" if isinstance(value, Tensor) else "tile" if value.explicit else declared.kind
    shape = value.sliced or value.shape if isinstance(value, Tensor) else value.shape
    # A product holds its accumulator here, whatever its out_dtype= says; the store narrows it.
    product = isinstance(value, Tile) and value.accumulator
    other = declared.dtype not in (None, value.dtype) and not product
    # A tile of higher rank is [rows, last axis] on chip, and may be annotated so. A slice up to an extent of the run
    # has that extent here, and that of its tile there; a single row of a product is one of the rows on chip.
    folded = kind == "tile" and len(declared.shape) == 2 < len(shape)
    folded = folded or (isinstance(value, Tile) and (value.is_slice or value.accumulator))
    same = len(declared.shape) == len(shape) and all(
        want in (None, have) for want, have in zip(declared.shape, shape, strict=True)
    )
    if kind == declared.kind and not other and (same or folded):
        return
    want = f"pl.{declared.kind.capitalize()}[[{', '.join('?' if n is None else str(n) for n in declared.shape)}]"
    raise KernelError(
        "PTO268",
        f"the annotation of '{declared.name}' does not say what the value is",
        site=run.site(),
        values=f"{want}, {declared.dtype or '?'}] for a {kind} {list(shape)} of {value.dtype.name}",
        hint=f"{declared.name}: pl.{kind.capitalize()}[{list(shape)}, pl.{value.dtype.name}] = ...",
    )
