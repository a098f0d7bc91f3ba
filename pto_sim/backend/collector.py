"""Python's garbage collector while a run is modelled."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def collector_paused() -> Iterator[None]:
    """Nothing searches for cycles of references within the block.

    Lowering, readings, simulation and checks make objects that live until the run is over, and next to no cycles: the
    collector would walk through all of them again and again and free nothing. What the block leaves behind in cycles
    is found after it.
    """
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()
