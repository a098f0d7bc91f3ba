"""Finding the syntax tree of a decorated function."""

from __future__ import annotations

import ast
import inspect
import types
from collections.abc import Callable
from typing import Any

from pto_sim.program.errors import InputError
from pto_sim.program.model import Site


def function_tree(function: Callable[..., Any]) -> ast.FunctionDef:
    """The tree of `function` with the line numbers of its file.

    Raises InputError (PTO011) if its source cannot be read or parsed (typed at a prompt, or generated).
    """
    assert isinstance(function, types.FunctionType)
    code = function.__code__
    site = Site(code.co_filename, code.co_firstlineno, function.__name__)
    try:
        lines, _ = inspect.findsource(function)
    except (OSError, TypeError) as error:
        raise InputError(
            "PTO011",
            f"the source of kernel '{function.__name__}' cannot be read",
            site=site,
            values=str(error),
            hint="define the kernel in a .py file",
        ) from error
    tree = ast.parse("".join(lines), code.co_filename)
    for node in ast.walk(tree):
        if (
            isinstance(node, ast.FunctionDef)
            and node.name == function.__name__
            and _first_line(node) == code.co_firstlineno
        ):
            return node
    raise InputError(
        "PTO011",
        f"the source of kernel '{function.__name__}' has changed since it was imported",
        site=site,
        hint="run it again",
    )


def _first_line(node: ast.FunctionDef) -> int:
    return min([node.lineno, *(decorator.lineno for decorator in node.decorator_list)])
