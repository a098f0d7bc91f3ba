"""Findings: what a check has to say about a run. Data only; one renderer for text, JSON and HTML is in `report`."""

from __future__ import annotations

from dataclasses import dataclass

SEVERITIES = ("info", "warning", "error")


@dataclass(frozen=True)
class Finding:
    """One finding. site and other are 'file:line' texts ('' if there is none); hint says what to do."""

    code: str
    title: str
    severity: str
    site: str
    message: str
    other: str = ""
    allocation: str = ""
    hint: str = ""
