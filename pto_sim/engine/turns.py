"""How often loops go on: one that does not end is an error, not a run without end."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pto_sim.program.errors import KernelError

if TYPE_CHECKING:
    from pto_sim.engine.run import Run

TURNS = 100_000
LAUNCHING_TURNS = 4_000
"""Turns of a `while`. One that launches a task takes about a millisecond of the host, another a few microseconds."""

FOR_FACTOR = 10
FOR_FACTOR_IN_TASK = 1_000
"""Turns of `for` loops are known before they begin, so what is refused is far beyond what could be waited for."""


class Turns:
    """One entry into a `while`. fixed: nothing in the loop can change its condition, and nothing leaves it."""

    def __init__(self, run: Run, *, fixed: bool = False) -> None:
        self._run, self._fixed = run, fixed
        self._count = self._launching = 0
        self._tasks = len(run.recorder.tasks)

    def goes_on(self, condition: Any) -> bool:
        """Whether the body runs once more. Raises KernelError: PTO252 for no BOOL, PTO265 for a loop without end."""
        self._run.check_condition(condition)
        if not condition:
            return False
        if self._fixed:
            raise self._endless("its condition holds, and nothing in the loop changes it or leaves the loop")
        given, tasks = self._run.options.loop_limit, len(self._run.recorder.tasks)
        self._launching += tasks > self._tasks
        self._tasks = tasks
        counts = (self._count, TURNS, "turns"), (self._launching, LAUNCHING_TURNS, "turns that launched tasks")
        for count, limit, what in counts:
            if count >= (limit if given is None else given):
                raise self._endless(f"its condition still holds after {count} {what}")
        self._count += 1
        return True

    def _endless(self, reason: str) -> KernelError:
        return KernelError(
            "PTO265",
            "a while loop that does not end",
            site=self._run.site(),
            values=f"{_where(self._run)}: {reason}",
            hint="change in the loop what the condition reads; for more turns than that, --loop-limit N",
        )


class ForTurns:
    """Turns of the `for` loops that are open, of the orchestration or of the blocks of a task that run together."""

    __slots__ = ("_open", "_run")

    def __init__(self, run: Run) -> None:
        self._run = run
        self._open = [1]

    def enter(self, count: int) -> None:
        """A loop of `count` turns begins. Raises KernelError (PTO265) if with those around it they are too many."""
        turns = self._open[-1] * max(count, 1)
        factor = FOR_FACTOR if self._run.core is None else FOR_FACTOR_IN_TASK
        given = self._run.options.loop_limit
        limit = factor * (TURNS if given is None else given)
        if turns > limit:
            around = f", in loops of {self._open[-1]} turns" if self._open[-1] > 1 else ""
            raise KernelError(
                "PTO265",
                "a for loop of more turns than could be waited for",
                site=self._run.site(),
                values=f"{_where(self._run)}: {count} turns{around}; the limit is {limit}",
                hint="check the bounds; for more turns than that, --loop-limit N",
            )
        self._open.append(turns)

    def leave(self) -> None:
        """The innermost loop has ended."""
        self._open.pop()


def _where(run: Run) -> str:
    return f"in task '{run.task.record.name}'" if run.task is not None else "in the orchestration"
