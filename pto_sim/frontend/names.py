"""Which names a piece of a kernel binds and uses."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Sequence


def bound_names(nodes: Iterable[ast.AST]) -> set[str]:
    """Names that the statements bind by assignment, `for` or `with ... as`."""
    return {
        node.id
        for root in nodes
        for node in ast.walk(root)
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)
    }


def loaded_names(nodes: Iterable[ast.AST]) -> set[str]:
    """Names that the statements read."""
    return {
        node.id
        for root in nodes
        for node in ast.walk(root)
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load)
    }


def names_in_order(nodes: Iterable[ast.AST]) -> list[str]:
    """Names that the statements read, in the order in which they first do: the value of an assignment comes first."""
    found: dict[str, None] = {}
    for node in nodes:
        if isinstance(node, ast.Name):
            if isinstance(node.ctx, ast.Load):
                found[node.id] = None
            continue
        children = list(ast.iter_child_nodes(node))
        if isinstance(node, ast.Assign):
            children = [node.value, *node.targets]
        found.update(dict.fromkeys(names_in_order(children)))
    return list(found)


def parameter_names(function: ast.FunctionDef) -> list[str]:
    """The parameters of a function, in order."""
    arguments = function.args
    return [a.arg for a in [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs]]


def leaves_loop(statements: Sequence[ast.stmt]) -> bool:
    """Whether the statements contain a break or continue of an enclosing loop, or a return."""
    return any(_leaves(statement) for statement in statements)


def _leaves(node: ast.AST, in_loop: bool = False) -> bool:
    if isinstance(node, ast.Return):
        return True
    if isinstance(node, (ast.Break, ast.Continue)):
        return not in_loop
    inner = in_loop or isinstance(node, (ast.For, ast.While))
    return any(_leaves(child, inner) for child in ast.iter_child_nodes(node))


def never_changes(loop: ast.While) -> bool:
    """Whether a `while` that has begun cannot end: its condition is made of names and constants that its body does not
    bind, and the body does not leave it."""
    plain = (ast.Name, ast.Constant, ast.Compare, ast.BoolOp, ast.UnaryOp, ast.BinOp, ast.expr_context)
    operators = (ast.cmpop, ast.boolop, ast.unaryop, ast.operator)
    if not all(isinstance(node, (*plain, *operators)) for node in ast.walk(loop.test)):
        return False
    return not loaded_names([loop.test]) & bound_names(loop.body) and not leaves_loop(loop.body)


def called_attribute(node: ast.AST) -> str | None:
    """`range` for a call `pl.range(...)`, `x` for `x(...)`; None if it is no call of a name."""
    if not isinstance(node, ast.Call):
        return None
    if isinstance(node.func, ast.Attribute):
        return node.func.attr
    return node.func.id if isinstance(node.func, ast.Name) else None


def leaves_flow_to_python(function: ast.FunctionDef) -> bool:
    """Whether a function has loops or branches that the rewrite does not turn into calls."""
    for node in ast.walk(function):
        if isinstance(node, ast.While):
            return True
        if isinstance(node, ast.If) and leaves_loop([*node.body, *node.orelse]):
            return True
        if isinstance(node, ast.keyword) and node.arg == "init_values":
            return True
        if isinstance(node, ast.Attribute) and node.attr == "cond":
            return True
    return False
