"""Run the system tests of a pypto checkout, unmodified, and print a Markdown table of what they gave.

    python tools/run_upstream_tests.py CHECKOUT [FOLDER_OR_FILE ...] [--timeout S] [--memory-gib G] [--table FILE]

Each file runs in a process of its own as `pto-sim run -m pytest FILE --platform a2a3sim`, with the checkout's own
conftest.py and harness; a file of which that selects no test runs as `a2a3sim,a2a3`, which adds the tests for hardware.
A file that exceeds the time or memory is stopped, with the processes that it started.
"not modelled" counts tests that end in PTO001, the error that names what pto-sim does not model. The folder
tests/st/codegen reads the text that the compiler generates and is left out, unless it is named.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

FOLDERS = ("tests/st/harness", "tests/st/examples", "tests/st/runtime", "tests/st/distributed")
POLL_S = 0.2
SIMULATED = "a2a3sim"
DEVICES = "0-7"  # tests of several cards skip themselves on fewer
PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
HEAD = "\n".join(
    (
        "| file | passed | failed | not modelled | skipped | wall, s | reason of the first failure |",
        "|---|---|---|---|---|---|---|",
    )
)


@dataclass
class Outcome:
    """What the tests of one file gave. stopped: why the file was stopped before its end, or gave no results."""

    file: str
    passed: int = 0
    failed: int = 0
    not_modelled: int = 0
    skipped: int = 0
    wall_s: float = 0.0
    reason: str = ""
    stopped: str = ""

    @property
    def tests(self) -> int:
        """How many tests ran."""
        return self.passed + self.failed + self.not_modelled + self.skipped

    def row(self) -> str:
        """A row of the Markdown table."""
        reason = (self.stopped or self.reason).replace("|", "/")
        counts = f"{self.passed} | {self.failed} | {self.not_modelled} | {self.skipped}"
        return f"| `{self.file}` | {counts} | {self.wall_s:.0f} | {reason} |"


def test_files(checkout: Path, places: list[str]) -> Iterator[Path]:
    """The test files in the given folders, in order of name; those of the harness itself are left out."""
    for place in places:
        path = checkout / place
        for file in sorted(path.rglob("test_*.py")) if path.is_dir() else [path]:
            if file.name != "test_runner.py":
                yield file


def run_file(checkout: Path, file: Path, platform: str, limits: tuple[float, float], extra: list[str]) -> Outcome:
    """Run the tests of one file and read their results. limits: seconds and bytes of memory."""
    outcome = Outcome(str(file.relative_to(checkout)))
    with tempfile.TemporaryDirectory(prefix="upstream_tests_") as directory:
        results = Path(directory) / "results.xml"
        log = Path(directory) / "log.txt"
        program = shutil.which("pto-sim") or str(Path(sys.executable).with_name("pto-sim"))
        command = [program, "run", "-m", "pytest", str(file), "--platform", platform,
                   "--device", DEVICES, "-q", "--tb=short", "-p", "no:cacheprovider", f"--junitxml={results}",
                   *extra]  # fmt: skip
        begin = time.perf_counter()
        with log.open("w") as output:
            process = subprocess.Popen(
                command, cwd=checkout, stdout=output, stderr=subprocess.STDOUT, start_new_session=True
            )
            outcome.stopped = _wait(process, begin + limits[0], limits[1])
        outcome.wall_s = time.perf_counter() - begin
        if results.is_file():
            _count(outcome, results, str(checkout) + os.sep)
        elif not outcome.stopped:
            outcome.stopped = _last_line(log.read_text(encoding="utf-8", errors="replace"))
    return outcome


def _wait(process: subprocess.Popen[bytes], deadline: float, memory_bytes: float) -> str:
    """Wait for the end; why the process was stopped, '' if it was not."""
    while process.poll() is None:
        used = _resident_bytes(process.pid)
        if time.perf_counter() > deadline or used > memory_bytes:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            return "stopped: out of time" if used <= memory_bytes else f"stopped: {used / 2**30:.1f} GiB of memory"
        time.sleep(POLL_S)
    return f"stopped by signal {-process.returncode}" if process.returncode < 0 else ""


def _resident_bytes(pid: int) -> int:
    """Resident memory of a process; 0 where the system has no /proc, so that only time is bounded there."""
    try:
        return int(Path(f"/proc/{pid}/statm").read_text(encoding="ascii").split()[1]) * PAGE_BYTES
    except (OSError, IndexError, ValueError):
        return 0


def _count(outcome: Outcome, results: Path, prefix: str) -> None:
    """Add up a JUnit file."""
    unmodelled = ""
    for case in ElementTree.parse(results).getroot().iter("testcase"):
        problem = next((part for kind in ("failure", "error") for part in case.findall(kind)), None)
        if case.find("skipped") is not None:
            outcome.skipped += 1
        elif problem is None:
            outcome.passed += 1
        else:
            text = f"{problem.get('message') or ''}\n{problem.text or ''}".replace(prefix, "")
            if "PTO001" in text:
                outcome.not_modelled += 1
                unmodelled = unmodelled or _reason(text)
            else:
                outcome.failed += 1
                outcome.reason = outcome.reason or _reason(text)
    outcome.reason = outcome.reason or unmodelled


def _reason(text: str) -> str:
    """The line that says why: the first error of pto-sim, else the first line that names an error."""
    lines = [re.sub(r"^E?\s+", "", line).strip() for line in text.splitlines() if line.strip()]
    for pattern in (r"PTO\d{3}", r"does not serve", r"Mismatched|does not match", r"Error\b|assert|failed"):
        found = [line for line in lines if re.search(pattern, line)]
        if found:
            return found[0][:200]
    return lines[0][:200] if lines else "no message"


def _last_line(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1][:200] if lines else "no output"


def main() -> int:
    """Run what the command line names; the exit status is 1 if a test failed or a file was stopped."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("checkout", type=Path)
    parser.add_argument("places", nargs="*", default=list(FOLDERS))
    parser.add_argument("--timeout", type=float, default=600.0, metavar="S", help="seconds for each file [600]")
    parser.add_argument("--memory-gib", type=float, default=6.0, metavar="G", help="memory for each file [6]")
    parser.add_argument("--table", type=Path, help="write the table to this file too")
    parser.add_argument("--platform", default="a2a3sim", help="platforms of the tests, comma-separated [a2a3sim]")
    parser.add_argument("--extra", default="", help="arguments of pytest for every file, in one string")
    args = parser.parse_args()
    checkout, outcomes, lines = args.checkout.resolve(), [], [HEAD]
    print(HEAD, flush=True)
    for file in test_files(checkout, args.places):
        limits = args.timeout, args.memory_gib * 2**30
        outcome = run_file(checkout, file, args.platform, limits, args.extra.split())
        if not outcome.stopped and outcome.tests == 0 and args.platform == SIMULATED:
            # Tests that upstream runs on hardware only; the simulator stands for both.
            outcome = run_file(checkout, file, f"{SIMULATED},a2a3", limits, args.extra.split())
        outcomes.append(outcome)
        lines.append(outcome.row())
        print(outcome.row(), flush=True)
    total = Outcome("all files")
    for name in ("passed", "failed", "not_modelled", "skipped", "wall_s"):
        setattr(total, name, sum(getattr(outcome, name) for outcome in outcomes))
    print(total.row(), flush=True)
    if args.table is not None:
        args.table.write_text("\n".join([*lines, total.row()]) + "\n", encoding="utf-8")
    return 1 if any(outcome.failed or outcome.stopped for outcome in outcomes) else 0


if __name__ == "__main__":
    sys.exit(main())
