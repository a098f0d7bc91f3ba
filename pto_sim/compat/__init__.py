"""Upstream's import names, served by pto-sim while a script runs.

`served_names()` puts `pypto`, its documented submodules and `golden` into this process; nothing is installed.
May import golden and every package below it.
"""

from pto_sim.compat.importing import served_names

__all__ = ["served_names"]
