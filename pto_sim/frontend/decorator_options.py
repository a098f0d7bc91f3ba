"""Keywords of the language's decorators: an unknown one names the nearest that the decorator has."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from typing import Any

from pto_sim.frontend.legality.keywords import nearest
from pto_sim.program.errors import KernelError
from pto_sim.program.model import Site


def check_options(decorator: str, options: Mapping[str, Any], known: Sequence[str]) -> None:
    """Raises KernelError (PTO238) at the decorator's line for a keyword that is not known. Called by the decorator."""
    unknown = next((name for name in options if name not in known), None)
    if unknown is None:
        return
    listed = f"it has {', '.join(known)}" if known else "it has no keywords"
    scoped = unknown == "auto_scope"
    raise KernelError(
        "PTO238",
        f"{decorator} has no scopes of its own" if scoped else f"{decorator} has no keyword '{unknown}'",
        site=Site.of_frame(sys._getframe(2)),
        values=f"{unknown}={options[unknown]!r}; {listed}",
        hint=(
            "leave it out: auto_scope= belongs to @pl.jit, .inline, .opaque and .host"
            if scoped
            else nearest(unknown, known, "{}=") or listed
        ),
    )
