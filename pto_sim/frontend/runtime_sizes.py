"""Which sizes are computed at run time in the statement list that uses them.

The compiler allocates at the top of a statement list what the list creates, but a buffer whose shape needs a value of
an earlier statement of the same list stays where it is written (pypto: src/codegen/orchestration/
orchestration_codegen.cpp, ShapeDependsOnLocalVars). A constant never counts: it is folded.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable

from pto_sim.frontend.names import bound_names, called_attribute, loaded_names, parameter_names

_SOURCES = frozenset({"dim", "read", "world_size", "rank", "available_cluster_count", "available_aiv_count"})


class RuntimeNames:
    """Names of run-time scalars while the statements of one function are walked in order."""

    def __init__(self, function: ast.FunctionDef) -> None:
        scalars = _scalar_parameters(function)
        self._known = set(scalars)
        # The body of an inline function becomes part of its caller's list, where its arguments were computed.
        self._local = set(scalars) if _is_inline(function) else set()

    def enter(self) -> set[str]:
        """A nested statement list begins; returns what `leave` needs."""
        outer, self._local = self._local, set()
        return outer

    def leave(self, outer: set[str]) -> None:
        """The nested list ends."""
        self._local = outer

    def counts(self, target: ast.expr) -> None:
        """The variable of a loop is a run-time scalar of the loop's body."""
        self._known |= bound_names([target])

    def assign(self, target: ast.expr, value: ast.expr) -> None:
        """A statement of the current list binds `target`."""
        if isinstance(target, ast.Name):
            if self._is_runtime(value):
                self._known.add(target.id)
                self._local.add(target.id)
            else:
                self._local.discard(target.id)

    def are_local(self, nodes: Iterable[ast.AST]) -> bool:
        """Whether the expressions use a scalar that the current list has computed."""
        return bool(loaded_names(nodes) & self._local)

    def _is_runtime(self, value: ast.expr) -> bool:
        if any(called_attribute(node) in _SOURCES for node in ast.walk(value)):
            return True
        return bool(loaded_names([value]) & self._known)


def size_arguments(call: ast.Call) -> list[ast.expr]:
    """The shape of a create_tensor, or the number of blocks of an spmd."""
    named = [keyword.value for keyword in call.keywords if keyword.arg in ("shape", "core_num")]
    return [*call.args[:1], *named]


def _scalar_parameters(function: ast.FunctionDef) -> set[str]:
    arguments = [*function.args.posonlyargs, *function.args.args, *function.args.kwonlyargs]
    found = {a.arg for a in arguments if a.annotation is not None and "Scalar[" in ast.unparse(a.annotation)}
    assert found <= set(parameter_names(function))
    return found


def _is_inline(function: ast.FunctionDef) -> bool:
    return any(ast.unparse(decorator).split("(")[0].endswith("inline") for decorator in function.decorator_list)
