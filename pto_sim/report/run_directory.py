"""A run directory: whole, or marked incomplete.

The marker file INCOMPLETE is written before anything else and removed after everything else; each file appears
under its name only when it is complete. A full disk, a crash or Ctrl-C therefore never leaves a directory that
looks finished.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
from dataclasses import dataclass
from pathlib import Path

from ascend_model.timeline import HeapReading, Timeline
from pto_sim.lowering import LoweredProgram
from pto_sim.program import store
from pto_sim.program.errors import InputError
from pto_sim.program.model import Program
from pto_sim.report import scope_stats
from pto_sim.report.artifact_checks import PROGRAM, check_artifacts
from pto_sim.report.dfx.args_dump import ArgumentDump
from pto_sim.report.dfx.files import DfxRequest, write_dfx
from pto_sim.report.html import report_html
from pto_sim.report.model import RunReport, load_report
from pto_sim.report.trace import trace_json

MARKER = "INCOMPLETE"
DFX = "dfx_outputs"  # files that the runtime's own tools read
INNER = "kernel_"  # a further kernel of the same script has a directory of its own, kernel_N
BUILD = "build.json"  # of a kernel that was checked and not run
REPORT, TRACE, PAGE = "report.json", "trace.json", "report.html"


@dataclass(frozen=True)
class Artifacts:
    """Everything of one kernel run that goes into its directory; None is left out. dfx: what else the script asked for.

    scope_samples: the reading whose samples become scope_stats.jsonl. capacities_bytes, task_windows, dep_pools: of the
    four rings.
    """

    report: RunReport
    program: Program | None
    timeline: Timeline | None
    scope_samples: HeapReading | None
    capacities_bytes: tuple[int, ...]
    task_windows: tuple[int, ...] = scope_stats.TASK_WINDOWS
    dep_pools: tuple[int, ...] = scope_stats.DEP_POOLS
    lowered: LoweredProgram | None = None
    dfx: DfxRequest | None = None
    dump: ArgumentDump | None = None


def begin(directory: Path) -> None:
    """Create `directory`, mark it incomplete and drop what an earlier run left in it.

    Raises InputError: PTO032 if it holds files of something else, PTO033 if it cannot be written.
    """
    try:
        directory.mkdir(parents=True, exist_ok=True)
        names = {entry.name for entry in directory.iterdir()}
    except OSError as error:
        raise _not_writable(directory, error) from error
    if names and not names & {MARKER, REPORT, BUILD}:
        raise InputError(
            "PTO032",
            f"{directory} is not empty and is not a run directory",
            values=f"it holds {', '.join(sorted(names)[:5])}",
            hint="choose another --out directory",
        )
    write_text(directory / MARKER, "This run has not finished. Files here may be missing.\n")
    for name in (REPORT, PROGRAM, TRACE, PAGE):
        (directory / name).unlink(missing_ok=True)
    if (directory / DFX).exists():
        try:
            shutil.rmtree(directory / DFX)
        except OSError as error:  # what is left would be read as this run's
            raise _not_writable(directory / DFX, error) from error
    for inner in directory.glob(f"{INNER}*"):
        if (inner / REPORT).exists() or (inner / MARKER).exists():
            shutil.rmtree(inner)


def fill(directory: Path, artifacts: Artifacts) -> None:
    """Write every artifact of a run into `directory`, the report last. Raises InputError PTO033 or PTO044."""
    if artifacts.program is not None:
        store.save(artifacts.program, directory / PROGRAM)
    if artifacts.scope_samples is not None:
        fatal = artifacts.report.runtime_error is not None
        lines = scope_stats.scope_stats_lines(
            artifacts.scope_samples,
            artifacts.capacities_bytes,
            fatal=fatal,
            task_windows=artifacts.task_windows,
            dep_pools=artifacts.dep_pools,
        )
        write_text(directory / scope_stats.FILE_NAME, "\n".join(lines) + "\n")
    program, lowered, dfx = artifacts.program, artifacts.lowered, artifacts.dfx
    if dfx is not None and program is not None and lowered is not None:
        write_dfx(directory, dfx, program, lowered, artifacts.timeline, artifacts.dump, write_text)
    if artifacts.timeline is not None:
        write_text(directory / TRACE, trace_json(artifacts.timeline))
    page = report_html(artifacts.report, artifacts.timeline, artifacts.scope_samples)
    write_text(directory / PAGE, page)
    write_text(directory / REPORT, report_text(artifacts.report))


def interrupt(directory: Path, program: Program | None, finished: int) -> None:
    """Say in the marker how far a run came that was interrupted, and keep what its last kernel had recorded."""
    text = f"This run was interrupted. {finished} kernels had finished; each has a directory {INNER}N.\n"
    if program is not None:
        store.save(program, directory / PROGRAM)
        text += f"{PROGRAM} holds what {program.name} had recorded: {len(program.tasks)} complete tasks.\n"
    write_text(directory / MARKER, text)


def finish(directory: Path) -> None:
    """Remove the marker: the run is whole."""
    try:
        (directory / MARKER).unlink()
    except OSError as error:
        raise _not_writable(directory, error) from error


def open_finished(directory: Path) -> RunReport:
    """The report of a finished run.

    Raises InputError PTO034 for a run that is marked incomplete, or as `load_report` and `check_artifacts` do.
    """
    if (directory / MARKER).exists():
        raise InputError("PTO034", f"{directory} holds a run that did not finish", hint="run the script again")
    report = load_report(directory / REPORT)
    check_artifacts(directory)
    return report


def report_text(report: RunReport, others: list[RunReport] | None = None) -> str:
    """The text of `--json`. With several kernel runs, `runs` holds the report of each."""
    document = report.to_json()
    if others:
        document["runs"] = [other.to_json() for other in others]
    return json.dumps(document, indent=1, allow_nan=False) + "\n"


def write_text(path: Path, text: str) -> None:
    """Write a file that appears under its name only when complete. Raises InputError PTO033."""
    partial = path.with_name(path.name + ".partial")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with partial.open("w", encoding="utf-8", newline="\n") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())  # a full disk may be reported only here
        os.replace(partial, path)
    except OSError as error:
        with contextlib.suppress(OSError):  # the first error is the one to report
            partial.unlink()
        raise _not_writable(path, error) from error


def _not_writable(path: Path, error: OSError) -> InputError:
    return InputError(
        "PTO033",
        f"cannot write {path}",
        values=str(error.strerror or error),
        hint="free space, or choose another --out directory or --json file",
    )
