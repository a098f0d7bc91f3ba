"""All rules over one function."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from pto_sim.frontend.legality import loops, scopes, statements
from pto_sim.frontend.legality.problem import Problem
from pto_sim.frontend.legality.scratch import late_scratch
from pto_sim.program.errors import KernelError
from pto_sim.program.model import Site

RULES = (
    statements.unknown_statements,
    statements.unknown_expressions,
    statements.several_managers,
    statements.stray_jumps,
    loops.carried_values,
    loops.unrolled_bounds,
    loops.inline_optimizations,
)
"""Rules that need the syntax tree alone."""


def problems(function: ast.FunctionDef, auto_scope: bool) -> Iterator[Problem]:
    """Every violation in a function."""
    for rule in RULES:
        yield from rule(function)
    yield from scopes.placed_scopes(function, auto_scope)


def style_problems(function: ast.FunctionDef, inlines: frozenset[str]) -> Iterator[Problem]:
    """What older compilers rejected, and the style rule for scratch. inlines: names of inline functions."""
    yield from scopes.rebound_handles(function)
    yield from scopes.sliced_arguments(function, inlines)
    yield from late_scratch(function)


def check_source(function: ast.FunctionDef, auto_scope: bool, file: str) -> None:
    """Raises KernelError for the first violation, by line."""
    found = min(problems(function, auto_scope), key=lambda p: p.line, default=None)
    if found is not None:
        site = Site(file, found.line, function.name)
        raise KernelError(found.code, found.rule, site=site, values=found.values, hint=found.hint)
