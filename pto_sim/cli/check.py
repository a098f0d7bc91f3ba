"""`pto-sim check`: static legality of a script's kernels, then the findings of its run, and nothing else."""

from __future__ import annotations

from pathlib import Path

import typer
from rich.console import Console

from pto_sim.backend import SessionResult, open_session
from pto_sim.cli.lint import file_problems, show_problems
from pto_sim.cli.script import execute
from pto_sim.cli.status import FAILED
from pto_sim.frontend.legality import STYLE_CODES, TRAPS
from pto_sim.program.options import RunOptions
from pto_sim.report.progress import LiveProgress


def check_file(script: Path, argv: list[str]) -> None:
    """Print the problems of the source and the findings of the run; exit status 1 for a problem or a finding `error`.

    What only older compilers rejected is shown and does not fail; style is for `pto-sim lint`. Raises KernelError for
    what the run rejects. A comparison with a golden that fails is no finding.
    """
    shown = [item for item in file_problems(script) if item.code in TRAPS or item.code not in STYLE_CODES]
    show_problems(script, shown)
    problems = [item for item in shown if item.code not in TRAPS]
    options = RunOptions()
    with LiveProgress(Console(stderr=True)) as progress, open_session(options, progress) as session:
        end = execute(script, argv, None)
    errors = sum(_show_findings(result) for result in session.results)
    if end.error and not session.results:
        typer.echo(end.error, err=True)
    if problems or errors or (end.error and not session.results):
        raise typer.Exit(FAILED)
    if not shown and not any(result.run.findings for result in session.results):
        typer.echo(f"{script}: no problems, no findings in {len(session.results)} kernel runs")


def _show_findings(result: SessionResult) -> int:
    """Print the findings of one run; how many of them are errors."""
    for finding in result.run.findings:
        typer.echo(f"{finding.site}: {finding.code} {finding.severity}: {finding.title}: {finding.message}")
        typer.echo(f"  instead: {finding.hint}")
    return sum(finding.severity == "error" for finding in result.run.findings)
