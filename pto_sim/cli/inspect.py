"""`pto-sim report` and `pto-sim compare`: finished runs, read back from their directories."""

from __future__ import annotations

from pathlib import Path

import typer
from rich.console import Console

from pto_sim.cli.status import FAILED
from pto_sim.report import run_directory
from pto_sim.report.compare import compare_runs, print_comparison
from pto_sim.report.html import report_html
from pto_sim.report.model import RunReport, load_report
from pto_sim.report.terminal import print_report


def show_report(directory: Path) -> None:
    """Print the tables of a finished run; write its page again if it is missing."""
    report = run_directory.open_finished(directory)
    print_report(report, Console())
    page = directory / run_directory.PAGE
    if not page.exists():
        run_directory.write_text(page, report_html(report))
    for path in (page, directory / run_directory.TRACE):
        if path.exists():
            typer.echo(str(path))
    if not report.passed:
        raise typer.Exit(FAILED)


def show_comparison(left: Path, right: Path) -> None:
    """Print what differs between two runs; exit status 1 if an output does."""
    comparison = compare_runs(_report(left), _report(right))
    names = (left.name, right.name) if left.name != right.name else (str(left), str(right))
    print_comparison(comparison, names, Console())
    if not comparison.same_bits:
        raise typer.Exit(FAILED)


def _report(path: Path) -> RunReport:
    """The report of a run directory, or of a file that `--json` wrote."""
    return load_report(path) if path.is_file() else run_directory.open_finished(path)
