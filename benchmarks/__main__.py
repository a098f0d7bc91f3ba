"""`python -m benchmarks [NAME...] [--json FILE]`: run the benchmarks, all of them by default."""

from __future__ import annotations

from benchmarks.single_thread import pin

pin()

import argparse
import json
import platform
from importlib import import_module
from pathlib import Path

BENCHMARKS = ("matmul", "dispatch", "attention", "kernels", "graph")
# Run when named only: they take some twenty minutes each.
LONG = ("exhaustive_fp32", "dsv4", "decode_fwd")


def main() -> None:
    """Run what the command line names."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument(
        "names", nargs="*", metavar="NAME", help=f"{', '.join(BENCHMARKS)} (default: all of them), {', '.join(LONG)}"
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures here as well")
    arguments = parser.parse_args()
    unknown = sorted(set(arguments.names) - {*BENCHMARKS, *LONG})
    if unknown:
        parser.error(f"no benchmark called {', '.join(unknown)}; there are {', '.join((*BENCHMARKS, *LONG))}")
    figures = {}
    for name in arguments.names or BENCHMARKS:
        figures[name] = import_module(f"benchmarks.{name}").main()
        print()
    if arguments.json:
        host = {"python": platform.python_version(), "machine": platform.machine(), "system": platform.system()}
        arguments.json.write_text(json.dumps({"host": host, "figures": figures}, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
