"""The element types of numbers that operators take.

pypto: python/pypto/ir/utils.py (_check_not_index_scalar); src/ir/op/tensor_ops/memory.cpp and tile_ops/memory.cpp
(tensor.write and tile.write: the value has the type of what it is written to);
src/codegen/pto/pto_scalar_expr_codegen.cpp (casts); python/pypto/language/parser/ast_parser.py (predicates).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from pto_sim.engine.lanes import LaneScalar
from pto_sim.program.dtypes import DTYPES, DataType
from pto_sim.program.errors import KernelError

if TYPE_CHECKING:
    from pto_sim.engine.run import Run

_INDEX = DTYPES["INDEX"]


class ScalarOperand(NamedTuple):
    """The type of a scalar expression. literal: its value is written in the source."""

    dtype: DataType
    literal: bool = False


def check_scalar_operand(run: Run, name: str, dtype: DataType) -> None:
    """The number that pl.<name> takes with a tile of `dtype`. Raises KernelError (PTO269) for an index."""
    known = run.scalar_operand(name)
    if known is None or known.literal or known.dtype is not _INDEX:
        return
    target = dtype if dtype.kind in ("int", "uint") else DTYPES["INT32"]
    raise KernelError(
        "PTO269",
        f"pl.{name} takes a number of an element type, and this one is an index",
        site=run.site(),
        values=f"INDEX: a loop variable, a block index, or what follows from one; the tile holds {dtype.name}",
        hint=f"pl.{name}(tile, pl.cast(value, pl.{target.name}))",
    )


def check_written_number(run: Run, value: Any, dtype: DataType) -> None:
    """The number that pl.write stores among elements of `dtype`. Raises KernelError (PTO269) for another type."""
    known = run.scalar_operand("write")
    if known is None or known.dtype is dtype:
        return
    kind = "an integer in the source is an INDEX" if known.dtype is _INDEX else f"the value is {known.dtype.name}"
    raise KernelError(
        "PTO269",
        "pl.write stores a number of the element type",
        site=run.site(),
        values=f"{kind}, the elements are {dtype.name}",
        hint=f"pl.cast({value if known.literal else 'value'}, pl.{dtype.name})",
    )


def check_scalar_cast(run: Run, target: DataType) -> None:
    """A number that pl.cast makes a float on a core. Raises KernelError (PTO269) for an index."""
    known = run.scalar_operand("cast")
    if run.core is None or target.kind != "float" or known is None or known.literal or known.dtype is not _INDEX:
        return
    raise KernelError(
        "PTO269",
        "there is no conversion of an index to a float on a core",
        site=run.site(),
        values=f"INDEX: a loop variable, a block index, or what follows from one; target {target.name}",
        hint=f"pl.cast(pl.cast(value, pl.INT32), pl.{target.name})",
    )


def check_condition(run: Run, what: str, value: Any) -> None:
    """A truth value, or None. Raises KernelError (PTO269) for a number.

    pypto: src/ir/op/type_inference.cpp, CheckMatmulInitCond.
    """
    numbers = value.resolve() if isinstance(value, LaneScalar) else value
    if numbers is None or np.asarray(numbers).dtype == np.bool_:
        return
    raise KernelError(
        "PTO269",
        f"{what} is a truth value",
        site=run.site(),
        values=f"got the number {value!r}",
        hint="write the comparison: init_cond=(k == 0)",
    )


def check_predicate_types(run: Run, since: int) -> None:
    """The elements that a predicate= has read, those from the position `since` on. Raises KernelError (PTO270)."""
    for touched in run.recorder.orchestration[since:]:
        info = run.recorder.tensors[touched.access.tensor]
        if not info.dtype.startswith("INT"):
            raise KernelError(
                "PTO270",
                "predicate= reads a signed integer",
                site=run.site(),
                values=f"{info.name or 'a tensor'} {list(info.shape)} {info.dtype}",
                hint="the scheduler extends the sign of what it reads: let a task write the decision as INT32",
            )
