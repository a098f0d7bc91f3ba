"""Numbers as people read them: bytes in KiB and MiB, microseconds, shares."""

from __future__ import annotations

import math

_KIB, _MIB = 1024, 1024 * 1024


def bytes_text(nbytes: float) -> str:
    """'0', '512 B', '1.50 KiB' or '90.31 MiB': two decimals, a half rounded up (170.625 MiB is 170.63 MiB)."""
    if nbytes == 0:
        return "0"
    if nbytes < _KIB:
        return f"{nbytes:.0f} B"
    unit, name = (_KIB, "KiB") if nbytes < _MIB else (_MIB, "MiB")
    return f"{math.floor(nbytes * 100 / unit + 0.5) / 100:,.2f} {name}"


def us_text(microseconds: float) -> str:
    """Microseconds with two decimals below 1000, one above: '0.35', '1,234.5'."""
    return f"{microseconds:,.2f}" if abs(microseconds) < 1000 else f"{microseconds:,.1f}"


def share_text(part: float, whole: float) -> str:
    """Percentage of `whole`, or '-' if there is no whole."""
    return f"{100 * part / whole:.1f}%" if whole else "-"


def seconds_text(seconds: float) -> str:
    """Seconds: '0.42 s', '12.3 s', '2 min 05 s'."""
    if seconds < 10:
        return f"{seconds:.2f} s"
    if seconds < 120:
        return f"{seconds:.1f} s"
    return f"{int(seconds // 60)} min {int(seconds % 60):02d} s"


def site_text(site: str) -> str:
    """A 'file:line' text without its folders."""
    return site.replace("\\", "/").rsplit("/", 1)[-1]


def scope_text(site: str) -> str:
    """A scope's site; the root scope, which the runtime opens and no line names, is called so."""
    return "(root scope)" if site == "(unknown):0" else site
