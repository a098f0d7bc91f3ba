"""Names that choose among alternatives: memories, pads, atomics, modes, levels, layouts."""

from __future__ import annotations

from pto_sim.program.alternatives import Alternatives

__all__ = [
    "AtomicType", "FunctionType", "Level", "Mem", "MemorySpace", "PadValue", "PipeType", "Role", "ScopeMode",
    "TensorLayout", "TileLayout",
]  # fmt: skip


class MemorySpace(metaclass=Alternatives):
    """On-chip memories, and GM as DDR."""

    DDR = "ddr"
    Vec = "vec"
    Mat = "mat"
    Left = "left"
    Right = "right"
    Acc = "acc"
    Bias = "bias"
    LeftScale = "left_scale"
    RightScale = "right_scale"


Mem = MemorySpace


class PadValue(metaclass=Alternatives):
    """What pl.fillpad writes outside the valid shape."""

    null = "null"
    zero = "zero"
    max = "max"
    min = "min"


class AtomicType(metaclass=Alternatives):
    """How a store combines with what is there."""

    None_ = "none"
    Add = "add"


class ScopeMode(metaclass=Alternatives):
    """Whether a scope's tasks are ordered by what they read and write, or by explicit dependencies only."""

    AUTO = "auto"
    MANUAL = "manual"


class PipeType(metaclass=Alternatives):
    """Pipes of a core."""

    MTE1 = "mte1"
    MTE2 = "mte2"
    MTE3 = "mte3"
    M = "m"
    V = "v"
    S = "s"
    FIX = "fix"
    ALL = "all"


class Level(metaclass=Alternatives):
    """Where a function or a `pl.at` runs."""

    AIV = "aiv"
    AIC = "aic"
    CORE_GROUP = "core_group"
    CHIP_DIE = "chip_die"
    CHIP = "chip"
    HOST = "host"
    CLUSTER_0 = "cluster_0"
    CLUSTER_1 = "cluster_1"
    CLUSTER_2 = "cluster_2"
    GLOBAL = "global"


class Role(metaclass=Alternatives):
    """What a function is within its level."""

    Orchestrator = "orchestrator"
    SubWorker = "sub_worker"
    Worker = "worker"


class FunctionType(metaclass=Alternatives):
    """What a `pl.function` becomes."""

    Opaque = "opaque"
    Orchestration = "orchestration"
    InCore = "incore"
    AIC = "aic"
    AIV = "aiv"
    Group = "group"
    Graph = "graph"
    Spmd = "spmd"
    Inline = "inline"


class TensorLayout(metaclass=Alternatives):
    """Layouts of a tensor in GM; only ND is modelled."""

    ND = "nd"
    DN = "dn"
    NZ = "nz"


class TileLayout(metaclass=Alternatives):
    """Layouts of a tile; values do not depend on them."""

    none_box = "none_box"
    row_major = "row_major"
    col_major = "col_major"
