"""What every kernel function is to the source that names it."""

from __future__ import annotations


class KernelCallee:
    """Anything that a kernel can call by name.

    role: 'inline', 'task', 'entry', 'extern' or 'host'. renames: whether rebinding a name at its own block depth may
    change its type (so under pl.jit, not in a pl.function).
    """

    role = "inline"
    renames = True
