"""Run the scripts of a pypto-lib checkout, unmodified, and print a Markdown table of what they gave.

    python tools/run_upstream.py CHECKOUT [FOLDER_OR_SCRIPT ...] [--timeout S] [--table FILE] [--out FOLDER]

Each script runs in a process of its own as `pto-sim run SCRIPT -p a2a3`, with the checkout's root on PYTHONPATH.
A file without a `__main__` part is a library and is left out. --out keeps the run directory of each script as
FOLDER/<its path below `models`, joined by underscores>, the form that the tools that compare with records read.
"""

from __future__ import annotations

import argparse
import ast
import os
import re
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

FOLDERS = ("examples", "models")


@dataclass(frozen=True)
class Outcome:
    """One script; wall_s, peak_gib: host seconds and resident memory of the whole process.

    status: 'pass', 'fail', 'finding', 'not modelled', 'several cards', 'a5', 'ring heap', 'timeout'.
    """

    script: str
    status: str
    wall_s: float
    reason: str
    peak_gib: float = 0.0

    def row(self) -> str:
        """A row of the Markdown table."""
        reason = self.reason.replace("|", "/")
        return f"| `{self.script}` | {self.status} | {self.wall_s:.1f} | {self.peak_gib:.1f} | {reason} |"


def scripts_of(checkout: Path, places: list[str]) -> Iterator[Path]:
    """The files with a `__main__` part in the given folders, in order of name."""
    for place in places:
        path = checkout / place
        for file in sorted(path.rglob("*.py")) if path.is_dir() else [path]:
            if re.search(r"^if __name__ ==", file.read_text(encoding="utf-8"), re.MULTILINE):
                yield file


def run_name(script: Path, checkout: Path) -> str:
    """The name of a script's run directory: 'deepseek_v4_flash_mtp_gate', 'examples_beginner_matmul'."""
    return "_".join(script.relative_to(checkout).with_suffix("").parts).removeprefix("models_")


def run_script(checkout: Path, script: Path, timeout_s: float, extra: list[str], out: Path | None) -> Outcome:
    """Run one script and read its outcome from status and output; one whose entry is a pl.jit.host is not started."""
    host = _host_entry(script.read_text(encoding="utf-8"))
    if host is not None:
        return Outcome(str(script.relative_to(checkout)), "several cards", 0.0, f"its entry {host} is a pl.jit.host")
    files = [] if out is None else ["--out", str(out.resolve() / run_name(script, checkout))]
    program = shutil.which("pto-sim") or str(Path(sys.executable).with_name("pto-sim"))
    command = [program, "run", *files, str(script), "-p", "a2a3", *extra]
    begin = time.perf_counter()
    name = str(script.relative_to(checkout))
    code, text, peak_gib = _run_measured(command, checkout, timeout_s)
    wall_s = time.perf_counter() - begin
    if code is None:
        return Outcome(name, "timeout", wall_s, f"stopped after {timeout_s:g} s", peak_gib)
    if code == 0:
        return Outcome(name, "pass", wall_s, "", peak_gib)
    return Outcome(name, _failure(text), wall_s, _reason(text, str(checkout) + os.sep), peak_gib)


def _host_entry(source: str) -> str | None:
    """The function that a script hands to the harness, if it has only host functions: entries of several cards.

    A script makes its inputs before the harness sees the entry, several GiB for some: so the entry is read from the
    text, also through names that it is assigned to (`host_fn = l3_layer`, then `fn=host_fn`).
    """
    hosts: set[str] = set()
    aliases: dict[str, list[str]] = {}
    entries: list[str] = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.FunctionDef):
            if any(_is_host(decorator) for decorator in node.decorator_list):
                hosts.add(node.name)
        elif isinstance(node, ast.Assign) and isinstance(node.value, ast.Name):
            for target in node.targets:
                if isinstance(target, ast.Name):
                    aliases.setdefault(target.id, []).append(node.value.id)
        elif isinstance(node, ast.Call):
            entries += [k.value.id for k in node.keywords if k.arg == "fn" and isinstance(k.value, ast.Name)]
    names = [name for entry in entries for name in aliases.get(entry, [entry])]
    return names[0] if names and hosts.issuperset(names) else None


def _is_host(decorator: ast.expr) -> bool:
    """Whether a decorator is `pl.jit.host`, with or without arguments."""
    called = decorator.func if isinstance(decorator, ast.Call) else decorator
    return ast.unparse(called) == "pl.jit.host"


def _failure(text: str) -> str:
    """The status of a script that did not pass, from what it printed."""
    if re.search(r"PTO001.*(pl\.jit\.host|pld\.|distributed|resident='stacked')", text):
        return "several cards"
    if "PTO001" in text:
        return "not modelled"
    if re.search(r"invalid choice: 'a2a3'", text):
        return "a5"
    if re.search(r"^\W*PTO902:", text, re.MULTILINE):  # in a line of its own, or in the frame of a report
        return "ring heap"
    return "finding" if re.search(r"PTO(101|203|40\d|43\d)", text) else "fail"


def _run_measured(command: list[str], checkout: Path, timeout_s: float) -> tuple[int | None, str, float]:
    """Exit status (None: stopped), output and peak resident GiB of a process that has `checkout` on its path."""
    paths = [str(checkout), *filter(None, [os.environ.get("PYTHONPATH")])]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(paths)}
    with tempfile.TemporaryFile("w+", encoding="utf-8") as output:
        process = subprocess.Popen(command, cwd=checkout, env=environment, stdout=output, stderr=subprocess.STDOUT)
        stop = threading.Timer(timeout_s, process.kill)
        stop.start()
        _, status, usage = os.wait4(process.pid, 0)
        stopped = not stop.is_alive()
        stop.cancel()
        process.returncode = os.waitstatus_to_exitcode(status)
        output.seek(0)
        return None if stopped else process.returncode, output.read(), usage.ru_maxrss / 2**20


def _reason(text: str, prefix: str) -> str:
    """The line that says why: the last error of pto-sim or of the script's arguments, else one that names an error.

    Rows of a report's tables are the last resort: they list warnings too, which are no reason to fail.
    """
    lines = [line.strip().replace(prefix, "") for line in text.splitlines() if line.strip()]
    for pattern in (r"^error:|^PTO\d{3}:", r": error: ", r"PTO\d{3}", r"Error\b|[Ff]ailed|mismatch"):
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
    parser.add_argument("--out", type=Path, metavar="FOLDER", help="keep the run directories here")
    parser.add_argument("--extra", default="", help="arguments for every script, in one string")
    args = parser.parse_args()
    outcomes = []
    lines = ["| script | status | wall, s | peak, GiB | reason |", "|---|---|---|---|---|"]
    print("\n".join(lines), flush=True)
    for script in scripts_of(args.checkout.resolve(), args.places):
        outcome = run_script(args.checkout.resolve(), script, args.timeout, args.extra.split(), args.out)
        outcomes.append(outcome)
        lines.append(outcome.row())
        print(outcome.row(), flush=True)
    if args.table is not None:
        args.table.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return 0 if all(outcome.status == "pass" for outcome in outcomes) else 1


if __name__ == "__main__":
    sys.exit(main())
