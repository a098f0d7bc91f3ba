"""`pto-sim findings`: what the checks can find, and what each finding means."""

from __future__ import annotations

from difflib import get_close_matches
from pathlib import Path

from rich.console import Console
from rich.markdown import Markdown
from rich.table import Table

import pto_sim
from pto_sim.checks.catalogue import CATALOGUE
from pto_sim.program.errors import InputError

DOCS = Path(pto_sim.__file__).resolve().parent.parent / "docs"
FOLDERS = ("findings", "errors")


def show_findings(code: str | None) -> None:
    """List every finding, or show the page of a finding or an error. Raises InputError (PTO058) for another code."""
    console = Console()
    if code is None:
        table = Table(title_justify="left")
        for title in ("code", "severity", "finding"):
            table.add_column(title, no_wrap=title == "code")
        for kind in sorted(CATALOGUE.values(), key=lambda kind: kind.code):
            table.add_row(kind.code, kind.severity, kind.title)
        console.print(table)
        return
    pages = {path.stem: path for folder in FOLDERS for path in sorted((DOCS / folder).glob("PTO*.md"))}
    if code in pages:
        console.print(Markdown(pages[code].read_text(encoding="utf-8")))
    elif code in CATALOGUE:  # an installed package without the documentation beside it
        kind = CATALOGUE[code]
        console.print(f"{kind.code} {kind.title}\nseverity: {kind.severity}\ninstead: {kind.hint}", markup=False)
    else:
        known = sorted({*CATALOGUE, *pages})
        begins = [name for name in known if name.startswith(code.upper())]
        near = begins[:3] or get_close_matches(code.upper(), known, n=3)
        raise InputError(
            "PTO058",
            f"there is no finding {code!r}",
            hint=f"did you mean {', '.join(dict.fromkeys(near))}?" if near else "`pto-sim findings` lists them",
        )
