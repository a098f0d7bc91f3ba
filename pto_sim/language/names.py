"""Names that are not in `pl`: unknown ones, and those of the language that pto-sim does not model."""

from __future__ import annotations

import difflib
import sys
from collections.abc import Iterable

from pto_sim.program.alternatives import UnknownNameError
from pto_sim.program.errors import PtoError, UnsupportedError
from pto_sim.program.model import Site

# Names of pypto.language that are known and not modelled: the compiler's own types, and parsers of printed IR
# (pypto: python/pypto/language/__init__.py).
_NOT_MODELLED_TEXT = """
AsyncEvent AsyncSession CompactMode DynVar ForKind InlineFunction IntLike JITFunction MemRefType
PrefetchAsyncContext Ptr PtrType adir alloc loads loads_program parse parse_program parser
"""
NOT_MODELLED = frozenset(_NOT_MODELLED_TEXT.split())


class UnmodelledNameError(UnsupportedError, AttributeError):
    """`pl.x` where x is part of the language and not modelled."""


def unknown_name(name: str, known: Iterable[str], prefix: str = "pl") -> PtoError:
    """The error for `pl.<name>`. A dunder name gives a plain AttributeError-like error, for introspection."""
    site = _author_site()
    if name in NOT_MODELLED:
        return UnmodelledNameError(f"{prefix}.{name}", site=site, hint="see `pto-sim ops` for what is modelled")
    close = difflib.get_close_matches(name, [n for n in known if not n.startswith("_")], n=1)
    return UnknownNameError(
        "PTO201",
        f"{prefix} has no name '{name}'",
        site=site,
        hint=f"did you mean {prefix}.{close[0]}?" if close else "see `pto-sim ops` for the operators",
    )


def _author_site() -> Site | None:
    frame = sys._getframe(3)
    if frame is None or frame.f_code.co_filename.startswith("<"):
        return None
    return Site(frame.f_code.co_filename, frame.f_lineno, frame.f_code.co_name)
