"""A progress line for runs that take more than a second: the stage, the kernel or task, and the time so far."""

from __future__ import annotations

import threading
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

DELAY_S = 1.0


class LiveProgress:
    """Shows nothing for the first second, and nothing at all where `console` is no terminal.

    Call it as progress(stage, detail). `stop` hides it for good; use it as a context manager so that it never
    outlives the run.
    """

    def __init__(self, console: Console, delay_s: float = DELAY_S) -> None:
        self._bar = Progress(
            TextColumn("{task.description:<9}"),
            BarColumn(bar_width=24, pulse_style="cyan"),
            TimeElapsedColumn(),
            TextColumn("{task.fields[detail]}"),
            console=console,
            transient=True,
        )
        self._row = self._bar.add_task("start", total=None, detail="")
        self._lock = threading.Lock()
        self._stopped = not console.is_terminal
        self._timer = threading.Timer(delay_s, self._show)
        self._timer.daemon = True

    def __enter__(self) -> LiveProgress:
        if not self._stopped:
            self._timer.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def __call__(self, stage: str, detail: str) -> None:
        self._bar.update(self._row, description=stage, detail=detail)

    def _show(self) -> None:
        with self._lock:
            if not self._stopped:
                self._bar.start()

    def stop(self) -> None:
        """Take the line off the screen and never show it again (a debugger prompt or a table follows)."""
        with self._lock:
            self._stopped = True
            self._timer.cancel()
            if self._bar.live.is_started:
                self._bar.stop()
