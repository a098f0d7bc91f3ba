"""The problems of a source text or file, as `pto-sim lint` finds them."""

from __future__ import annotations

import ast
import functools
from collections.abc import Callable

import pytest

import pto_sim.language
from pto_sim.frontend.legality import Problem, module_problems
from pto_sim.frontend.reach import resolve


@pytest.fixture
def lint() -> Callable[[str], list[Problem]]:
    def of(source: str) -> list[Problem]:
        return list(module_problems(ast.parse(source), functools.partial(resolve, pto_sim.language)))

    return of
