"""`pl.prefetch`: hints to the memory system. They change no value."""

from __future__ import annotations

from typing import Any

from pto_sim.engine.run import require_run
from pto_sim.engine.storage import Tensor


class PrefetchContext:
    """What prefetches of one kernel share."""


def make_context() -> PrefetchContext:
    """A context for asynchronous prefetches."""
    return PrefetchContext()


def async_prefetch(src: Any, ctx: Any) -> PrefetchContext:
    """Ask for a tensor's window to be brought into L2. The task reads the tensor, and so waits for who writes it."""
    task = require_run("pl.prefetch.async_prefetch").task
    if task is not None and isinstance(src, Tensor):
        task.reads(src)
    return ctx if isinstance(ctx, PrefetchContext) else PrefetchContext()


def session(ctx: Any) -> PrefetchContext:
    """A prefetch session."""
    return PrefetchContext()


def wait(event: Any, session_handle: Any) -> None:
    """Wait for prefetches: nothing is outstanding."""
