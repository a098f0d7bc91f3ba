"""Products that other products alone read, through a cast: the compiler keeps them in L1 and cuts them for it.

pypto: src/ir/transforms/auto_tile_matmul_l0_pass.cpp (SiblingIndex, TryFoldMatScratch). The product is read once, by a
cast to BF16 or FP16 that rounds to nearest even, and the result of the cast as an operand of products only.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Sequence

from pto_sim.frontend.names import called_attribute
from pto_sim.frontend.syntax_nodes import at, call

_CHAINED = frozenset({"matmul", "matmul_bias"})
# Places and names of the operands that the cube reads; a bias or an accumulator is none of them.
_OPERANDS = {
    "matmul": ((0, 1), ("a", "b", "lhs", "rhs")),
    "matmul_bias": ((0, 1), ("a", "b", "lhs", "rhs")),
    "matmul_acc": ((1, 2), ("a", "b", "lhs", "rhs")),
}
_RINT = ("rint", 1)


def mark_chained_products(function: ast.FunctionDef) -> None:
    """Let every product of the function that other products alone read be called through the runtime's `chained`."""
    found = [*_nested(function), *_named(function.body, function)]
    for product in found:
        product.func = at(product.func, call("chained", product.func))


def _nested(function: ast.FunctionDef) -> Iterator[ast.Call]:
    """matmul(cast(matmul(a, b), BF16, mode="rint"), c) in one expression."""
    for node in ast.walk(function):
        for operand in _operands(node):
            product = _narrowed(operand)
            if isinstance(product, ast.Call) and called_attribute(product) in _CHAINED:
                yield product


def _named(body: Sequence[ast.stmt], function: ast.FunctionDef) -> Iterator[ast.Call]:
    """c = matmul(a, b), then d = cast(c, BF16, mode="rint"), whose result products read, in one statement list."""
    for place, node in enumerate(body):
        for field in ("body", "orelse"):
            yield from _named(getattr(node, field, []), function)
        name, value = _assignment(node)
        if not isinstance(value, ast.Call) or called_attribute(value) not in _CHAINED:
            continue
        rest = _until_rebound(body[place + 1 :], name)
        for inner, statement in enumerate(rest):
            narrow, cast = _assignment(statement)
            source = _narrowed(cast)
            if isinstance(source, ast.Name) and source.id == name:
                after = _until_rebound(rest[inner + 1 :], narrow)
                if _reads(rest, name) == 1 and _reads_of_products(after, narrow) == _reads(after, narrow) > 0:
                    yield value


def _assignment(node: ast.stmt) -> tuple[str, ast.expr | None]:
    """The plain name that a statement binds and its value; ('', None) for any other statement."""
    if isinstance(node, ast.Assign) and len(node.targets) == 1 and isinstance(node.targets[0], ast.Name):
        return node.targets[0].id, node.value
    if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
        return node.target.id, node.value
    return "", None


def _narrowed(node: ast.expr | None) -> ast.expr | None:
    """What `cast(x, BF16 or FP16, mode="rint")` narrows, None for any other expression."""
    if not isinstance(node, ast.Call) or called_attribute(node) != "cast" or not node.args:
        return None
    given = dict(zip(("x", "target_type", "mode"), node.args, strict=False)) | {k.arg: k.value for k in node.keywords}
    target, mode = given.get("target_type"), given.get("mode")
    if not isinstance(target, ast.Attribute) or target.attr not in ("BF16", "FP16"):
        return None
    return node.args[0] if isinstance(mode, ast.Constant) and mode.value in _RINT else None


def _operands(node: ast.AST) -> list[ast.expr]:
    """The expressions that a product reads as its left and right operand."""
    name = called_attribute(node) if isinstance(node, ast.Call) else None
    if name not in _OPERANDS or not isinstance(node, ast.Call):
        return []
    places, names = _OPERANDS[name]
    positional = [argument for place, argument in enumerate(node.args) if place in places]
    return positional + [keyword.value for keyword in node.keywords if keyword.arg in names]


def _until_rebound(statements: Sequence[ast.stmt], name: str) -> list[ast.stmt]:
    """Statements up to the one that binds the name again, that one included: its value may still read it."""
    result = []
    for node in statements:
        result.append(node)
        if _assignment(node)[0] == name:
            break
    return result


def _reads(statements: Sequence[ast.stmt], name: str) -> int:
    nodes = (node for statement in statements for node in ast.walk(statement))
    return sum(isinstance(node, ast.Name) and node.id == name and isinstance(node.ctx, ast.Load) for node in nodes)


def _reads_of_products(statements: Sequence[ast.stmt], name: str) -> int:
    nodes = (operand for statement in statements for node in ast.walk(statement) for operand in _operands(node))
    return sum(isinstance(node, ast.Name) and node.id == name for node in nodes)
