"""Dynamic dimensions: extents that are known once the arguments are bound."""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping
from typing import Any

from pto_sim.engine.run import current_run
from pto_sim.program.errors import KernelError

Extents = dict[str, int]


class DynamicExtent:
    """A dimension, or arithmetic on dimensions. In an annotation it is a formula; in a body it is a number."""

    __slots__ = ("_function", "_operands", "text")

    def __init__(self, text: str, function: Callable[..., int] | None = None, operands: tuple[Any, ...] = ()) -> None:
        self.text, self._function, self._operands = text, function, operands

    def value(self, extents: Mapping[str, int]) -> int | None:
        """The number, or None while one of the dimensions has none."""
        assert self._function is not None
        values = [x.value(extents) if isinstance(x, DynamicExtent) else x for x in self._operands]
        return None if None in values else self._function(*values)

    def __index__(self) -> int:
        run = current_run()
        found = None if run is None else self.value(run.extents)
        if found is None:
            raise KernelError(
                "PTO206",
                f"the dynamic dimension {self.text} has no extent here",
                site=None if run is None else run.site(),
                hint="use it in the annotation of a parameter of this function, or read pl.tensor.dim(x, axis)",
            )
        return found

    __int__ = __index__

    def _combined(self, other: Any, function: Callable[..., Any], sign: str, swap: bool = False) -> Any:
        if not isinstance(other, (int, DynamicExtent)):
            run = current_run()
            if run is None:
                return NotImplemented
            return function(other, int(self)) if swap else function(int(self), other)
        operands = (other, self) if swap else (self, other)
        texts = [x.text if isinstance(x, DynamicExtent) else str(x) for x in operands]
        formula = DynamicExtent(f"({texts[0]} {sign} {texts[1]})", function, operands)
        run = current_run()
        number = None if run is None else formula.value(run.extents)
        return formula if number is None else number

    def __add__(self, other: Any) -> Any:
        return self._combined(other, operator.add, "+")

    def __radd__(self, other: Any) -> Any:
        return self._combined(other, operator.add, "+", swap=True)

    def __sub__(self, other: Any) -> Any:
        return self._combined(other, operator.sub, "-")

    def __rsub__(self, other: Any) -> Any:
        return self._combined(other, operator.sub, "-", swap=True)

    def __mul__(self, other: Any) -> Any:
        return self._combined(other, operator.mul, "*")

    def __rmul__(self, other: Any) -> Any:
        return self._combined(other, operator.mul, "*", swap=True)

    def __floordiv__(self, other: Any) -> Any:
        return self._combined(other, operator.floordiv, "//")

    def __rfloordiv__(self, other: Any) -> Any:
        return self._combined(other, operator.floordiv, "//", swap=True)

    def __mod__(self, other: Any) -> Any:
        return self._combined(other, operator.mod, "%")

    def __lt__(self, other: Any) -> Any:
        return int(self) < other

    def __le__(self, other: Any) -> Any:
        return int(self) <= other

    def __gt__(self, other: Any) -> Any:
        return int(self) > other

    def __ge__(self, other: Any) -> Any:
        return int(self) >= other

    def __repr__(self) -> str:
        return self.text


class DynVar(DynamicExtent):
    """`pl.dynamic(name)`: a dimension whose extent comes from the argument. One name is one dimension."""

    __slots__ = ("name",)

    def __init__(self, name: str) -> None:
        super().__init__(f"pl.dynamic({name!r})")
        self.name = name

    def value(self, extents: Mapping[str, int]) -> int | None:
        """The extent that an argument has given it, or None."""
        return extents.get(self.name)


def plain(value: Any) -> Any:
    """A dimension as the number that it is in the running function; anything else as it is."""
    return int(value) if isinstance(value, DynamicExtent) else value
