"""The directory of a run that was started without the command line and must leave files behind."""

from __future__ import annotations

import time
from pathlib import Path

from pto_sim.backend import SessionResult, artifacts_of, report_of
from pto_sim.program.options import RunOptions
from pto_sim.report import run_directory

PARENT = "build_output"  # upstream's name for it, below the current directory


def create(kernel: str) -> Path:
    """A new run directory build_output/KERNEL_DATE_TIME, marked incomplete. Raises as run_directory.begin."""
    directory = unused(kernel)
    run_directory.begin(directory)
    return directory


def unused(kernel: str) -> Path:
    """A path build_output/KERNEL_DATE_TIME that does not exist."""
    stem = f"{kernel}_{time.strftime('%Y%m%d_%H%M%S')}"
    directory, count = Path(PARENT) / stem, 1
    while directory.exists():  # two runs of one kernel within a second
        directory, count = Path(PARENT) / f"{stem}_{count}", count + 1
    return directory


def finish(directory: Path, result: SessionResult, options: RunOptions) -> None:
    """Fill the directory with everything that the run gave and mark it whole."""
    options = result.run.options or options
    artifacts = artifacts_of(result, report_of(result, options), options)
    run_directory.fill(directory, artifacts)
    run_directory.finish(directory)
