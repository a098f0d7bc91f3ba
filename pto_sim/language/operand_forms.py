"""What only the tile form or only the tensor form of an operator takes: scratch tiles, precision, result types.

pypto: python/pypto/language/op/unified_ops.py (_require_tmp_for_tile and its neighbours).
"""

from __future__ import annotations

from types import MappingProxyType
from typing import Any

from pto_sim.engine.run import Run
from pto_sim.engine.storage import Tensor
from pto_sim.engine.tile import Tile
from pto_sim.language.scratch_tiles import check_scratch
from pto_sim.numerics.typing_rules import accumulator_of
from pto_sim.program.errors import KernelError

SCRATCH_REQUIRED = frozenset(
    (
        "row_sum", "row_max", "row_min", "row_prod", "row_argmax", "row_argmin", "col_argmax", "col_argmin", "xor_",
        "prelu", "rem",
    )
)  # fmt: skip
"""Operators whose tile form must have a scratch tile, and whose tensor form has none."""

SCRATCH_ALLOWED = SCRATCH_REQUIRED | {"col_sum", "rsqrt", "row_expand_add"}
"""Operators whose tile form takes a scratch tile last; it changes no value, but for `SCRATCH_DECIDES`."""

SCRATCH_DECIDES = MappingProxyType({"col_sum": "tree"})
"""Operators whose scratch tile changes the order of their sums: the attribute that says that there is one."""

_NO_TENSOR_SCRATCH = SCRATCH_REQUIRED | {"col_sum", "row_expand_add"}

PRECISE = frozenset(("exp", "log", "recip", "rsqrt", "div"))
"""Operators with high_precision=. It changes no bit on a2a3's reference (pto-isa: docs/isa/TEXP.md)."""

# pypto: src/ir/op/tile_ops/unary.cpp, elementwise.cpp.
_PRECISE_TYPES = frozenset(("recip", "div", "log"))


def is_tile(x: Any) -> bool:
    """Whether the author made a value as a tile, not by indexing a tensor."""
    return isinstance(x, Tile) and x.explicit


def without_scratch(run: Run, name: str, operands: tuple[Any, ...], count: int) -> tuple[Any, ...]:
    """The operands without the scratch tile. Raises KernelError (PTO249) where one is missing or must not be."""
    first: Any = operands[0] if operands else None
    given = len(operands) == count + 1 and isinstance(operands[-1], (Tile, Tensor))
    if is_tile(first) and not given and name in SCRATCH_REQUIRED:
        shape, dtype = list(first.shape), first.dtype.name
        raise KernelError(
            "PTO249",
            f"pl.{name} of a tile needs a scratch tile",
            site=run.site(),
            values=f"operand {first!r}",
            hint=f"tmp = pl.create_tile({shape}, dtype=pl.{dtype}); pl.{name}({'x, ' * count}tmp)",
        )
    if given and not is_tile(first) and name in _NO_TENSOR_SCRATCH:
        raise KernelError(
            "PTO249",
            f"pl.{name} of a tensor takes no scratch tile",
            site=run.site(),
            values=f"operand {first!r}",
            hint=f"write pl.{name}({', '.join('xyz'[:count])})",
        )
    if given and is_tile(first):
        check_scratch(run, name, operands[:-1], operands[-1])
    return operands[:-1] if given else operands


def check_precision(run: Run, name: str, x: Any) -> None:
    """high_precision= is asked for.

    Raises KernelError: PTO238 where there is none, PTO249 for rsqrt of a tile, PTO202 for an element type without it.
    """
    if name not in PRECISE:
        raise KernelError(
            "PTO238",
            f"pl.{name} has no high_precision=",
            site=run.site(),
            values=f"operand {x!r}",
            hint=f"leave it out; {', '.join(sorted(PRECISE))} have it",
        )
    dtype = getattr(x, "dtype", None)
    if name in _PRECISE_TYPES and dtype is not None and dtype.name not in ("FP16", "FP32"):
        raise KernelError(
            "PTO202",
            f"pl.{name} has high_precision= for FP16 and FP32",
            site=run.site(),
            values=f"operand {x!r}",
            hint="leave it out, or pl.cast to FP32 first",
        )
    if name == "rsqrt" and is_tile(x):
        raise KernelError(
            "PTO249",
            "pl.rsqrt of a tile has no high_precision=",
            site=run.site(),
            values=f"operand {x!r}",
            hint="pl.rsqrt(x, tmp) with a scratch tile is its precise form",
        )


def check_product_type(run: Run, a: Any, out_dtype: Any) -> None:
    """out_dtype= of a product of tiles. Raises KernelError (PTO249) unless it is the accumulator's type."""
    if out_dtype is None or not is_tile(a):
        return
    accumulator = accumulator_of(a.dtype.name)
    if getattr(out_dtype, "name", None) != accumulator:
        raise KernelError(
            "PTO249",
            f"pl.matmul of tiles gives its accumulator, {accumulator}",
            site=run.site(),
            values=f"out_dtype {out_dtype!r}, operand {a!r}",
            hint="pl.cast the result, or let pl.store narrow it",
        )
