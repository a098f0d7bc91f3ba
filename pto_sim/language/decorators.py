"""`@pl.jit` and `@pl.jit.inline`, and dynamic dimensions."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from pto_sim.frontend.annotations import DynVar
from pto_sim.frontend.kernel import InlineKernel, JitKernel
from pto_sim.program.errors import UnsupportedError


class _Inline:
    """`@pl.jit.inline` or `@pl.jit.inline(auto_scope=False)`."""

    def __call__(self, function: Callable[..., Any] | None = None, *, auto_scope: bool = True) -> Any:
        if function is None:
            return lambda f: InlineKernel(f, auto_scope)
        return InlineKernel(function, auto_scope)


class _Jit:
    """`@pl.jit` or `@pl.jit(auto_scope=False)`; `.inline` for functions that become part of their caller."""

    inline = _Inline()

    def __call__(self, function: Callable[..., Any] | None = None, *, auto_scope: bool = True) -> Any:
        if function is None:
            return lambda f: JitKernel(f, auto_scope)
        return JitKernel(function, auto_scope)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        raise UnsupportedError(f"pl.jit.{name}", hint="use @pl.jit or @pl.jit.inline")


jit = _Jit()


def dynamic(name: str) -> DynVar:
    """A dimension whose extent comes from the argument; used in annotations only."""
    return DynVar(name)
