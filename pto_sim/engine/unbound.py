"""A name that is read before it has a value, said as an error of the kernel."""

from __future__ import annotations

from pto_sim.program.errors import KernelError
from pto_sim.program.model import Site


def unbound_name(error: UnboundLocalError) -> KernelError:
    """The error at the author's line for a name that a loop of no iterations, or a later line, would have bound."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    site = None
    if trace is not None:
        code = trace.tb_frame.f_code
        site = Site(code.co_filename, trace.tb_lineno, code.co_name)
    return KernelError(
        "PTO217",
        f"'{error.name}' has no value here" if error.name else "a name has no value here",
        site=site,
        values=str(error),
        hint="a loop that binds it did not run once, or it is bound further down: bind it before",
    )
