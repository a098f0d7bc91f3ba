"""`pypto.backend`: which chip a script asks for. Only the a2a3 family (Ascend 910B) is simulated."""

from __future__ import annotations

import enum

from pto_sim.compat import code_generator as pto_backend
from pto_sim.compat.refusal import refuser
from pto_sim.compat.soc import Backend, Backend910B, Backend950, Cluster, Core, Die, SoC
from pto_sim.program.errors import UnsupportedError

__all__ = [
    "Backend",
    "Backend910B",
    "Backend950",
    "BackendType",
    "Cluster",
    "Core",
    "Die",
    "SoC",
    "get_backend_instance",
    "get_backend_type",
    "is_backend_configured",
    "pto_backend",
    "reset_for_testing",
    "set_backend_type",
]  # fmt: skip

# An import of a part that is not served then reaches the hook, which names it.
__path__: list[str] = []


class BackendType(enum.Enum):
    """The chip families of upstream's compiler."""

    Ascend910B = "ascend910b"
    Ascend950 = "ascend950"


def set_backend_type(backend_type: BackendType) -> None:
    """Accepts the 910B family, which is what runs here. Raises UnsupportedError for another."""
    if backend_type is not BackendType.Ascend910B:
        raise UnsupportedError(f"set_backend_type({backend_type})", hint="use BackendType.Ascend910B (a2a3)")


def get_backend_type() -> BackendType:
    """The family that is simulated."""
    return BackendType.Ascend910B


def get_backend_instance(backend_type: BackendType) -> Backend:
    """The chip of a family. Raises UnsupportedError for a5."""
    return Backend910B.instance() if backend_type is BackendType.Ascend910B else Backend950.instance()


def is_backend_configured() -> bool:
    """Always true: the family is fixed."""
    return True


def reset_for_testing() -> None:
    """Nothing to reset: no state is kept."""


__getattr__ = refuser("pypto.backend", "there is no code generator; leave it out")
