"""One violation of a rule."""

from __future__ import annotations

import ast
from typing import NamedTuple


class Problem(NamedTuple):
    """code: of the rule. line: in the author's file. values: what was found. hint: what to write instead."""

    code: str
    line: int
    rule: str
    values: str
    hint: str


def problem(code: str, node: ast.AST, rule: str, hint: str, values: str = "") -> Problem:
    """A violation at a node."""
    return Problem(code, getattr(node, "lineno", 0), rule, values or _text(node), hint)


def _text(node: ast.AST) -> str:
    return ast.unparse(node).split("\n")[0][:80]
