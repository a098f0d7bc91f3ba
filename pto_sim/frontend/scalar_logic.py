"""Scalar expressions whose meaning in the language is not Python's."""

from __future__ import annotations

import ast

from pto_sim.frontend.names import loaded_names
from pto_sim.frontend.syntax_nodes import at, call

_DIVISIONS = {ast.FloorDiv: "//", ast.Div: "/", ast.Mod: "%"}


class ScalarLogic(ast.NodeTransformer):
    """`and`, `or` and `not` as calls that evaluate every operand; divisions as the scalar unit does them."""

    def __init__(self, locals_: set[str]) -> None:
        self._locals = locals_

    def visit_BinOp(self, node: ast.BinOp) -> ast.expr:
        constant = not (loaded_names([node]) & self._locals)
        self.generic_visit(node)
        sign = _DIVISIONS.get(type(node.op))
        if sign is None or constant:
            return node
        return at(node, call("divided", ast.Constant(sign), node.left, node.right))

    def visit_BoolOp(self, node: ast.BoolOp) -> ast.expr:
        self.generic_visit(node)
        word = "and" if isinstance(node.op, ast.And) else "or"
        return at(node, call("logical", ast.Constant(word), ast.Tuple(node.values, ast.Load())))

    def visit_UnaryOp(self, node: ast.UnaryOp) -> ast.expr:
        self.generic_visit(node)
        return at(node, call("logical_not", node.operand)) if isinstance(node.op, ast.Not) else node
