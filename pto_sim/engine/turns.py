"""How often a `while` or pl.while_ goes on: a loop that does not end is an error, not a run without end."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pto_sim.program.errors import KernelError

if TYPE_CHECKING:
    from pto_sim.engine.run import Run


class Turns:
    """One entry into a loop. fixed: nothing in the loop can change its condition, and nothing leaves it."""

    def __init__(self, run: Run, *, fixed: bool = False) -> None:
        self._run, self._fixed = run, fixed
        self._count = 0

    def goes_on(self, condition: Any) -> bool:
        """Whether the body runs once more. Raises KernelError: PTO252 for no BOOL, PTO265 for a loop without end."""
        self._run.check_condition(condition)
        if not condition:
            return False
        if self._fixed:
            raise self._endless("its condition holds, and nothing in the loop changes it or leaves the loop")
        self._count += 1
        limit = self._run.options.loop_limit
        if self._count > limit:
            raise self._endless(f"its condition still holds after {limit} turns")
        return True

    def _endless(self, reason: str) -> KernelError:
        task = self._run.task
        where = f"in task '{task.record.name}'" if task is not None else "in the orchestration"
        return KernelError(
            "PTO265",
            "a while loop that does not end",
            site=self._run.site(),
            values=f"{where}: {reason}",
            hint="change in the loop what the condition reads; for more turns than that, --loop-limit N",
        )
