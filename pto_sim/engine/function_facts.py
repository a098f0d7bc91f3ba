"""What the source of a kernel function shows, for the engine that runs it."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import NamedTuple

from pto_sim.engine.declared import DeclaredValue
from pto_sim.engine.scalar_operands import ScalarOperand
from pto_sim.program.events import SourceNote


class FunctionFacts(NamedTuple):
    """What the engine must know about the function that is running.

    fills: lines of scalar writes that are one store of a constant: (iterations, axis). scalars: the type of the number
    that an operator of a line takes, where the source shows it. declared: what annotations say of the values of a line.
    """

    name: str
    auto_scope: bool
    lockstep: bool
    barriers: bool = False
    notes: tuple[SourceNote, ...] = ()
    fills: Mapping[int, tuple[int, int]] = MappingProxyType({})
    scalars: Mapping[tuple[int, str], ScalarOperand] = MappingProxyType({})
    declared: Mapping[int, DeclaredValue] = MappingProxyType({})
