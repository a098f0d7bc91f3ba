"""Findings over a running or recorded program. A check subscribes to the engine's events; it changes nothing.

May import program and numerics. The engine knows checks only as `program.events.Observer`s.
"""

from pto_sim.checks.barriers import Barriers
from pto_sim.checks.block_races import BlockRaces
from pto_sim.checks.catalogue import CATALOGUE, FindingKind
from pto_sim.checks.check import Check
from pto_sim.checks.core_races import CoreRaces
from pto_sim.checks.dropped import DroppedWrites
from pto_sim.checks.early_resolve import EarlyResolve
from pto_sim.checks.false_edges import FalseEdges
from pto_sim.checks.inputs import InputWrites
from pto_sim.checks.lifetimes import RecycledBlocks
from pto_sim.checks.outputs import OutputCoverage
from pto_sim.checks.parting import ProfileParting
from pto_sim.checks.predicates import StalePredicates
from pto_sim.checks.scope_layout import ScopeLayout
from pto_sim.checks.scratch import ScratchUse
from pto_sim.checks.suppressions import suppress
from pto_sim.checks.task_races import TaskRaces
from pto_sim.checks.trimmed import TrimmedWindows
from pto_sim.checks.undefined import UndefinedIndices
from pto_sim.checks.unwritten import UnwrittenReads

__all__ = ["CATALOGUE", "Check", "FindingKind", "new_checks", "suppress"]


def new_checks() -> list[Check]:
    """One fresh instance of every check, for one run."""
    return [
        OutputCoverage(),
        InputWrites(),
        ScratchUse(),
        UnwrittenReads(),
        DroppedWrites(),
        UndefinedIndices(),
        ProfileParting(),
        TrimmedWindows(),
        TaskRaces(),
        BlockRaces(),
        CoreRaces(),
        RecycledBlocks(),
        StalePredicates(),
        Barriers(),
        FalseEdges(),
        ScopeLayout(),
        EarlyResolve(),
    ]
