"""Commands and options of `pto-sim`, as the command line shows them. What a command does is in its own module."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Optional

import typer

from pto_sim import __version__
from pto_sim.cli.module_option import ModuleCommand
from pto_sim.cli.status import exit_status

# Without rich mark-up: importing it would double the time of `pto-sim --help`.
app = typer.Typer(
    name="pto-sim",
    help="Run PyPTO kernels on this machine: exact bits, ring heaps to the byte, and a cycle model of the chip.",
    epilog="Exit status: 0 passed; 1 a comparison, a finding or the runtime failed the run; 2 usage or input error.",
    no_args_is_help=True,
    rich_markup_mode=None,
    add_completion=False,
)

# typer reads these annotations at run time, and its unions must be Optional on Python 3.10.
Chip = Annotated[
    str, typer.Option("--chip", metavar="NAME|FILE", help="Chip variant or TOML file (see `pto-sim chips`).")
]
Numerics = Annotated[str, typer.Option("--numerics", metavar="NAME", help="a2a3, cpu-sim, or fast (not bit-exact).")]
ProfileDiff = Annotated[
    bool, typer.Option("--profile-diff", help="Report the first op whose result the other profile does not have.")
]
Out = Annotated[Optional[Path], typer.Option("--out", metavar="DIR", help="Run directory for all reports.")]  # noqa: UP045
Json = Annotated[Optional[Path], typer.Option("--json", metavar="FILE", help="Write the report as JSON.")]  # noqa: UP045
FailOn = Annotated[
    Optional[str],  # noqa: UP045
    typer.Option(
        "--fail-on", metavar="CODES", help="Findings that fail the run: codes, a severity, or 'none' [error]."
    ),
]
NoChecks = Annotated[bool, typer.Option("--no-checks", help="Look for no findings: races, lifetimes, outputs.")]
NoTiming = Annotated[bool, typer.Option("--no-timing", help="Skip the cycle model.")]
Seed = Annotated[
    Optional[int],  # noqa: UP045
    typer.Option(
        "--seed", metavar="N", help="Seed of the inputs, and of each generator that the script leaves unseeded."
    ),
]
Scopes = Annotated[str, typer.Option("--scopes", metavar="written|flat|auto", help="How scopes are placed.")]
Hoist = Annotated[str, typer.Option("--hoist", metavar="NAME,...", help="Scratch tensors to declare at the frame.")]
RingHeap = Annotated[
    Optional[str],  # noqa: UP045
    typer.Option(
        "--ring-heap", metavar="N[,N,N,N]", help="Bytes of the ring heaps; K, M, G are binary [the script's, or 256M]."
    ),
]
PipeSlots = Annotated[
    str, typer.Option("--pipe-slots", metavar="current|seed", help="Slot rule of mixed tasks' pipes.")
]
LoopLimit = Annotated[
    Optional[int],  # noqa: UP045
    typer.Option(
        "--loop-limit",
        metavar="N",
        help="Turns after which a while loop counts as one without end [100000, or 4000 that launch tasks].",
    ),
]
BackendName = Annotated[str, typer.Option("--backend", metavar="NAME", help="sim, or another that is installed (npu).")]
Script = Annotated[Path, typer.Argument(metavar="SCRIPT", help="Kernel script; what follows it is passed on.")]
RunScript = Annotated[
    Optional[str],  # noqa: UP045
    typer.Argument(metavar="SCRIPT", help="Kernel script; what follows it is passed on."),
]
Module = Annotated[
    Optional[str],  # noqa: UP045
    typer.Option("-m", metavar="MODULE", help="Run a module instead, as python -m does: -m pytest PATH ..."),
]
ScriptArgs = Annotated[Optional[list[str]], typer.Argument(metavar="[ARGS]...", help="Arguments of the script.")]  # noqa: UP045
RunDir = Annotated[Path, typer.Argument(metavar="DIR", help="Directory of a finished run.")]
Name = Annotated[Optional[str], typer.Argument(metavar="[NAME]", help="Show one in full.")]  # noqa: UP045


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"pto-sim {__version__}")
        raise typer.Exit


@app.callback()
def pto_sim(
    version: Annotated[bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Version.")] = False,
) -> None:
    """See `app`."""


@app.command()
def demo(out: Out = Path("runs/demo"), json: Json = None, chip: Chip = "a2a3") -> None:
    """Run one real kernel and write every report.

    The kernel is DeepSeek-V4 decode sparse attention at its flash size, with seeded inputs.
    """
    with exit_status():
        from pto_sim.cli.demo import run_demo

        run_demo(out, json, chip)


@app.command(cls=ModuleCommand, context_settings={"allow_interspersed_args": False})
def run(
    script: RunScript = None,
    args: ScriptArgs = None,
    module: Module = None,
    chip: Chip = "a2a3",
    numerics: Numerics = "a2a3",
    profile_diff: ProfileDiff = False,
    out: Out = None,
    json: Json = None,
    fail_on: FailOn = None,
    no_timing: NoTiming = False,
    no_checks: NoChecks = False,
    seed: Seed = None,
    scopes: Scopes = "written",
    hoist: Hoist = "",
    ring_heap: RingHeap = None,
    pipe_slots: PipeSlots = "current",
    backend: BackendName = "sim",
    loop_limit: LoopLimit = None,
) -> None:
    """Run a kernel script, or with -m a module such as pytest.

    Compares outputs with their golden, reads the ring heap, and says where the time goes. Scripts and tests that
    import pypto and golden run as they are. With -m one line is printed for all kernel runs, and time is simulated only
    for --out and --json.
    """
    with exit_status():
        from pto_sim.cli.options import run_options
        from pto_sim.cli.run import run_module, run_script

        options = run_options(
            chip=chip,
            numerics=numerics,
            profile_diff=profile_diff,
            out=out,
            json=json,
            fail_on=fail_on,
            timing=not no_timing,
            checks=not no_checks,
            seed=seed,
            scopes=scopes,
            hoist=hoist,
            ring_heap=ring_heap,
            pipe_slots=pipe_slots,
            backend=backend,
            loop_limit=loop_limit,
        )
        if module is not None:
            run_module(module, [*([] if script is None else [script]), *(args or [])], options)
        elif script is None:
            raise typer.BadParameter("give a SCRIPT, or -m MODULE", param_hint="SCRIPT")
        else:
            run_script(Path(script), args or [], options)


@app.command()
def report(directory: RunDir) -> None:
    """Show a finished run again.

    Prints its tables, and where its page and trace are.
    """
    with exit_status():
        from pto_sim.cli.inspect import show_report

        show_report(directory)


@app.command()
def compare(run_a: RunDir, run_b: RunDir) -> None:
    """Compare two runs.

    Bits, heap, time and findings; exit status 1 if an output differs.
    """
    with exit_status():
        from pto_sim.cli.inspect import show_comparison

        show_comparison(run_a, run_b)


@app.command()
def chips(name: Name = None) -> None:
    """List the chip variants.

    With a name or a TOML file: every number of that chip, with its unit and source.
    """
    with exit_status():
        from pto_sim.report.chips import show_chips

        show_chips(name)


@app.command(context_settings={"allow_interspersed_args": False})
def check(script: Script, args: ScriptArgs = None) -> None:
    """Show what is wrong with a script's kernels.

    Rules of the language in its source, then the findings of a run. No heap, no times, no comparison.
    """
    with exit_status():
        from pto_sim.cli.check import check_file

        check_file(script, args or [])


@app.command()
def lint(script: Path) -> None:
    """Check the kernels of a file without running it.

    Rules of the language, names that cross a scope, and scratch that is not declared at its first use.
    """
    with exit_status():
        from pto_sim.cli.lint import lint_file

        lint_file(script)


@app.command()
def ops(name: Name = None) -> None:
    """List the operators.

    With a name: the rules of that operator.
    """
    with exit_status():
        from pto_sim.cli.tables import show_ops

        show_ops(name)


@app.command()
def findings(code: Name = None) -> None:
    """List what the checks can find.

    With a code: what it means and what to do.
    """
    with exit_status():
        from pto_sim.cli.findings import show_findings

        show_findings(code)


def main() -> None:
    """Entry point of the console script."""
    app()
