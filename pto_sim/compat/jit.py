"""`pypto.jit`: the decorator under its other name."""

from pto_sim.language.decorators import jit

__all__ = ["jit"]
