"""Numerics profiles: which rule decides where hardware and upstream's simulator differ.

`a2a3` follows the documented hardware rule where one is documented, and the reference order elsewhere.
`cpu-sim` gives the bits of upstream's functional simulator, quirks included (pto-isa: include/pto/cpu).
`fast` is `a2a3` with BLAS for float matmuls: not bit-exact, and chosen only by name.
"""

from __future__ import annotations

A2A3 = "a2a3"
CPU_SIM = "cpu-sim"
FAST = "fast"
PROFILES = (A2A3, CPU_SIM, FAST)


def check_profile(name: str) -> str:
    """Return `name` if it is a profile. Raises ValueError naming the choices."""
    if name not in PROFILES:
        raise ValueError(f"unknown numerics profile {name!r}; choose one of {', '.join(PROFILES)}")
    return name
