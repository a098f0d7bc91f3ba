"""`pypto.backend.Backend910B`: how many cores a kernel of a2a3 may count on.

Source: pypto, src/backend/common/soc.cpp, Create910BSoC. The chip that time is simulated for is another matter
(`pto-sim chips`): these are the numbers that the compiler works with.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from pto_sim.program.errors import UnsupportedError

AIC_CORES, AIV_CORES = 24, 48


class CoreType(enum.IntEnum):
    """Vector cores (AIV) and cube cores (AIC)."""

    VECTOR = 0
    CUBE = 1


@dataclass(frozen=True)
class Core:
    """One core."""

    core_type: CoreType


@dataclass(frozen=True, eq=False)
class Cluster:
    """Cores that share an L1 path, by kind."""

    core_counts: Mapping[Core, int]

    def total_core_count(self) -> int:
        """Cores of all kinds."""
        return sum(self.core_counts.values())


@dataclass(frozen=True, eq=False)
class Die:
    """Clusters of a die, by kind."""

    cluster_counts: Mapping[Cluster, int]

    def total_cluster_count(self) -> int:
        """Clusters of all kinds."""
        return sum(self.cluster_counts.values())

    def total_core_count(self) -> int:
        """Cores of all clusters."""
        return sum(cluster.total_core_count() * count for cluster, count in self.cluster_counts.items())


@dataclass(frozen=True, eq=False)
class SoC:
    """Dies of a chip, by kind."""

    die_counts: Mapping[Die, int]

    def total_die_count(self) -> int:
        """Dies of all kinds."""
        return sum(self.die_counts.values())

    def total_cluster_count(self) -> int:
        """Clusters of all dies."""
        return sum(die.total_cluster_count() * count for die, count in self.die_counts.items())

    def total_core_count(self) -> int:
        """Cores of all dies."""
        return sum(die.total_core_count() * count for die, count in self.die_counts.items())


def _soc_910b() -> SoC:
    kinds = ((CoreType.CUBE, AIC_CORES), (CoreType.VECTOR, AIV_CORES))
    clusters = {Cluster(MappingProxyType({Core(kind): 1})): count for kind, count in kinds}
    return SoC(MappingProxyType({Die(MappingProxyType(clusters)): 1}))


class Backend:
    """A chip as the compiler sees it."""


class Backend910B(Backend):
    """a2a3."""

    soc = _soc_910b()

    @classmethod
    def instance(cls) -> Backend910B:
        """The chip; it has no state."""
        return cls()

    def get_type_name(self) -> str:
        """Its name."""
        return "910B"

    def get_core_count(self, core_type: CoreType) -> int:
        """Cores of a kind."""
        return AIC_CORES if core_type is CoreType.CUBE else AIV_CORES


class Backend950(Backend):
    """a5, which is not simulated."""

    @classmethod
    def instance(cls) -> Backend950:
        """Raises UnsupportedError."""
        raise UnsupportedError("pypto.backend.Backend950 (a5)", hint="use Backend910B")
