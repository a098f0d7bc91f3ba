"""Findings that the author has looked at and accepts: a comment on the line, with the reason.

    out[0:8, :] = out[0:8, :]  # pto-sim: ignore[PTO435] orders the ring, see docs

A comment without a reason suppresses nothing and is a finding (PTO450); so is one that no finding of the run meets
(PTO451).
"""

from __future__ import annotations

import linecache
import re
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from pto_sim.checks.catalogue import SUPPRESSION_UNUSED, SUPPRESSION_WITHOUT_REASON
from pto_sim.program.findings import Finding
from pto_sim.program.model import Program

_COMMENT = re.compile(r"#\s*pto-sim:\s*ignore\[([^\]]*)\]\s*(.*?)\s*$")


class _Suppression(NamedTuple):
    site: str
    codes: tuple[str, ...]
    reason: str


def suppress(findings: Sequence[Finding], program: Program) -> list[Finding]:
    """The findings that no comment accepts, and what is wrong with the comments in the files of the run's kernels."""
    comments = {comment.site: comment for comment in _comments(program)}
    used: set[str] = set()
    kept = []
    for finding in findings:
        comment = comments.get(finding.site)
        if comment is None or finding.code not in comment.codes:
            kept.append(finding)
            continue
        used.add(finding.site)
        if not comment.reason:
            kept.append(finding)
    for comment in comments.values():
        codes = ", ".join(comment.codes) or "no code"
        if not comment.reason:
            kept.append(SUPPRESSION_WITHOUT_REASON.at(comment.site, f"{codes} is not suppressed"))
        elif comment.site not in used:
            kept.append(SUPPRESSION_UNUSED.at(comment.site, f"{codes} was not found on this line"))
    return kept


def _comments(program: Program) -> Iterator[_Suppression]:
    """The suppressions on lines of the functions that ran: from a function's first recorded line to its last."""
    ranges: dict[tuple[str, str], list[int]] = {}
    for site in program.sites:
        if site.line > 0:
            ranges.setdefault((site.file, site.function), []).append(site.line)
    seen: set[str] = set()
    for (file, _), lines in ranges.items():
        text = linecache.getlines(file)
        for number in range(min(lines), min(max(lines), len(text)) + 1):
            found = _COMMENT.search(text[number - 1])
            place = f"{file}:{number}"
            if found and place not in seen:
                seen.add(place)
                codes = tuple(code.strip() for code in found[1].split(",") if code.strip())
                yield _Suppression(place, codes, found[2])
