"""The cores of one block that run functions of their own: an AIC function, an AIV function on one or two lanes.

Each runs in a thread, and exactly one thread runs at a time: control changes hands only where a core waits for
another (a pop with nothing pushed, a push into a full ring, an event that is not set). What a core reads through a
pipe does not depend on that order, so neither do the values.
"""

from __future__ import annotations

import contextvars
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

from pto_sim.engine.core import CoreState
from pto_sim.engine.core_events import CoreEvents
from pto_sim.engine.pipes import Pipes
from pto_sim.program.errors import KernelError
from pto_sim.program.model import Site

if TYPE_CHECKING:
    from pto_sim.engine.run import Run

AIC, AIV0, AIV1 = "aic", "aiv0", "aiv1"


class _Abandoned(BaseException):
    """Unwinds a core that waits when another has failed."""


class Wait(NamedTuple):
    """Why a core stands still. reason: 'a tile in pipe 0 from the cube'. site: the author's line."""

    ready: Callable[[], bool]
    reason: str
    site: Site


class CoreThread:
    """One core and the function that it runs."""

    def __init__(self, cluster: Cluster, core: CoreState, name: str, body: Callable[[], Any]) -> None:
        self.cluster, self.core, self.name = cluster, core, name
        self.waits: Wait | None = None
        self.done = False
        self.result: Any = None
        self.abandoned = False
        self._body = body
        self._error: BaseException | None = None
        self._go = threading.Semaphore(0)
        self._state = cluster.run.forked(core)
        context = contextvars.copy_context()
        self._thread = threading.Thread(target=context.run, args=(self._execute,), daemon=True)
        self._thread.start()

    def _execute(self) -> None:
        self._go.acquire()
        try:
            if not self.abandoned:
                self.result = self._body()
        except _Abandoned:
            pass
        except BaseException as error:
            self._error = error
        finally:
            self.done = True
            self.cluster.back.release()

    def resume(self) -> None:
        """Let it run until it waits or is over. Raises what it raised."""
        run = self.cluster.run
        owner = run.state()
        run.restore(self._state)
        self.waits = None
        self.cluster.active = self
        self._go.release()
        self.cluster.back.acquire()
        self.cluster.active = None
        self._state = run.state()
        run.restore(owner)
        if self.done:
            self._thread.join()
        if self._error is not None:
            raise self._error

    def pause(self, wait: Wait) -> None:
        """Called on the core's own thread: hand control back until the wait is over."""
        self.waits = wait
        self.cluster.back.release()
        self._go.acquire()
        if self.abandoned:
            raise _Abandoned

    def abandon(self) -> None:
        """Unwind it, if it has not ended."""
        if not self.done:
            self.abandoned = True
            self._go.release()
            self.cluster.back.acquire()
            self._thread.join()


class Cluster:
    """One block's AIC and AIV, their pipes and events."""

    def __init__(self, run: Run, block: CoreState) -> None:
        self.run, self.block = run, block
        self.cores: list[CoreThread] = []
        self.back = threading.Semaphore(0)
        self.active: CoreThread | None = None
        self.pipes = Pipes(run, self)
        self.events = CoreEvents(run, self)
        block.cluster = self

    def units(self, kind: str) -> list[str]:
        """Names of the cores of a kind ('aic', 'aiv') that run a function."""
        return [thread.core.unit for thread in self.cores if thread.core.unit.startswith(kind)]

    def start(self, unit: str, name: str, half: str, body: Callable[[], Any]) -> CoreThread:
        """Run `body` on a core until it waits or is over. half: what part of a tile the lane stores."""
        if unit in self.units(unit):
            raise KernelError(
                "PTO261",
                f"the {describe(unit)} of a block runs one function",
                site=self.run.site(),
                values=f"'{name}' beside '{self.named(unit)}'",
                hint="launch the second function in a task of its own",
            )
        core = self.block.fork(unit, half)
        core.cluster = self
        thread = CoreThread(self, core, name, body)
        self.cores.append(thread)
        self._resume(thread)
        return thread

    def named(self, unit: str) -> str:
        """The function that a core runs."""
        return next((thread.name for thread in self.cores if thread.core.unit == unit), "no function")

    def wait(self, ready: Callable[[], bool], reason: str) -> None:
        """The running core waits until `ready()`. Raises KernelError (PTO261) where no other core can run meanwhile."""
        if ready():
            return
        if self.active is None:
            raise KernelError(
                "PTO261",
                "nothing before this line signals what it waits for",
                site=self.run.site(),
                values=f"waits for {reason}",
                hint="write the set before the wait: the lines of a function of both cores run in order here. Or give "
                "each core a function of its own in a pl.FunctionType.Group",
            )
        self.active.pause(Wait(ready, reason, self.run.site()))

    def _resume(self, thread: CoreThread) -> None:
        try:
            thread.resume()
        except BaseException:
            self.abandon()
            raise

    def abandon(self) -> None:
        """Unwind every core that has not ended."""
        for thread in self.cores:
            thread.abandon()

    def finish(self) -> None:
        """Run every core to its end, and put what they recorded into the block's stream.

        Raises KernelError (PTO261) if they stand still, PTO262 for tiles that nobody took.
        """
        while True:
            waiting = [thread for thread in self.cores if not thread.done]
            if not waiting:
                break
            ready = [thread for thread in waiting if thread.waits is None or thread.waits.ready()]
            if not ready:
                self.abandon()
                raise self._standstill(waiting)
            for thread in ready:
                self._resume(thread)
        self.pipes.check_empty()
        for thread in self.cores:
            self.block.absorb(thread.core)
        self.block.cluster = None

    def _standstill(self, waiting: list[CoreThread]) -> KernelError:
        first = waiting[0].waits
        assert first is not None
        lines = [
            f"{describe(thread.core.unit)} '{thread.name}' waits for {thread.waits.reason} ({thread.waits.site})"
            for thread in waiting
            if thread.waits is not None
        ]
        ended = [f"{describe(t.core.unit)} '{t.name}' has ended" for t in self.cores if t.done]
        return KernelError(
            "PTO261",
            "the cores of a block wait for each other and none can go on",
            site=first.site,
            values="; ".join([*lines, *ended]),
            hint="each push needs one pop, each pop one tfree, each wait one set on the other core",
        )


def describe(unit: str) -> str:
    """`aiv1` in words."""
    return {"aic": "cube core", "aiv0": "vector core 0", "aiv1": "vector core 1"}.get(unit, unit)
