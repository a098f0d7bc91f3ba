"""`python -m pto_sim.cli`: the command where the console script is not on the path."""

from pto_sim.cli.app import main

main()
