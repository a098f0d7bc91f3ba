"""Read the files of a run with the runtime's own tools, and print what each said.

    python tools/read_with_simpler.py SIMPLER_CHECKOUT RUN_DIRECTORY

RUN_DIRECTORY is what `pto-sim run --out` or a script with --enable-... flags left. Each tool of simpler
(`simpler_setup.tools`) runs in a process of its own and is skipped if its file is missing. Exit status 1 if one fails.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

READERS = (
    ("deps_viewer", "deps.json", ["-o", "{out}/deps.txt"]),
    ("swimlane_converter", "chip_swimlane_records.json", ["-o", "{out}/merged.json"]),
    ("critical_path", "", ["--stdout"]),
    ("scope_stats_plot", "scope_stats/scope_stats.jsonl", ["--out-dir", "{out}"]),
    ("dump_viewer", "args_dump", []),
)


def main() -> int:
    if len(sys.argv) != 3:
        print(__doc__, file=sys.stderr)
        return 2
    checkout, files = Path(sys.argv[1]).resolve(), Path(sys.argv[2]).resolve() / "dfx_outputs"
    failed = 0
    for tool, name, rest in READERS:
        target = files / name
        needed = target if name else files / "chip_swimlane_records.json"
        if not needed.exists():
            print(f"-- {tool}: no {needed.name}")
            continue
        with tempfile.TemporaryDirectory() as out:
            command = [sys.executable, "-m", f"simpler_setup.tools.{tool}", str(target)]
            command += [part.format(out=out) for part in rest]
            environment = {**os.environ, "PYTHONPATH": str(checkout / "python")}
            done = subprocess.run(command, cwd=checkout, env=environment, capture_output=True, text=True)
        failed += done.returncode != 0
        print(f"== {tool}: {'reads it' if done.returncode == 0 else f'fails with {done.returncode}'}")
        print(done.stdout if done.returncode == 0 else done.stderr)
    return 1 if failed else 0


if __name__ == "__main__":
    raise SystemExit(main())
