"""Names: undefined ones, those that only one arm of an `if` binds, outputs that a new buffer hides."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Sequence

from pto_sim.frontend.legality.keywords import nearest
from pto_sim.frontend.legality.problem import Problem, problem
from pto_sim.frontend.legality.surroundings import BUILTINS, Surroundings
from pto_sim.frontend.names import bound_names, leaves_loop, parameter_names

_CREATING = ("create_tensor", "full", "tensor.create", "tensor.create_tensor", "tensor.full")


def undefined_names(function: ast.FunctionDef, around: Surroundings) -> Iterator[Problem]:
    """PTO235: a name that nothing binds, or that is read before it is bound. PTO236: bound in one arm only."""
    if around.names is None:
        return
    walker = _Names(function, around.names | BUILTINS)
    yield from walker.block(function.body)


class _Names:
    """Walks statements in order with the names that are bound whenever they are reached."""

    def __init__(self, function: ast.FunctionDef, outside: frozenset[str]) -> None:
        self._own = bound_names(function.body) | set(parameter_names(function))
        self._outside = outside
        self._bound = set(parameter_names(function))
        self._arms: dict[str, int] = {}
        self._reported: set[str] = set()
        self._sibling: list[set[str]] = []
        self._loops = 0

    def block(self, body: Sequence[ast.stmt]) -> Iterator[Problem]:
        for node in body:
            yield from self._statement(node)

    def _statement(self, node: ast.stmt) -> Iterator[Problem]:
        if isinstance(node, ast.If):
            yield from self._if(node)
        elif isinstance(node, ast.For):
            yield from self._reads(node.iter)
            self._bound |= bound_names([node.target])
            yield from self._round(node.body)
        elif isinstance(node, ast.While):
            yield from self._reads(node.test)
            yield from self._round(node.body)
        elif isinstance(node, ast.With):
            for item in node.items:
                yield from self._reads(item.context_expr)
                if item.optional_vars is not None:
                    self._bound |= bound_names([item.optional_vars])
            yield from self.block(node.body)
        elif isinstance(node, ast.AnnAssign):
            if node.value is not None:
                yield from self._reads(node.value)
            self._bound |= bound_names([node.target])
        else:
            yield from self._reads(node)
            self._bound |= bound_names([node])

    def _round(self, body: Sequence[ast.stmt]) -> Iterator[Problem]:
        self._loops += 1
        yield from self.block(body)
        self._loops -= 1

    def _if(self, node: ast.If) -> Iterator[Problem]:
        yield from self._reads(node.test)
        before = set(self._bound)
        yield from self.block(node.body)
        after_body = self._bound
        self._bound = set(before)
        self._sibling.append(after_body - before)
        yield from self.block(node.orelse)
        self._sibling.pop()
        if leaves_loop(node.body) and not leaves_loop(node.orelse):
            return
        if leaves_loop(node.orelse) and not leaves_loop(node.body):
            self._bound = after_body
            return
        for name in (after_body ^ self._bound) - before:
            self._arms[name] = node.lineno
        self._bound &= after_body

    def _reads(self, node: ast.AST) -> Iterator[Problem]:
        inner = bound_names(n.target for n in ast.walk(node) if isinstance(n, ast.comprehension))
        for name in ast.walk(node):
            if not isinstance(name, ast.Name) or not isinstance(name.ctx, ast.Load) or name.id in inner:
                continue
            found = None
            if name.id in self._own:
                if name.id not in self._bound:
                    found = self._unbound(name)
            elif name.id not in self._outside:
                hint = nearest(name.id, sorted(self._own | self._outside)) or "bind it before, or import it"
                found = problem("PTO235", name, f"'{name.id}' is not defined", hint)
            if found is not None and name.id not in self._reported:
                self._reported.add(name.id)
                yield found

    def _unbound(self, name: ast.Name) -> Problem:
        line = self._arms.get(name.id)
        if line is not None:
            return problem(
                "PTO236",
                name,
                f"'{name.id}' is bound in one arm of the `if` at line {line} only",
                "bind it in both arms, or before the `if`",
            )
        hint = "bind it above this line"
        if self._loops and any(name.id in names for names in self._sibling):
            # The compiler carries a name round a loop only if it has a value before (pypto: convert_to_ssa_pass.cpp).
            hint = f"the other arm binds it in an earlier round: {name.id} = pl.create_tensor(...) before the loop"
        return problem("PTO235", name, f"'{name.id}' is read before it is bound", hint)


def hidden_outputs(function: ast.FunctionDef, around: Surroundings) -> Iterator[Problem]:
    """PTO242: an output parameter rebound to a new buffer, so that the caller's tensor is never written.

    At its own block depth pl.jit gives the name a new meaning, which is legal and a warning upstream (here the finding
    PTO401); pypto: src/ir/verifier/verify_out_param_pass.cpp.
    """
    arguments = [*function.args.posonlyargs, *function.args.args, *function.args.kwonlyargs]
    outputs = {a.arg for a in arguments if isinstance(a.annotation, ast.Subscript)
               and around.language_name(a.annotation.value) in ("Out", "InOut")}  # fmt: skip
    own_level = set(map(id, function.body)) if around.renames else set()
    for node in ast.walk(function):
        if not isinstance(node, ast.Assign) or id(node) in own_level:
            continue
        target = node.targets[0]
        if isinstance(target, ast.Name) and target.id in outputs and around.operator(node.value) in _CREATING:
            yield problem(
                "PTO242",
                node,
                f"the output '{target.id}' is rebound to a new buffer",
                f"write into it: {target.id}[...] = value, or pl.assemble({target.id}, value, offset)",
            )
