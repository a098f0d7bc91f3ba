"""Element types of scalar expressions, where the source alone shows them.

A number has no type in Python; in the language it has one. A literal integer, the index of a loop and what follows
from them are INDEX (64 bits), a literal float is FP32, `pl.cast`, `pl.const` and `pl.read` say theirs. Arithmetic takes
the wider type (pypto: python/pypto/language/parser/ast_parser.py, parse_constant; include/pypto/ir/scalar_expr.h,
PromoteSameCategoryDtype). What is not known stays unknown, and is never refused.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from pto_sim.engine.scalar_operands import ScalarOperand
from pto_sim.frontend.annotations import RUNTIME, ScalarType, TensorType
from pto_sim.frontend.binding import Parameter
from pto_sim.frontend.legality.problem import Problem, problem
from pto_sim.frontend.names import called_attribute
from pto_sim.program.dtypes import DTYPES, DataType

_LOOPS = frozenset({"range", "parallel", "pipeline", "unroll", "spmd"})
_INDEX_CALLS = frozenset({"get_block_idx", "get_subblock_idx"})
_OF_SCALARS = frozenset({"add", "sub", "mul", "min", "max"})
_MAKERS = frozenset({"create_tensor", "create_tile", "create", "full"})
_SYMBOLS: Mapping[type[ast.operator], str] = {
    ast.Add: "+", ast.Sub: "-", ast.Mult: "*", ast.Div: "/", ast.FloorDiv: "//", ast.Mod: "%",
}  # fmt: skip
# The forms of an operator for a number, by the name of the operator itself.
_SCALAR_NAMES = {"maxs": "maximum", "mins": "minimum", "ands": "and_", "ors": "or_", "xors": "xor_", "xor": "xor_"}


_INT, _FLOAT, _BOOL = (
    ScalarOperand(DTYPES["INDEX"], True),
    ScalarOperand(DTYPES["FP32"], True),
    ScalarOperand(DTYPES["BOOL"], True),
)
_INDEX = ScalarOperand(DTYPES["INDEX"])


class ScalarTypes:
    """The types of the scalar expressions of one function."""

    def __init__(
        self, function: ast.FunctionDef, parameters: Iterable[Parameter], constants: Mapping[str, Any], fixed: bool
    ) -> None:
        """constants: what the free names stand for. fixed: the compiler takes scalar arguments for constants."""
        self._function, self._constants = function, constants
        self._buffers: dict[str, set[DataType | None]] = {}
        self._bound: dict[str, list[ScalarOperand | ast.expr | None]] = {}
        for parameter in parameters:
            kind = parameter.type
            self._bound[parameter.name] = [None]
            if isinstance(kind, TensorType):
                self._buffers[parameter.name] = {kind.dtype}
            elif isinstance(kind, ScalarType) and (not fixed or parameter.default is RUNTIME):
                self._bound[parameter.name] = [ScalarOperand(kind.dtype)]
        for node in ast.walk(function):
            self._bind(node)
        self._names: dict[str, ScalarOperand | None] = {}

    def operands(self) -> dict[tuple[int, str], ScalarOperand]:
        """(line, operator) -> the type of its scalar operand: the second one, what pl.write stores, what pl.cast takes.

        Left out where the calls of one operator in a line differ.
        """
        found: dict[tuple[int, str], set[ScalarOperand | None]] = {}
        for node in ast.walk(self._function):
            name = called_attribute(node)
            if name is None or not isinstance(node, ast.Call) or not isinstance(node.func, ast.Attribute):
                continue
            place = {"write": 2, "cast": 0}.get(name, 1)
            if len(node.args) > place:
                found.setdefault((node.lineno, _operator(name)), set()).add(self.of(node.args[place]))
        result = {}
        for key, kinds in found.items():
            kind = next(iter(kinds)) if len(kinds) == 1 else None
            if kind is not None:
                result[key] = kind
        return result

    def mixed(self) -> Iterator[Problem]:
        """PTO269: arithmetic on an integer and a float."""
        for node in ast.walk(self._function):
            if isinstance(node, ast.BinOp):
                pair = (node.left, node.right)
                sign = _SYMBOLS.get(type(node.op), "")
            elif isinstance(node, ast.Compare) and len(node.ops) == 1:
                pair, sign = (node.left, node.comparators[0]), "a comparison"
            else:
                continue
            kinds = [self.of(part) for part in pair]
            if None in kinds or all(kind is not None and kind.literal for kind in kinds) or not sign:
                continue
            types = [kind.dtype for kind in kinds if kind is not None]
            if {kind.kind for kind in types} in ({"int", "float"}, {"uint", "float"}):
                whole = 0 if types[0].kind != "float" else 1
                other = types[1 - whole].name
                taken = ast.unparse(pair[whole])
                if types[whole] is _INDEX.dtype:
                    taken = f"pl.cast({taken}, pl.INT32)"  # there is no conversion of an index to a float
                yield problem(
                    "PTO269",
                    node,
                    "a scalar operator takes two integers or two floats",
                    f"pl.cast({taken}, pl.{other})",
                    f"{ast.unparse(node)[:60]}: {types[0].name} and {types[1].name}",
                )

    def of(self, node: ast.expr) -> ScalarOperand | None:
        """The type of an expression, None if it is not known to be a number of one type."""
        if isinstance(node, ast.Constant):
            return _of_value(node.value)
        if isinstance(node, ast.Name):
            return self._name(node.id)
        if isinstance(node, ast.UnaryOp):
            return _BOOL if isinstance(node.op, ast.Not) else self.of(node.operand)
        if isinstance(node, (ast.Compare, ast.BoolOp)):
            return ScalarOperand(DTYPES["BOOL"])
        if isinstance(node, ast.BinOp):
            return self._promoted(node.left, node.right, isinstance(node.op, ast.Div))
        return self._called(node) if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) else None

    def _name(self, name: str) -> ScalarOperand | None:
        if name not in self._bound:
            return _of_value(self._constants.get(name))
        if name not in self._names:
            self._names[name] = None  # a name that is bound by itself, in a loop, is unknown
            kinds = {self.of(b) if isinstance(b, ast.expr) else b for b in self._bound[name]}
            self._names[name] = next(iter(kinds)) if len(kinds) == 1 else None
        return self._names[name]

    def _called(self, node: ast.Call) -> ScalarOperand | None:
        name = called_attribute(node)
        if name in _INDEX_CALLS:
            return _INDEX
        if name in ("cast", "const"):
            dtype = _dtype(node.args[1] if len(node.args) > 1 else _keyword(node, "target_type", "dtype"))
            return None if dtype is None else ScalarOperand(dtype)
        if name == "read" and node.args and isinstance(node.args[0], ast.Name):
            dtypes = self._buffers.get(node.args[0].id, {None})
            dtype = next(iter(dtypes)) if len(dtypes) == 1 else None
            return None if dtype is None else ScalarOperand(dtype)
        if name in _OF_SCALARS and len(node.args) == 2:
            return self._promoted(node.args[0], node.args[1], divided=False)
        return None

    def _promoted(self, left: ast.expr, right: ast.expr, divided: bool) -> ScalarOperand | None:
        first, second = self.of(left), self.of(right)
        if first is None or second is None or "bool" in (first.dtype.kind, second.dtype.kind):
            return None
        floats = [kind.dtype.kind == "float" for kind in (first, second)]
        if first.literal and second.literal:
            return _FLOAT if any(floats) or divided else _INT
        if floats[0] != floats[1]:
            return None
        return ScalarOperand(second.dtype if _bits(second.dtype) > _bits(first.dtype) else first.dtype)

    def _bind(self, node: ast.AST) -> None:
        if isinstance(node, ast.For):
            target = node.target
            first = target.elts[0] if isinstance(target, ast.Tuple) and target.elts else target
            indexed = called_attribute(node.iter) in _LOOPS
            for name in _stored(target):
                plain = indexed and isinstance(first, ast.Name) and first.id == name
                self._bound.setdefault(name, []).append(_INDEX if plain else None)
        elif isinstance(node, ast.With):
            for item in node.items:
                for name in _stored(item.optional_vars):
                    self._bound.setdefault(name, []).append(None)
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            declared = _annotated(node.annotation)
            self._assign(node.target.id, declared if declared is not None else node.value)
        elif isinstance(node, (ast.Assign, ast.AugAssign)):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            for target in targets:
                if isinstance(target, ast.Name) and isinstance(node, ast.Assign):
                    self._assign(target.id, node.value)
                    continue
                for name in _stored(target):
                    self._assign(name, None)

    def _assign(self, name: str, value: ScalarOperand | ast.expr | None) -> None:
        self._bound.setdefault(name, []).append(value)
        made = isinstance(value, ast.Call) and called_attribute(value) in _MAKERS
        dtype = _dtype(_keyword(value, "dtype")) if made and isinstance(value, ast.Call) else None
        self._buffers.setdefault(name, set()).add(dtype)


def _operator(name: str) -> str:
    """The operator behind a name: `add` for `adds`."""
    if name in _SCALAR_NAMES:
        return _SCALAR_NAMES[name]
    plain = name.removesuffix("c") if name in ("addsc", "subsc") else name
    return f"{plain[:-1]}c" if plain != name else name.removesuffix("s")


def _bits(dtype: DataType) -> float:
    return 8 * dtype.nbytes


def _stored(node: ast.AST | None) -> list[str]:
    if node is None:
        return []
    return [n.id for n in ast.walk(node) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)]


def _of_value(value: Any) -> ScalarOperand | None:
    if isinstance(value, bool):
        return _BOOL
    return _INT if type(value) is int else _FLOAT if type(value) is float else None


def _dtype(node: ast.expr | None) -> DataType | None:
    """The element type that `pl.FP32` names."""
    return DTYPES.get(node.attr) if isinstance(node, ast.Attribute) else None


def _keyword(call: ast.Call, *names: str) -> ast.expr | None:
    return next((k.value for k in call.keywords if k.arg in names), None)


def _annotated(node: ast.expr) -> ScalarOperand | None:
    """The type that the annotation `pl.Scalar[pl.INT32]` gives a name."""
    if not isinstance(node, ast.Subscript) or not isinstance(node.value, ast.Attribute) or node.value.attr != "Scalar":
        return None
    dtype = _dtype(node.slice)
    return None if dtype is None else ScalarOperand(dtype)
