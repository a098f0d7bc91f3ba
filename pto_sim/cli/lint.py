"""`pto-sim lint`: rules and style of the kernels in a file, without running it."""

from __future__ import annotations

import ast
from functools import partial
from pathlib import Path

import typer

import pto_sim.language
from pto_sim.cli.script import check_script
from pto_sim.cli.status import FAILED
from pto_sim.frontend.legality import Problem, module_problems
from pto_sim.frontend.reach import resolve


def file_problems(path: Path) -> list[Problem]:
    """Every problem of the kernels in a file and every remark on style, by line.

    Raises InputError for a file that is no Python.
    """
    check_script(path)
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return sorted(module_problems(tree, partial(resolve, pto_sim.language)), key=lambda p: (p.line, p.code))


def show_problems(path: Path, found: list[Problem]) -> None:
    """Print problems as `file:line: code rule`, what was found, and what to write instead."""
    for item in found:
        typer.echo(f"{path}:{item.line}: {item.code} {item.rule}\n  found: {item.values}\n  instead: {item.hint}")


def lint_file(path: Path) -> None:
    """Print every problem; exit status 1 if there is one."""
    found = file_problems(path)
    show_problems(path, found)
    if found:
        raise typer.Exit(FAILED)
    typer.echo(f"{path}: no problems")
