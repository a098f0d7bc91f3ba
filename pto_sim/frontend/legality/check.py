"""All rules over one function."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from pto_sim.frontend.legality import (
    assertions,
    bindings,
    calls,
    contexts,
    dependencies,
    dispatch_predicates,
    keywords,
    launch_options,
    literal_tiles,
    loops,
    regions,
    scopes,
    scratch,
    statements,
    subscripts,
)
from pto_sim.frontend.legality.problem import Problem
from pto_sim.frontend.legality.surroundings import Surroundings
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
    loops.iterators,
    contexts.unknown_managers,
    contexts.spmd_bodies,
    contexts.nested_contexts,
    keywords.unknown_keywords,
    launch_options.launch_options,
    launch_options.bound_submits,
    launch_options.captured_grids,
    launch_options.groups,
    launch_options.function_attributes,
    bindings.undefined_names,
    bindings.hidden_outputs,
    subscripts.slice_forms,
    subscripts.element_writes,
    calls.call_arguments,
    calls.language_calls,
    calls.dead_arguments,
    dependencies.dependency_lists,
    dispatch_predicates.dispatch_predicates,
    assertions.static_assertions,
    regions.split_regions,
    literal_tiles.block_rows,
)
"""Rules that the compiler has; each takes the function and its surroundings."""

STYLE = (scopes.rebound_handles, scopes.sliced_arguments, scratch.late_scratch)
"""What older compilers rejected, and the style rule for scratch."""

TRAPS = frozenset(("PTO231", "PTO232"))
"""What older compilers rejected. A kernel that has it is legal today."""

STYLE_CODES = TRAPS | {"PTO234"}


def problems(function: ast.FunctionDef, around: Surroundings) -> Iterator[Problem]:
    """Every violation in a function."""
    for rule in RULES:
        yield from rule(function, around)


def style_problems(function: ast.FunctionDef, around: Surroundings) -> Iterator[Problem]:
    """Every violation of STYLE in a function."""
    for rule in STYLE:
        yield from rule(function, around)


def check_source(function: ast.FunctionDef, around: Surroundings, file: str) -> None:
    """Raises KernelError for the first violation, by line."""
    raise_first(problems(function, around), file, function.name)


def raise_first(found: Iterator[Problem], file: str, function: str) -> None:
    """Raises KernelError for the first of some violations, by line."""
    first = min(found, key=lambda p: p.line, default=None)
    if first is not None:
        raise KernelError(
            first.code, first.rule, site=Site(file, first.line, function), values=first.values, hint=first.hint
        )
