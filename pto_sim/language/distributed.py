"""`pypto.language.distributed`: names that a kernel may hold on one card; using one in a run is refused by name."""

from __future__ import annotations

from typing import Any

from pto_sim.frontend.annotations import Tensor
from pto_sim.program.alternatives import Alternatives
from pto_sim.program.errors import UnsupportedError


class DistributedTensor(Tensor):
    """Annotation of a window of another rank's memory; on one card it is a tensor."""


class NotifyOp(metaclass=Alternatives):
    """How a notify changes a signal."""

    AtomicAdd = "atomic_add"
    Set = "set"


class WaitCmp(metaclass=Alternatives):
    """How a wait compares a signal."""

    Ge = "ge"
    Eq = "eq"


class ReduceOp(metaclass=Alternatives):
    """Reductions of a collective."""

    Sum = "sum"
    Max = "max"
    Min = "min"
    Prod = "prod"


class _Refused:
    """A distributed name: any use of it as a call or a namespace is refused."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        raise UnsupportedError(self._name, hint="run the single-card part of the kernel")

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return _Refused(f"{self._name}.{name}")


def __getattr__(name: str) -> Any:
    if name.startswith("__"):
        raise AttributeError(name)
    return _Refused(f"pld.{name}")
