"""Branches and loops of a rewritten kernel.

The frontend turns `if` and `for` statements into the calls below. A condition or bound that is the same on
all blocks runs once. Where blocks differ, the statements run for each subset of blocks that agree, and names
that were bound before are merged lane by lane afterwards.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from pto_sim.engine.carried import CarriedShapes
from pto_sim.engine.core import CoreState
from pto_sim.engine.lanes import BlocksDisagreeError, LaneScalar, LaneSet
from pto_sim.engine.settled import SettledInt, is_settled, unsettled
from pto_sim.engine.tile import Tile
from pto_sim.program.errors import KernelError, PtoError, UnsupportedError
from pto_sim.program.model import OpSignature

if TYPE_CHECKING:
    from pto_sim.engine.run import Run

Names = tuple[Any, ...]


class _Parts:
    """Statements that run once for each subset of lanes, and the names to merge afterwards.

    saved: values of the names before the statements. late: names that only some of the statements bind
    and that are read afterwards, which cannot be merged.
    """

    def __init__(self, run: Run, saved: Names, late: tuple[str, ...]) -> None:
        self.run, self.saved, self._late = run, saved, late
        self._results: list[tuple[LaneSet | None, Names]] = []
        self._active: LaneSet | None = None

    def _late_error(self, rule: str, **facts: Any) -> PtoError:
        # One arm of an `if` alone may not bind a name that is read later; a loop body may.
        return UnsupportedError(rule, **facts)

    def leave(self, values: Names) -> None:
        """The statements have run on the active lanes and left the names with `values`."""
        self._results.append((self._active, values))

    def join(self) -> Names:
        """The names after all parts have run. Those that were bound before come first."""
        if len(self._results) == 1:
            return self._settled(self._results[0][1])
        parts = [(lanes, self._settled(values)) for lanes, values in self._results]
        return tuple(self._merge([(lanes, values[i]) for lanes, values in parts]) for i in range(len(parts[0][1])))

    def _settled(self, values: Names) -> Names:
        known = len(self.saved)
        return (*CarriedShapes(self.run, self.saved).settle(values[:known]), *values[known:])

    def _split(self, core: CoreState, groups: list[np.ndarray]) -> Iterator[int]:
        if len(groups) > 1 and self._late:
            raise self._late_error(
                f"{', '.join(self._late)} bound in statements that only some blocks run, and used after them",
                site=self.run.site(),
                hint="bind the name before the `if` or the loop",
            )
        outer = core.lanes
        for number, positions in enumerate(groups):
            core.lanes = self._active = outer.subset(positions)
            yield number
        core.lanes = outer

    def _merge(self, parts: list[tuple[LaneSet | None, Any]]) -> Any:
        first = parts[0][1]
        if all(value is first for _, value in parts):
            return first
        if isinstance(first, Tile) and all(isinstance(v, Tile) for _, v in parts):
            return self._merge_tiles(parts)
        if all(isinstance(v, (int, float, np.generic, LaneScalar)) for _, v in parts):
            return self._merge_scalars(parts)
        raise BlocksDisagreeError(
            "PTO202",
            "a name has different kinds of value on different blocks",
            site=self.run.site(),
            values=", ".join(type(v).__name__ for _, v in parts),
            hint="bind the same kind of value in both arms",
        )

    def _merge_scalars(self, parts: list[tuple[LaneSet | None, Any]]) -> LaneScalar:
        core = self.run.task_core("a branch that differs between blocks")
        out: np.ndarray | None = None
        for lanes, value in parts:
            assert lanes is not None and lanes.positions is not None
            values = _on_lanes(value, lanes)
            if out is None:
                out = np.zeros(
                    len(core.lanes),
                    np.result_type(
                        values.dtype,
                        np.asarray(
                            parts[-1][1] if not isinstance(parts[-1][1], LaneScalar) else parts[-1][1].base
                        ).dtype,
                    ),
                )
            out[lanes.positions] = values
        assert out is not None
        return LaneScalar(core, out, core.lanes)

    def _merge_tiles(self, parts: list[tuple[LaneSet | None, Tile]]) -> Tile:
        core = self.run.task_core("a branch that differs between blocks")
        first = parts[0][1]
        if any(tile.type != first.type or tile.valid != first.valid for _, tile in parts):
            raise BlocksDisagreeError(
                "PTO202",
                "a name has different tile types on different blocks",
                site=self.run.site(),
                values=" and ".join(repr(tile) for _, tile in parts),
                hint="make both arms produce the same shape and element type",
            )
        data = np.empty((len(core.lanes), *first.shape), first.data.dtype)
        merged = core.make_tile(data, first.type, first.dtype, accumulator=first.accumulator, valid=first.valid)
        merged.explicit = first.explicit
        signature = self.run.recorder.signature(OpSignature("reshape", (first.type,), first.type, (), self.run.here()))
        outer = core.lanes
        for lanes, tile in parts:
            assert lanes is not None and lanes.positions is not None
            core.lanes = lanes
            data[lanes.positions] = tile.resolve()
            core.record(signature, merged.number, (tile.number,))
        core.lanes = outer
        return merged


def _on_lanes(value: Any, lanes: LaneSet) -> np.ndarray:
    if not isinstance(value, LaneScalar):
        return np.asarray(value)
    positions = lanes.positions_in(value.lanes)
    return (
        (value.base if positions is None else value.base[positions]) + value.add
        if value.add
        else (value.base if positions is None else value.base[positions])
    )


class Branch(_Parts):
    """`if condition: ... else: ...`; iterating gives True and False for the arms that must run."""

    def __init__(
        self, run: Run, condition: Any, saved: Names, late: tuple[str, ...], operands: Names | None = None
    ) -> None:
        super().__init__(run, saved, late)
        self._condition = condition
        self._known = run.core is not None or is_settled(operands)

    def join(self) -> Names:
        """The names after the arm, of which the compiler knows those that a settled branch left; others are new."""
        names = super().join()
        if self._known:
            return names
        return tuple(self.run.scopes.carried(unsettled(name)) for name in names)

    def __iter__(self) -> Iterator[bool]:
        condition = self._condition
        run = self.run
        if isinstance(condition, LaneScalar):
            run.check_condition(condition)
            values = condition.resolve()
            taken = np.flatnonzero(values)
            if 0 < len(taken) < len(values):
                core = run.task_core("a branch")
                for number in self._split(core, [taken, np.flatnonzero(~values.astype(bool))]):
                    yield number == 0
                return
            yield len(taken) > 0
            return
        run.check_condition(condition)
        if not self._known:
            with run.statement_list("if"):
                yield bool(condition)
            return
        yield bool(condition)


class Loop(_Parts):
    """`for v in pl.range(...)`; iterating gives one iterable of loop values for each subset of blocks."""

    def __init__(self, run: Run, loop: LoopRange, saved: Names, late: tuple[str, ...]) -> None:
        super().__init__(run, saved, late)
        self._loop = loop

    def _late_error(self, rule: str, **facts: Any) -> PtoError:
        return BlocksDisagreeError("PTO208", rule, **facts)

    def __iter__(self) -> Iterator[Iterator[int]]:
        loop = self._loop
        bounds = (loop.start, loop.stop, loop.step)
        if not any(isinstance(bound, LaneScalar) for bound in bounds):
            yield loop.values(*bounds)
            return
        core = self.run.task_core("a loop")
        columns = np.stack([np.broadcast_to(_on_active(b), len(core.lanes)) for b in bounds])
        triples, which = np.unique(columns, axis=1, return_inverse=True)
        which = which.reshape(-1)
        groups = [np.flatnonzero(which == number) for number in range(triples.shape[1])]
        for number in self._split(core, groups):
            start, stop, step = (int(v) for v in triples[:, number])
            yield loop.values(start, stop, step)


def _on_active(bound: Any) -> np.ndarray:
    return bound.resolve() if isinstance(bound, LaneScalar) else np.asarray(bound)


class LoopRange:
    """`pl.range`, `pl.pipeline`, `pl.unroll` or `pl.parallel`: same values, different schedule.

    kind: 'range', 'pipeline', 'unroll' or 'parallel'. stage: buffers that a pipeline rotates. settled: the compiler
    knows the bounds.
    """

    __slots__ = ("kind", "run", "settled", "stage", "start", "step", "stop")

    def __init__(self, run: Run, kind: str, bounds: tuple[Any, ...], stage: int = 1) -> None:
        self.run, self.kind, self.stage = run, kind, stage
        self.settled = False
        if not 1 <= len(bounds) <= 3:
            raise KernelError(
                "PTO206",
                f"pl.{kind} takes one to three bounds",
                site=run.site(),
                values=f"got {len(bounds)}",
                hint="pl.range(stop), pl.range(start, stop) or pl.range(start, stop, step)",
            )
        self.start = bounds[0] if len(bounds) > 1 else 0
        self.stop = bounds[1] if len(bounds) > 1 else bounds[0]
        self.step = bounds[2] if len(bounds) > 2 else 1
        if not isinstance(self.step, LaneScalar) and self.step == 0:
            raise KernelError(
                "PTO206",
                "a loop step must not be zero",
                site=run.site(),
                values=f"pl.{kind}({', '.join(map(str, bounds))})",
                hint="use a non-zero step",
            )

    def __len__(self) -> int:
        return len(range(int(self.start), int(self.stop), int(self.step)))

    def __iter__(self) -> Iterator[int]:
        for bound in (self.start, self.stop, self.step):
            if isinstance(bound, LaneScalar):
                bound.__index__()
        return self.values(int(self.start), int(self.stop), int(self.step))

    def values(self, start: int, stop: int, step: int) -> Iterator[int]:
        """The loop values, with the loop's structure recorded around them."""
        run = self.run
        if run.core is None:
            yield from self._in_orchestration(range(start, stop, step))
            return
        core = run.core
        begin, each, end = run.loop_signatures(self.kind, self.stage)
        core.for_turns.enter(len(range(start, stop, step)))
        core.record(begin, -1, ())
        try:
            for value in range(start, stop, step):
                core.record(each, -1, ())
                yield value
        finally:
            core.for_turns.leave()
            core.record(end, -1, ())

    def _in_orchestration(self, values: range) -> Iterator[int]:
        """The loop values, each with a statement list; an unrolled loop has none, and one of a single turn neither."""
        if self.kind == "unroll" or (self.settled and self.kind == "range" and self.step >= 1 and len(values) == 1):
            for value in values:
                yield SettledInt(value) if self.kind == "unroll" or self.settled else value
            return
        kind = "parallel" if self.kind == "parallel" else "for"
        self.run.for_turns.enter(len(values))
        try:
            for value in values:
                with self.run.statement_list(kind):
                    yield value
        finally:
            self.run.for_turns.leave()
