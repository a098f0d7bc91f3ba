"""`pto-sim run`: execute a script or module in a session, then report, write and judge what its kernels did."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import typer
from rich.console import Console

from pto_sim.backend import Session, SessionResult, artifacts_of, open_session, report_of, select
from pto_sim.cli.debugger import stop_display_on_breakpoint
from pto_sim.cli.script import ScriptEnd, check_script, execute, execute_module
from pto_sim.cli.status import FAILED, USAGE
from pto_sim.compat.run_tally import RunTally
from pto_sim.program.errors import InputError, Interrupted, PtoError
from pto_sim.program.model import Program
from pto_sim.program.options import RunOptions
from pto_sim.report import run_directory
from pto_sim.report.model import RunReport
from pto_sim.report.progress import LiveProgress
from pto_sim.report.terminal import print_reports


def run_script(script: Path, argv: list[str], options: RunOptions) -> None:
    """Run `script` and exit with its status (typer.Exit); raises InputError for a script or option that is no use."""
    check_script(script)
    select(options.backend)
    if options.json_path is not None:
        _forget(options.json_path)
    if options.out_dir is not None:
        run_directory.begin(options.out_dir)
    with (
        LiveProgress(Console(stderr=True)) as progress,
        stop_display_on_breakpoint(progress.stop),
        open_session(options, progress) as session,
    ):
        try:
            end, error = _execute(script, argv, session)
        except KeyboardInterrupt as stop:
            _keep(session.results, stop.program if isinstance(stop, Interrupted) else None, options)
            raise
    reports = [report_of(result, options) for result in session.results]
    print_reports(reports, Console())
    if reports:
        _write(session.results, reports, options)
    if error is not None:
        raise error
    raise typer.Exit(_status(script, argv, session, reports, end))


def run_module(name: str, argv: list[str], options: RunOptions) -> None:
    """Run a module such as pytest and exit with its status (typer.Exit).

    Its kernel runs are counted, and reported in full only in the files that --out and --json name.
    """
    select(options.backend)
    files = options.out_dir is not None or options.json_path is not None
    if options.json_path is not None:
        _forget(options.json_path)
    if options.out_dir is not None:
        run_directory.begin(options.out_dir)
    kept = options if files else replace(options, timing=False)
    with open_session(kept, session=None if files else RunTally(kept)) as session:
        end = execute_module(name, argv, options.seed)
    tally = session if isinstance(session, RunTally) else RunTally.of(session)
    typer.echo(tally.line(), err=True)
    if session.results:
        _write(session.results, [report_of(result, options) for result in session.results], options)
    if end.error:
        typer.echo(end.error, err=True)
    raise typer.Exit(end.status or (FAILED if tally.failed else 0))


def _execute(script: Path, argv: list[str], session: Session) -> tuple[ScriptEnd, PtoError | None]:
    """Run the script; a runtime fault that the session has recorded is a result, not an error."""
    try:
        return execute(script, argv, session.options.seed), None
    except PtoError as error:
        if any(result.run.fault is error for result in session.results):
            return ScriptEnd(FAILED, ""), None
        return ScriptEnd(FAILED, ""), error


def _write(results: list[SessionResult], reports: list[RunReport], options: RunOptions) -> None:
    """The run directory and the JSON file. The deciding run comes first, others get a directory of their own inside."""
    order = sorted(range(len(reports)), key=lambda i: (reports[i].passed, -i))  # a failed one, else the last
    if options.out_dir is not None:
        for place, i in enumerate(order):
            directory = options.out_dir if place == 0 else options.out_dir / f"{run_directory.INNER}{i + 1}"
            if place > 0:
                run_directory.begin(directory)
            run_directory.fill(directory, artifacts_of(results[i], reports[i], options))
            if place > 0:
                run_directory.finish(directory)
        run_directory.finish(options.out_dir)
        typer.echo(f"run directory: {options.out_dir}")
    if options.json_path is not None:
        others = reports if len(reports) > 1 else None
        run_directory.write_text(options.json_path, run_directory.report_text(reports[order[0]], others))


def _keep(results: list[SessionResult], program: Program | None, options: RunOptions) -> None:
    """After Ctrl-C: finished kernels whole, each in a directory inside; the run directory stays marked incomplete."""
    if options.out_dir is None:
        return
    for number, result in enumerate(results, 1):
        directory = options.out_dir / f"{run_directory.INNER}{number}"
        run_directory.begin(directory)
        run_directory.fill(directory, artifacts_of(result, report_of(result, options), options))
        run_directory.finish(directory)
    run_directory.interrupt(options.out_dir, program, len(results))


def _status(script: Path, argv: list[str], session: Session, reports: list[RunReport], end: ScriptEnd) -> int:
    """The exit status, after saying why it is not 0 where no report says it."""
    if end.error:
        typer.echo(end.error, err=True)
    if not all(report.passed for report in reports):
        return FAILED
    if end.status != 0:
        if not end.error:
            typer.echo(f"the script ended with status {end.status}", err=True)
        return USAGE if end.status == USAGE else FAILED
    if not reports and not session.compiled and not {"-h", "--help"} & set(argv):
        raise InputError(
            "PTO052",
            f"{script} ran no kernel",
            hint="call a @pl.jit function, or golden.run_jit, when the script is run as __main__",
        )
    return 0


def _forget(path: Path) -> None:
    """Remove an older JSON file, so that a failed run does not leave it to be read as this run's."""
    try:
        path.unlink(missing_ok=True)
    except OSError as error:
        raise InputError(
            "PTO033", f"cannot write {path}", values=str(error.strerror), hint="name another --json file"
        ) from error
