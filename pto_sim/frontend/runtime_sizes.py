"""Which scalars are known at run time only, and which sizes the statement list that uses them computes.

The compiler allocates at the top of a statement list what the list creates, but a buffer whose shape needs a value of
an earlier statement of the same list stays where it is written (pypto: src/codegen/orchestration/
orchestration_codegen.cpp, ShapeDependsOnLocalVars). A constant never counts: it is folded.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable, Sequence

from pto_sim.frontend.names import bound_names, called_attribute, loaded_names, names_in_order

_SOURCES = frozenset({"dim", "read", "world_size", "rank", "available_cluster_count", "available_aiv_count"})


class RuntimeNames:
    """Names of run-time scalars while the statements of one function are walked in order."""

    def __init__(self, function: ast.FunctionDef) -> None:
        self._declared = _element_types(function, "Scalar")
        self._elements = _element_types(function, "Tensor")
        scalars = set(self._declared)
        self._known = set(scalars)
        # A call of @pl.jit makes a program for the values of its scalars (pypto: python/pypto/jit/decorator.py).
        self._fixed = set(scalars) if _decorated(function, "jit") else set()
        # The body of an inline function becomes part of its caller's list, where its arguments were computed.
        self._local = set(scalars) if _decorated(function, "inline") else set()

    def enter(self) -> set[str]:
        """A nested statement list begins; returns what `leave` needs."""
        outer, self._local = self._local, set()
        return outer

    def leave(self, outer: set[str]) -> None:
        """The nested list ends."""
        self._local = outer

    def counts(self, target: ast.expr) -> None:
        """The variable of a loop is a run-time scalar of the loop's body."""
        names = bound_names([target])
        self._known |= names
        self._undeclare(names)

    def assign(self, target: ast.expr, value: ast.expr) -> None:
        """A statement of the current list binds `target`."""
        element = self._element_read(value)
        self._undeclare(bound_names([target]))
        if isinstance(target, ast.Name):
            if element:
                self._declared[target.id] = element
            if self._is_runtime(value):
                if self._is_fixed(value):
                    self._fixed.add(target.id)
                self._known.add(target.id)
                self._local.add(target.id)
            else:
                self._local.discard(target.id)

    def captured(self, body: Sequence[ast.stmt], exposed: set[str]) -> list[tuple[str, str]]:
        """The run-time scalars that the body of a launch takes from outside: they are arguments of its task.

        In the order in which the body first reads them (pypto: src/ir/transforms/utils/scope_outline_utils.cpp,
        UpwardExposedUseCollector), with their type where an annotation tells it, else ''. exposed: names whose value
        from before the body it may read.
        """
        taken = exposed & self._known - self._fixed
        names = [name for name in names_in_order(body) if name in taken]
        return [(name, self._declared.get(name, "")) for name in names]

    def _element_read(self, value: ast.expr) -> str:
        """The type of `pl.read(t, ...)` for a parameter t, '' for anything else."""
        if isinstance(value, ast.Call) and called_attribute(value) == "read" and value.args:
            source = value.args[0]
            return self._elements.get(source.id, "") if isinstance(source, ast.Name) else ""
        return ""

    def _undeclare(self, names: set[str]) -> None:
        """A name that is bound again has no declared type."""
        self._fixed -= names
        for name in names:
            self._declared.pop(name, None)
            self._elements.pop(name, None)

    def are_local(self, nodes: Iterable[ast.AST]) -> bool:
        """Whether the expressions use a scalar that the current list has computed."""
        return bool(loaded_names(nodes) & self._local)

    def _is_fixed(self, value: ast.expr) -> bool:
        """Whether a value is computed of scalars of @pl.jit alone."""
        sources = any(called_attribute(node) in _SOURCES for node in ast.walk(value))
        return not sources and loaded_names([value]) & self._known <= self._fixed

    def _is_runtime(self, value: ast.expr) -> bool:
        if any(called_attribute(node) in _SOURCES for node in ast.walk(value)):
            return True
        return bool(loaded_names([value]) & self._known)


def size_arguments(call: ast.Call) -> list[ast.expr]:
    """The shape of a create_tensor, or the number of blocks of an spmd."""
    named = [keyword.value for keyword in call.keywords if keyword.arg in ("shape", "core_num")]
    return [*call.args[:1], *named]


def _element_types(function: ast.FunctionDef, kind: str) -> dict[str, str]:
    """Parameters annotated as `kind`, with their element type: {'n': 'INT32'} for `n: pl.Scalar[pl.INT32]`."""
    found = {}
    for argument in [*function.args.posonlyargs, *function.args.args, *function.args.kwonlyargs]:
        for node in ast.walk(argument.annotation) if argument.annotation is not None else ():
            if isinstance(node, ast.Subscript) and ast.unparse(node.value).rsplit(".", 1)[-1] == kind:
                parts = node.slice.elts if isinstance(node.slice, ast.Tuple) else [node.slice]
                element = parts[1] if kind == "Tensor" and len(parts) > 1 else parts[0]
                found[argument.arg] = ast.unparse(element).rsplit(".", 1)[-1]
    return found


def _decorated(function: ast.FunctionDef, name: str) -> bool:
    return any(ast.unparse(decorator).split("(")[0].endswith(name) for decorator in function.decorator_list)
