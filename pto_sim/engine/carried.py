"""Loops that carry values explicitly: init_values= and pl.yield_."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from pto_sim.program.errors import KernelError

if TYPE_CHECKING:
    from pto_sim.engine.control import LoopRange
    from pto_sim.engine.run import Run


class CarryingLoop:
    """`for i, (x,) in pl.range(n, init_values=(a,)):` with `y = pl.yield_(v)` at the end of the body."""

    def __init__(self, run: Run, loop: LoopRange, init_values: Any) -> None:
        self.run, self.loop, self.carried = run, loop, tuple(init_values)

    def __iter__(self) -> Iterator[tuple[int, tuple[Any, ...]]]:
        run = self.run
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

    def check(self, condition: Any) -> None:
        """pl.cond belongs to pl.while_."""
        raise KernelError(
            "PTO206", "pl.cond is the first statement of a pl.while_", site=self.run.site(), hint="use pl.while_"
        )


class CarryingWhile:
    """`for (x,) in pl.while_(init_values=(a,)):`; its first statement is pl.cond."""

    def __init__(self, run: Run, init_values: Any) -> None:
        self.run, self.carried = run, tuple(init_values)
        self.goes_on = False

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
        self.run.check_condition(condition)
        self.goes_on = bool(condition)
