"""Events between the cores of a block: pl.system.sync_set and sync_wait, and flags between the pipes of a core.

A cross-core event counts (pto-isa: TSync). In mode 2 the cube's set reaches both vector cores, and the cube's wait
needs the set of both; in mode 1 a vector core waits for the other.
"""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING

from pto_sim.program.errors import KernelError, UnsupportedError

if TYPE_CHECKING:
    from pto_sim.engine.cluster import Cluster
    from pto_sim.engine.core import CoreState
    from pto_sim.engine.run import Run

AIVS = ("aiv0", "aiv1")
USER_EVENTS = 14
"""Events 14 and 15 are reserved (pypto: python/pypto/language/op/system_ops.py)."""


class CoreEvents:
    """The events of one block. Counts are kept for each setting and each waiting core."""

    def __init__(self, run: Run, cluster: Cluster) -> None:
        self.run, self.cluster = run, cluster
        self._sets: dict[tuple[int, str, str], int] = defaultdict(int)
        self._waits: dict[tuple[int, str, str], int] = defaultdict(int)
        self._flags: dict[tuple[str, str, str, int], int] = defaultdict(int)

    def sources(self, core: CoreState, core_type: str | None) -> tuple[str, ...]:
        """The cores on which a statement runs: its own, or those that core_type= names in a mixed function."""
        if core.unit:
            if core_type is not None and not core.unit.startswith(core_type):
                raise KernelError(
                    "PTO264",
                    "an event's core_type= is the core that runs the line",
                    site=self.run.site(),
                    values=f"core_type={core_type!r} on {core.unit}",
                    hint="leave core_type= out in a function of one core",
                )
            return (core.unit,)
        if core_type == "aic":
            return ("aic",)
        if core_type == "aiv":
            return (AIVS[core.subblock],) if core.split is not None else AIVS
        raise KernelError(
            "PTO264",
            "an event in a function of both cores names its core",
            site=self.run.site(),
            values=f"core_type={core_type!r}",
            hint="core_type='aic' or core_type='aiv'",
        )

    def set(self, core: CoreState, event: int, mode: int | None, core_type: str | None) -> tuple[str, ...]:
        """Signal an event. Returns the cores that did."""
        if mode == 0:
            raise UnsupportedError(
                "pl.system.sync_set(ffts_mode=0), an event between blocks", site=self.run.site(),
                hint="use pl.system.syncall",
            )  # fmt: skip
        units = self.sources(core, core_type)
        for unit in units:
            for target in self._targets(unit, mode):
                self._sets[event, unit, target] += 1
        return units

    @staticmethod
    def _targets(unit: str, mode: int | None) -> tuple[str, ...]:
        if mode == 1:
            return AIVS if unit in AIVS else ()
        return AIVS if unit == "aic" else ("aic",)

    def wait(self, core: CoreState, event: int, core_type: str | None) -> tuple[str, ...]:
        """Wait for an event on each core that runs the line. Returns those cores."""
        units = self.sources(core, core_type)
        for unit in units:
            senders = AIVS if unit == "aic" else ("aic",)
            others = tuple(other for other in AIVS if other != unit)
            number = self._waits[event, unit, "any"]

            def ready(
                unit: str = unit,
                senders: tuple[str, ...] = senders,
                others: tuple[str, ...] = others,
                number: int = number,
            ) -> bool:
                across = all(self._sets[event, sender, unit] > number for sender in self._present(senders))
                return across or (unit in AIVS and any(self._sets[event, other, unit] > number for other in others))

            self.cluster.wait(ready, f"event {event} on {unit}, set by {' and '.join(senders)}")
            self._waits[event, unit, "any"] = number + 1
        return units

    def _present(self, senders: tuple[str, ...]) -> tuple[str, ...]:
        """Vector lanes that run at all: a function on one lane has no second sender."""
        if not self.cluster.cores or senders == ("aic",):
            return senders
        lanes = self.cluster.units("aiv")
        return tuple(sender for sender in senders if sender in lanes) or senders

    def flag(self, core: CoreState, set_pipe: str, wait_pipe: str, event: int) -> None:
        """sync_src: one pipe of a core signals another."""
        self._flags[core.unit or str(core.subblock), set_pipe, wait_pipe, event] += 1

    def await_flag(self, core: CoreState, set_pipe: str, wait_pipe: str, event: int) -> None:
        """sync_dst. Raises KernelError (PTO264) if no sync_src came before."""
        key = (core.unit or str(core.subblock), set_pipe, wait_pipe, event)
        if not self._flags[key]:
            raise KernelError(
                "PTO264",
                "a pipe waits for a flag that nothing has set",
                site=self.run.site(),
                values=f"sync_dst(set_pipe={set_pipe}, wait_pipe={wait_pipe}, event_id={event})",
                hint="call pl.system.sync_src with the same pipes and event first",
            )
        self._flags[key] -= 1
