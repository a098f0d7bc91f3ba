"""What the vendor's compiler rejects in a kernel's source, said before anything runs; and the lint."""

from pto_sim.frontend.legality.check import check_source, problems, style_problems
from pto_sim.frontend.legality.problem import Problem

__all__ = ["Problem", "check_source", "problems", "style_problems"]
