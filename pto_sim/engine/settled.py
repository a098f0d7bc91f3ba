"""Numbers that the compiler knows before the run: scalar arguments of a pl.jit entry, literals, and what follows.

An `if` that such numbers decide is gone before the orchestration runs, and so is a pl.range of one iteration or none:
their statements belong to the list around them (pypto: docs/en/dev/passes/05-simplify.md, "Control-flow folding").
Limit: the compiler also proves what ranges of loop variables imply; here such a branch stays.
"""

from __future__ import annotations

from typing import Any


class SettledInt(int):
    """A number that the compiler knows. Arithmetic gives an ordinary int; `derived` says when that is known too."""

    __slots__ = ()


def is_settled(operands: tuple[Any, ...] | None) -> bool:
    """Whether all operands of an expression are known. None: there are others than names and literals."""
    return operands is not None and all(isinstance(operand, SettledInt) for operand in operands)


def derived(value: Any, operands: tuple[Any, ...]) -> Any:
    """The value of an expression of these operands, marked as known if they are."""
    return SettledInt(value) if type(value) is int and is_settled(operands) else value


def unsettled(value: Any) -> Any:
    """The value after a loop or a branch that may have changed it: the compiler no longer knows it."""
    return int(value) if isinstance(value, SettledInt) else value
