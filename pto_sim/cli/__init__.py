"""The `pto-sim` command. Each command imports what it needs when it runs, so that `--help` is quick.

May import every other package of pto_sim.
"""

from pto_sim.cli.app import main

__all__ = ["main"]
