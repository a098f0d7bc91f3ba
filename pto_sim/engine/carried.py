"""Values that loops carry: explicitly with init_values= and pl.yield_, or by rebinding a name in the body."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from pto_sim.engine.arrays import carried_to
from pto_sim.engine.settled import unsettled
from pto_sim.engine.tile import Tile
from pto_sim.engine.turns import Turns
from pto_sim.program.errors import KernelError

if TYPE_CHECKING:
    from pto_sim.engine.control import LoopRange
    from pto_sim.engine.run import Run


class CarriedShapes:
    """The valid shapes with which carried names were bound before a loop or branch: later values have them too.

    The compiler gives a carried name one type, that of its first binding (pypto: src/ir/transforms/
    convert_to_ssa_pass.cpp, init->GetType()). A tensor that was whole stays whole, whatever an operator of partly
    valid tiles made of it; a partly valid one may not become another.
    """

    __slots__ = ("_first", "_run")

    def __init__(self, run: Run, values: tuple[Any, ...]) -> None:
        self._run = run
        self._first = [(value.shape, value.valid) if type(value) is Tile else None for value in values]

    def turned(self, values: tuple[Any, ...]) -> tuple[Any, ...]:
        """As `settle`, where a loop begins another turn or has ended: the compiler knows none of the numbers, and task
        ids are bound anew."""
        carried = self._run.scopes.carried
        return self.settle(tuple(carried(unsettled(value)) for value in values))

    def settle(self, values: tuple[Any, ...]) -> tuple[Any, ...]:
        """The values with those valid shapes. Raises KernelError (PTO213) for a partly valid one that changed."""
        changed = [
            place
            for place, (first, value) in enumerate(zip(self._first, values, strict=True))
            if first is not None and type(value) is Tile and value.valid != first[1] and value.shape == first[0]
        ]
        if not changed:
            return values
        result = list(values)
        for place in changed:
            result[place] = self._widened(result[place], self._first[place])
        return tuple(result)

    def _widened(self, value: Tile, first: Any) -> Tile:
        shape, valid = first
        if valid is None:
            return self._run.memory.with_valid(value, shape)
        raise KernelError(
            "PTO213",
            "a value that a loop or branch carries keeps the valid shape of its first binding",
            site=self._run.site(),
            values=f"bound with {list(valid)}, then with {list(value.valid or shape)} of {list(shape)}",
            hint="give the new value a name of its own, or pl.fillpad the first one",
        )


class CarryingLoop:
    """`for i, (x,) in pl.range(n, init_values=(a,)):` with `y = pl.yield_(v)` at the end of the body."""

    def __init__(self, run: Run, loop: LoopRange, init_values: Any) -> None:
        self.run, self.loop, self.carried = run, loop, tuple(unsettled(value) for value in init_values)

    def __iter__(self) -> Iterator[tuple[int, tuple[Any, ...]]]:
        run = self.run
        place = run.scopes.place()
        shapes = CarriedShapes(run, self.carried)
        for value in self.loop:
            before = self.carried
            run.carrying.append(self)
            try:
                yield value, before
            finally:
                run.carrying.pop()
            if len(self.carried) != len(before):
                raise KernelError(
                    "PTO206",
                    "pl.yield_ must give as many values as init_values=",
                    site=run.site(),
                    values=f"{len(self.carried)} against {len(before)}",
                    hint="yield one value for each carried name",
                )
            self.carried = shapes.settle(tuple(carried_to(value, place) for value in self.carried))

    def check(self, condition: Any) -> None:
        """pl.cond belongs to pl.while_."""
        raise KernelError(
            "PTO206", "pl.cond is the first statement of a pl.while_", site=self.run.site(), hint="use pl.while_"
        )


class CarryingWhile:
    """`for (x,) in pl.while_(init_values=(a,)):`; its first statement is pl.cond."""

    def __init__(self, run: Run, init_values: Any) -> None:
        self.run, self.carried = run, tuple(unsettled(value) for value in init_values)
        self.goes_on = False
        self._turns = Turns(run)

    def __iter__(self) -> Iterator[tuple[Any, ...]]:
        run = self.run
        while True:
            self.goes_on = False
            run.carrying.append(self)
            try:
                yield self.carried
            finally:
                run.carrying.pop()
            if not self.goes_on:
                return

    def check(self, condition: Any) -> None:
        """Note whether the body goes on."""
        self.goes_on = self._turns.goes_on(condition)
