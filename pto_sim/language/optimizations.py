"""`pl.optimizations`: the entries of optimizations= under their long names. None changes a value."""

from __future__ import annotations

from pto_sim.engine.launches import Optimization as Optimization
from pto_sim.language.statements import cross_core_slot as cross_core_slot
from pto_sim.language.statements import split as split
