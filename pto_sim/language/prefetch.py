"""`pl.prefetch`: hints to the memory system. They change no value."""

from __future__ import annotations

from typing import Any


class PrefetchContext:
    """What prefetches of one kernel share."""


def make_context(*args: Any, **kwargs: Any) -> PrefetchContext:
    """A context for asynchronous prefetches."""
    return PrefetchContext()


def async_prefetch(x: Any, ctx: Any = None, **kwargs: Any) -> PrefetchContext:
    """Ask for a tensor's window to be brought into L2."""
    return ctx if isinstance(ctx, PrefetchContext) else PrefetchContext()


def session(*args: Any, **kwargs: Any) -> PrefetchContext:
    """A prefetch session."""
    return PrefetchContext()


def wait(*args: Any, **kwargs: Any) -> None:
    """Wait for prefetches: nothing is outstanding."""
