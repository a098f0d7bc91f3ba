"""Broadcast signals between SimPy processes, and the report of a run that stands still."""

from __future__ import annotations

from typing import Any

import simpy
from simpy.core import EmptySchedule


class Signal:
    """Wakes every process that waits at the moment it fires; nothing is remembered."""

    def __init__(self, env: simpy.Environment) -> None:
        self._env = env
        self._event = env.event()

    def wait(self) -> simpy.Event:
        """The event of the next `fire`."""
        return self._event

    def fire(self) -> None:
        """Wakes the waiting processes at the current time."""
        if self._event.callbacks:
            event, self._event = self._event, self._env.event()
            event.succeed()


class StandstillError(RuntimeError):
    """The simulation has nothing left to do and the run is not over. The text lists who waits for whom."""

    def __init__(self, now_us: float, waits: dict[str, tuple[str, str]]) -> None:
        self.now_us = now_us
        self.waits = dict(waits)
        super().__init__(now_us, waits)

    def __str__(self) -> str:
        waits = sorted(self.waits.items())
        lines = [f"  {name} waits for {what}; {who} should signal it" for name, (what, who) in waits]
        return "\n".join([f"the run stands still at {self.now_us:.3f} us:", *lines])


def run_until(env: simpy.Environment, done: simpy.Event, waits: dict[str, tuple[str, str]]) -> Any:
    """Runs the simulation until `done`. Raises StandstillError when its queue empties before."""
    step = env.step
    try:
        while done.callbacks is not None:  # done.processed, in the hottest loop of a run
            step()
    except EmptySchedule:
        raise StandstillError(env.now, waits) from None
    return done.value
