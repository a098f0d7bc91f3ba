"""`@pl.jit` and `@pl.jit.inline`, and dynamic dimensions."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

from pto_sim.frontend.entry import JitKernel
from pto_sim.frontend.extents import DynVar
from pto_sim.frontend.kernel import InlineKernel
from pto_sim.frontend.task_functions import ExternKernel, HostKernel, InCoreKernel
from pto_sim.program.errors import KernelError, UnsupportedError
from pto_sim.program.model import Site


class _Inline:
    """`@pl.jit.inline` or `@pl.jit.inline(auto_scope=False)`."""

    def __call__(self, function: Callable[..., Any] | None = None, *, auto_scope: bool = True) -> Any:
        if function is None:
            return lambda f: InlineKernel(f, auto_scope)
        return InlineKernel(function, auto_scope)


def _incore(function: Callable[..., Any]) -> InCoreKernel:
    return InCoreKernel(function, True)


class _Jit:
    """`@pl.jit` or `@pl.jit(auto_scope=False)`; `.inline`, `.incore`, `.opaque`, `.extern` for what it calls."""

    inline = _Inline()
    opaque = _Inline()

    def __call__(self, function: Callable[..., Any] | None = None, *, auto_scope: bool = True) -> Any:
        if function is None:
            return lambda f: JitKernel(f, auto_scope)
        return JitKernel(function, auto_scope)

    def incore(self, function: Callable[..., Any] | None = None, *, level: Any = None, **options: Any) -> Any:
        """`@pl.jit.incore`: a device function; called from orchestration it is a task."""
        for name in options:
            scoped = "a device function has no scopes: auto_scope= belongs to @pl.jit, .inline and .host"
            raise KernelError(
                "PTO238", scoped if name == "auto_scope" else f"@pl.jit.incore has no keyword '{name}'",
                site=Site.of_frame(sys._getframe(1)), values=f"{name}={options[name]!r}", hint="leave it out",
            )  # fmt: skip
        return _incore if function is None else _incore(function)

    def extern(self, function: Callable[..., Any] | None = None, **options: Any) -> Any:
        """`@pl.jit.extern(...)`: a kernel in another language, which can be declared and not run."""
        return ExternKernel if function is None else ExternKernel(function)

    def host(self, function: Callable[..., Any] | None = None, *, auto_scope: bool = True) -> Any:
        """`@pl.jit.host`: an entry over several chips; it can be declared, and calling it is refused by name."""
        return HostKernel if function is None else HostKernel(function)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        raise UnsupportedError(f"pl.jit.{name}", hint="use @pl.jit, .inline, .incore or .opaque")


jit = _Jit()


def inline(function: Callable[..., Any]) -> InlineKernel:
    """`@pl.inline`: the body becomes part of the caller."""
    return InlineKernel(function, True)


def dynamic(name: str) -> DynVar:
    """A dimension whose extent comes from the argument; used in annotations only."""
    return DynVar(name)
