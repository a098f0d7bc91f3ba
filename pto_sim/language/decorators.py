"""`@pl.jit` and `@pl.jit.inline`, and dynamic dimensions."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from pto_sim.frontend.decorator_options import check_options
from pto_sim.frontend.entry import JitKernel
from pto_sim.frontend.extents import DynVar
from pto_sim.frontend.kernel import InlineKernel
from pto_sim.frontend.task_functions import ExternKernel, HostKernel, InCoreKernel
from pto_sim.program.errors import UnsupportedError

_EXTERN = ("core_type", "source", "aic_source", "aiv_source", "dual_aiv_dispatch", "include_dirs")


class _Inline:
    """`@pl.jit.inline` or `@pl.jit.inline(auto_scope=False)`."""

    def __call__(self, function: Callable[..., Any] | None = None, *, auto_scope: bool = True, **options: Any) -> Any:
        check_options("@pl.jit.inline", options, ("auto_scope",))
        if function is None:
            return lambda f: InlineKernel(f, auto_scope)
        return InlineKernel(function, auto_scope)


def _incore(function: Callable[..., Any]) -> InCoreKernel:
    return InCoreKernel(function, True)


class _Jit:
    """`@pl.jit` or `@pl.jit(auto_scope=False)`; `.inline`, `.incore`, `.opaque`, `.extern` for what it calls."""

    inline = _Inline()
    opaque = _Inline()

    def __call__(self, function: Callable[..., Any] | None = None, *, auto_scope: bool = True, **options: Any) -> Any:
        check_options("@pl.jit", options, ("auto_scope",))
        if function is None:
            return lambda f: JitKernel(f, auto_scope)
        return JitKernel(function, auto_scope)

    def incore(self, function: Callable[..., Any] | None = None, *, level: Any = None, **options: Any) -> Any:
        """`@pl.jit.incore`: a device function; called from orchestration it is a task."""
        check_options("@pl.jit.incore", options, ("level",))
        return _incore if function is None else _incore(function)

    def extern(self, function: Callable[..., Any] | None = None, **options: Any) -> Any:
        """`@pl.jit.extern(...)`: a kernel in another language, which can be declared and not run."""
        check_options("@pl.jit.extern", options, _EXTERN)
        return ExternKernel if function is None else ExternKernel(function)

    def host(self, function: Callable[..., Any] | None = None, *, auto_scope: bool = True, **options: Any) -> Any:
        """`@pl.jit.host`: an entry over several chips; it can be declared, and calling it is refused by name."""
        check_options("@pl.jit.host", options, ("auto_scope",))
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
