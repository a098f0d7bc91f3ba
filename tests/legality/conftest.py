"""The lint of a file as a list of problems."""

import ast
from collections.abc import Callable
from pathlib import Path

import pytest

from pto_sim.frontend.legality import Problem, problems, style_problems


@pytest.fixture
def cli_lint() -> Callable[[Path], list[Problem]]:
    def lint(path: Path) -> list[Problem]:
        tree = ast.parse(path.read_text(encoding="utf-8"))
        functions = [n for n in ast.walk(tree) if isinstance(n, ast.FunctionDef) and n.decorator_list]
        kernels = [n for n in functions if "pl.jit" in ast.unparse(n.decorator_list[0])]
        assert kernels
        return [p for n in kernels for p in (*problems(n, False), *style_problems(n, frozenset()))]

    return lint
