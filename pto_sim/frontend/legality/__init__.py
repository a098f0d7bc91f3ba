"""What the vendor's compiler rejects in a kernel's source, said before anything runs; and the lint."""

from pto_sim.frontend.legality.check import STYLE_CODES, TRAPS, check_source, problems, raise_first, style_problems
from pto_sim.frontend.legality.module import module_problems
from pto_sim.frontend.legality.problem import Problem
from pto_sim.frontend.legality.surroundings import Callee, Surroundings, callee_of

__all__ = [
    "STYLE_CODES",
    "TRAPS",
    "Callee",
    "Problem",
    "Surroundings",
    "callee_of",
    "check_source",
    "module_problems",
    "problems",
    "raise_first",
    "style_problems",
]
