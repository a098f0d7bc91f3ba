"""`breakpoint()` inside a kernel stops at the author's line, with no progress line drawn over the prompt."""

from __future__ import annotations

import os
import pdb
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager


@contextmanager
def stop_display_on_breakpoint(stop: Callable[[], None]) -> Iterator[None]:
    """Call `stop` before the debugger starts, for the duration of a `with` block."""
    previous = sys.breakpointhook

    def hook(*args: object, **kwargs: object) -> object:
        stop()
        if previous is sys.__breakpointhook__ and os.environ.get("PYTHONBREAKPOINT", "") in ("", "pdb.set_trace"):
            pdb.Pdb().set_trace(sys._getframe(1))  # the default hook would stop here, in this file
            return None
        return previous(*args, **kwargs)

    sys.breakpointhook = hook
    try:
        yield
    finally:
        sys.breakpointhook = previous
