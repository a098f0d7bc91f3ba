"""Blocks that run as one batch, and the scalars that differ between them.

The blocks of one spmd run the same statements. The engine executes a group of them in lockstep: each
value has a leading lane axis with one entry per block. Where a branch or a loop bound differs between
lanes, the statements run once for each subset of lanes that agree. No lane sees another's values, so
the bits are those of running the blocks one by one.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from pto_sim.engine.scalar_arithmetic import quotient, remainder
from pto_sim.program.errors import KernelError

if TYPE_CHECKING:
    from pto_sim.engine.core import CoreState
    from pto_sim.engine.run import Run


class BlocksDisagreeError(KernelError):
    """Blocks that run as one batch need different things here (PTO208); run one by one they may not."""


def division_by_zero(run: Run, dividend: Any, divisor: Any) -> KernelError:
    """The error for an integer that is divided by zero on some block."""
    first = int(np.argmin(np.abs(np.atleast_1d(divisor))))
    above = np.atleast_1d(dividend)
    return KernelError(
        "PTO212",
        "an integer is divided by zero",
        site=run.site(),
        values=f"{above[first % len(above)]} divided by 0",
        hint="guard the division with an if; both operands of `and` are evaluated",
    )


class LaneSet:
    """An ordered set of blocks that are active together.

    ids: int32 [L], block numbers. parent and positions say where these lanes stand in the set that
    they were split from (None for the outermost).
    """

    __slots__ = ("_cache", "ids", "parent", "positions")

    def __init__(self, ids: np.ndarray, parent: LaneSet | None = None, positions: np.ndarray | None = None) -> None:
        self.ids = ids
        self.parent = parent
        self.positions = positions
        self._cache: dict[int, np.ndarray | None] = {}

    def __len__(self) -> int:
        return len(self.ids)

    def subset(self, positions: np.ndarray) -> LaneSet:
        """The lanes at `positions` (int [K], ascending) as a set of their own."""
        return LaneSet(self.ids[positions], self, positions)

    def positions_in(self, other: LaneSet) -> np.ndarray | None:
        """Where these lanes stand in `other`: int [L], or None if they do not all belong to it."""
        key = id(other)
        if key not in self._cache:
            self._cache[key] = self._find(other)
        return self._cache[key]

    def _find(self, other: LaneSet) -> np.ndarray | None:
        positions = np.arange(len(self.ids))
        walk: LaneSet | None = self
        while walk is not None and walk is not other:
            if walk.positions is None:
                return None
            positions = walk.positions[positions]
            walk = walk.parent
        return positions if walk is other else None


class LaneScalar:
    """A scalar with one value for each lane: `base + add`, base an array [L] of int64, float32, float64 or bool.

    Keeping the constant part apart lets `t[a : a + 16]` see that the window has 16 rows on every lane.
    """

    __slots__ = ("add", "base", "core", "lanes")

    def __init__(self, core: CoreState, base: np.ndarray, lanes: LaneSet, add: int = 0) -> None:
        self.core, self.base, self.lanes, self.add = core, base, lanes, add

    def resolve(self) -> np.ndarray:
        """The values on the lanes that are active now, [L]."""
        lanes = self.core.lanes
        base = self.base
        if self.lanes is not lanes:
            positions = lanes.positions_in(self.lanes)
            if positions is None:
                raise self._foreign()
            base = base[positions]
        return base + self.add if self.add else base

    def _foreign(self) -> KernelError:
        return BlocksDisagreeError(
            "PTO208",
            "a scalar that was set on only some blocks is used on others",
            site=self.core.run.site(),
            values=f"set on {len(self.lanes)} blocks, used on {len(self.core.lanes)}",
            hint="bind the name before the `if` (or in both arms), so that every block has a value",
        )

    def _wrap(self, values: np.ndarray) -> LaneScalar:
        return LaneScalar(self.core, values, self.core.lanes)

    def _binary(self, other: Any, function: Callable[[Any, Any], Any], swap: bool = False) -> Any:
        mine = self.resolve()
        theirs = other.resolve() if isinstance(other, LaneScalar) else other
        if not isinstance(theirs, (int, float, np.ndarray, np.generic)):
            return NotImplemented
        try:
            return self._wrap(function(theirs, mine) if swap else function(mine, theirs))
        except ZeroDivisionError as error:
            raise division_by_zero(self.core.run, *((theirs, mine) if swap else (mine, theirs))) from error

    def __add__(self, other: Any) -> Any:
        if type(other) is int and self.base.dtype.kind == "i":
            return LaneScalar(self.core, self.base, self.lanes, self.add + other)
        return self._binary(other, operator.add)

    __radd__ = __add__

    def __sub__(self, other: Any) -> Any:
        if type(other) is int and self.base.dtype.kind == "i":
            return LaneScalar(self.core, self.base, self.lanes, self.add - other)
        if isinstance(other, LaneScalar) and other.base is self.base:
            return self.add - other.add
        return self._binary(other, operator.sub)

    def __rsub__(self, other: Any) -> Any:
        return self._binary(other, operator.sub, swap=True)

    def __mul__(self, other: Any) -> Any:
        return self._binary(other, operator.mul)

    __rmul__ = __mul__

    def __truediv__(self, other: Any) -> Any:
        return self._binary(other, quotient)

    def __rtruediv__(self, other: Any) -> Any:
        return self._binary(other, quotient, swap=True)

    __floordiv__, __rfloordiv__ = __truediv__, __rtruediv__

    def __mod__(self, other: Any) -> Any:
        return self._binary(other, remainder)

    def __rmod__(self, other: Any) -> Any:
        return self._binary(other, remainder, swap=True)

    def __lshift__(self, other: Any) -> Any:
        return self._binary(other, operator.lshift)

    def __rlshift__(self, other: Any) -> Any:
        return self._binary(other, operator.lshift, swap=True)

    def __rshift__(self, other: Any) -> Any:
        return self._binary(other, operator.rshift)

    def __rrshift__(self, other: Any) -> Any:
        return self._binary(other, operator.rshift, swap=True)

    def __and__(self, other: Any) -> Any:
        return self._binary(other, operator.and_)

    def __or__(self, other: Any) -> Any:
        return self._binary(other, operator.or_)

    def __xor__(self, other: Any) -> Any:
        return self._binary(other, operator.xor)

    def __neg__(self) -> LaneScalar:
        return self._wrap(-self.resolve())

    def __abs__(self) -> LaneScalar:
        return self._wrap(abs(self.resolve()))

    def __invert__(self) -> LaneScalar:
        return self._wrap(~self.resolve())

    def __lt__(self, other: Any) -> Any:
        return self._binary(other, operator.lt)

    def __le__(self, other: Any) -> Any:
        return self._binary(other, operator.le)

    def __gt__(self, other: Any) -> Any:
        return self._binary(other, operator.gt)

    def __ge__(self, other: Any) -> Any:
        return self._binary(other, operator.ge)

    def __eq__(self, other: Any) -> Any:
        return self._binary(other, operator.eq)

    def __ne__(self, other: Any) -> Any:
        return self._binary(other, operator.ne)

    __hash__ = None  # type: ignore[assignment]

    def __bool__(self) -> bool:
        values = self.resolve()
        first = bool(values[0])
        if not (values == values[0]).all():
            raise BlocksDisagreeError(
                "PTO208",
                "a value that differs between blocks decides something that pto-sim runs once for all of them",
                site=self.core.run.site(),
                values=f"{len(values)} blocks, first {self!r}",
                hint="use it in a plain `if` statement or as a bound of pl.range; or run with lanes=1",
            )
        return first

    def __index__(self) -> int:
        values = self.resolve()
        if not (values == values[0]).all():
            raise BlocksDisagreeError(
                "PTO208",
                "a shape or a static bound must be the same on every block",
                site=self.core.run.site(),
                values=f"first blocks have {values[:4].tolist()}",
                hint="make the size a constant and let the valid shape differ",
            )
        return int(values[0])

    def __repr__(self) -> str:
        values = self.base + self.add if self.add else self.base
        return f"<per block: {values[:4].tolist()}{'...' if len(values) > 4 else ''}>"


def logical(operation: str, values: tuple[Any, ...]) -> Any:
    """`and` / `or` of scalars without short circuit, as the language defines them. operation: 'and' or 'or'."""
    function = np.logical_and if operation == "and" else np.logical_or
    result = values[0]
    for value in values[1:]:
        if isinstance(result, LaneScalar):
            result = result._binary(value, function)
        elif isinstance(value, LaneScalar):
            result = value._binary(result, function, swap=True)
        else:
            result = (result and value) if operation == "and" else (result or value)
    return result


def logical_not(value: Any) -> Any:
    """`not` of a scalar."""
    return value._wrap(np.logical_not(value.resolve())) if isinstance(value, LaneScalar) else not value
