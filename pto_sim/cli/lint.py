"""`pto-sim lint`: rules and style of the kernels in a file, without running it."""

from __future__ import annotations

import ast
from pathlib import Path

import typer

from pto_sim.cli.script import check_script
from pto_sim.cli.status import FAILED
from pto_sim.frontend.legality import Problem, problems, style_problems


def lint_file(path: Path) -> None:
    """Print every problem as `file:line: code rule` with what to write instead; exit status 1 if there is one."""
    check_script(path)
    tree = ast.parse(path.read_text(encoding="utf-8"))
    functions = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)]
    decorators = {node.name: [ast.unparse(d) for d in node.decorator_list] for node in functions}
    inlines = frozenset(n for n, texts in decorators.items() if any(".inline" in text for text in texts))
    found: list[Problem] = []
    for node in functions:
        texts = decorators[node.name]
        if any(text.startswith(("pl.jit", "pl.function", "pl.inline")) and ".extern" not in text for text in texts):
            auto_scope = not any("auto_scope=False" in text for text in texts)
            found += [*problems(node, auto_scope), *style_problems(node, inlines)]
    for item in sorted(found, key=lambda p: p.line):
        typer.echo(f"{path}:{item.line}: {item.code} {item.rule}\n  found: {item.values}\n  instead: {item.hint}")
    if found:
        raise typer.Exit(FAILED)
    typer.echo(f"{path}: no problems")
