"""Errors of the numerics that name a value, as errors at the author's line."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pto_sim.numerics.index_errors import GatherIndexError, TooManyMatchesError
from pto_sim.program.errors import KernelError

if TYPE_CHECKING:
    from pto_sim.engine.run import Run


def index_error(run: Run, name: str, error: GatherIndexError | TooManyMatchesError) -> KernelError:
    """PTO205 for an index that leads outside, or for more matches than there is room for."""
    core = run.task_core(f"pl.{name}")
    block = int(core.lanes.ids[min(error.lane, len(core.lanes) - 1)])
    if isinstance(error, TooManyMatchesError):
        return KernelError(
            "PTO205", f"pl.{name}: a row has more matches than out_cols", site=run.site(),
            values=f"{error} (block {block})", hint="make out_cols as large as the most matches a row can have",
        )  # fmt: skip
    if error.what == "scatter":
        return KernelError(
            "PTO205", "a scatter index is outside its destination", site=run.site(), values=f"{error} (block {block})",
            hint="the device would write there all the same: clamp the index, or leave the element out",
        )  # fmt: skip
    return KernelError(
        "PTO205", "a gather index is outside its row", site=run.site(), values=f"{error} (block {block})",
        hint="clamp the index, or mask the rows that have none",
    )  # fmt: skip
