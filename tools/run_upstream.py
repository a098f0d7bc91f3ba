"""Run the scripts of a pypto-lib checkout, unmodified, and print a Markdown table of what they gave.

    python tools/run_upstream.py CHECKOUT [FOLDER_OR_SCRIPT ...] [--timeout S] [--table FILE]

Each script runs in a process of its own as `pto-sim run SCRIPT -p a2a3`, with the checkout's root on PYTHONPATH.
A file without a `__main__` part is a library and is left out.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

FOLDERS = ("examples", "models/deepseek_v4_flash_mtp")


@dataclass(frozen=True)
class Outcome:
    """One script; wall_s: host seconds of the whole process.

    status: 'pass', 'fail', 'finding', 'not modelled', 'several cards', 'timeout'.
    """

    script: str
    status: str
    wall_s: float
    reason: str

    def row(self) -> str:
        """A row of the Markdown table."""
        return f"| `{self.script}` | {self.status} | {self.wall_s:.1f} | {self.reason.replace('|', '/')} |"


def scripts_of(checkout: Path, places: list[str]) -> Iterator[Path]:
    """The files with a `__main__` part in the given folders, in order of name."""
    for place in places:
        path = checkout / place
        for file in sorted(path.rglob("*.py")) if path.is_dir() else [path]:
            if re.search(r"^if __name__ ==", file.read_text(encoding="utf-8"), re.MULTILINE):
                yield file


def run_script(checkout: Path, script: Path, timeout_s: float, extra: list[str]) -> Outcome:
    """Run one script and read its outcome from its exit status and output; one for several cards is not started."""
    if re.search(r"^@pl\.jit\.host", script.read_text(encoding="utf-8"), re.MULTILINE):
        return Outcome(str(script.relative_to(checkout)), "several cards", 0.0, "its entry is a pl.jit.host")
    command = [shutil.which("pto-sim") or "pto-sim", "run", str(script), "-p", "a2a3", *extra]
    begin = time.perf_counter()
    name = str(script.relative_to(checkout))
    environment = {**os.environ, "PYTHONPATH": str(checkout)}
    try:
        end = subprocess.run(
            command, cwd=checkout, env=environment, capture_output=True, text=True, timeout=timeout_s, check=False
        )
    except subprocess.TimeoutExpired:
        return Outcome(name, "timeout", timeout_s, f"stopped after {timeout_s:g} s")
    wall_s = time.perf_counter() - begin
    text = end.stdout + end.stderr
    if end.returncode == 0:
        return Outcome(name, "pass", wall_s, "")
    status = "not modelled" if "PTO001" in text else "finding" if re.search(r"PTO(203|40\d)", text) else "fail"
    return Outcome(name, status, wall_s, _reason(text, str(checkout) + os.sep))


def _reason(text: str, prefix: str) -> str:
    """The line that says why: the last error of pto-sim, else the last line that names an error."""
    lines = [line.strip().replace(prefix, "") for line in text.splitlines() if line.strip()]
    for pattern in (r"^error:|PTO\d{3}", r"Error\b|[Ff]ailed|mismatch"):
        found = [line for line in lines if re.search(pattern, line)]
        if found:
            return found[-1][:240]
    return lines[-1][:240] if lines else "no output"


def main() -> int:
    """Run what the command line names; the exit status is 1 if a script did not pass."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("checkout", type=Path)
    parser.add_argument("places", nargs="*", default=list(FOLDERS))
    parser.add_argument("--timeout", type=float, default=600.0, metavar="S")
    parser.add_argument("--table", type=Path, help="write the table to this file too")
    parser.add_argument("--extra", default="", help="arguments for every script, in one string")
    args = parser.parse_args()
    outcomes = []
    lines = ["| script | status | wall, s | reason |", "|---|---|---|---|"]
    print("\n".join(lines), flush=True)
    for script in scripts_of(args.checkout.resolve(), args.places):
        outcome = run_script(args.checkout.resolve(), script, args.timeout, args.extra.split())
        outcomes.append(outcome)
        lines.append(outcome.row())
        print(outcome.row(), flush=True)
    if args.table is not None:
        args.table.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return 0 if all(outcome.status == "pass" for outcome in outcomes) else 1


if __name__ == "__main__":
    sys.exit(main())
