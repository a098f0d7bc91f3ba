"""Legality of an operator call: shapes and element types, checked before anything is computed.

Each rule takes the tile operands' shapes and returns the result's shape, or raises OpTypeError. The rules
follow pypto: python/pypto/language/op/{tensor,tile}_ops.py and docs/en/user/ops.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Protocol

from pto_sim.numerics.element_types import FLOATS, STORAGE
from pto_sim.numerics.indexed_shapes import INDEXED_SHAPES
from pto_sim.numerics.typing_errors import OpTypeError as OpTypeError
from pto_sim.numerics.typing_errors import Shape
from pto_sim.numerics.typing_errors import shapes_text as _text

if TYPE_CHECKING:
    from pto_sim.numerics.op_row import OpRow


class OperandType(Protocol):
    """What a rule needs to know of an operand. space is 'scalar' for a scalar, anything else for a tile."""

    @property
    def shape(self) -> Shape: ...

    @property
    def dtype(self) -> str: ...

    @property
    def space(self) -> str: ...


def _same(op: str, shapes: Sequence[Shape], attrs: Mapping[str, Any]) -> Shape:
    if any(shape != shapes[0] for shape in shapes):
        raise OpTypeError(f"{op} needs operands of one shape", _text(shapes), "slice or reshape one of them")
    return shapes[0]


def _same_or_row(op: str, shapes: Sequence[Shape], attrs: Mapping[str, Any]) -> Shape:
    """Equal shapes, or [M, N] with [M, 1]. The compiler would flip the sign of [M, 1] - [M, N], so that is refused."""
    if len(shapes) == 1 or shapes[0] == shapes[1]:
        return shapes[0]
    left, right = shapes
    if len(left) == len(right) and left[:-1] == right[:-1]:
        if right[-1] == 1:
            return left
        if left[-1] == 1 and op in ("add", "mul"):
            return right
        if left[-1] == 1:
            raise OpTypeError(
                f"{op} with a column on the left is not lowered by the compiler",
                _text(shapes),
                f"expand it first: row_expand, or write the operands the other way round (row_expand_{op})",
            )
    hint = "use col_expand_* for a [1, N] operand" if right[-1:] == left[-1:] else "make the shapes equal"
    raise OpTypeError(f"{op} needs equal shapes or an [M, 1] second operand", _text(shapes), hint)


def _row_reduce(op: str, shapes: Sequence[Shape], attrs: Mapping[str, Any]) -> Shape:
    if len(shapes[0]) < 1 or 0 in shapes[0]:
        raise OpTypeError(f"{op} needs at least one element per row", _text(shapes), "check the valid shape")
    return (*shapes[0][:-1], 1)


def _col_reduce(op: str, shapes: Sequence[Shape], attrs: Mapping[str, Any]) -> Shape:
    if len(shapes[0]) != 2 or 0 in shapes[0]:
        raise OpTypeError(f"{op} takes a tile [M, N]", _text(shapes), "reshape it to two dimensions")
    return (1, shapes[0][1])


def _row_vector(op: str, shapes: Sequence[Shape], attrs: Mapping[str, Any]) -> Shape:
    tile, vector = shapes
    if op == "row_expand_add" and len(vector) == len(tile) and vector[:-1] == tile[:-1]:
        return tile  # a packed vector; the row's check counts its bytes
    if vector != (*tile[:-1], 1):
        want = [*tile[:-1], 1]
        raise OpTypeError(f"{op} takes [M, N] and a column [M, 1]", _text(shapes), f"the second operand must be {want}")
    return tile


def _col_vector(op: str, shapes: Sequence[Shape], attrs: Mapping[str, Any]) -> Shape:
    tile, vector = shapes
    if len(tile) != 2 or vector != (1, tile[1]):
        raise OpTypeError(
            f"{op} takes [M, N] and a row [1, N]", _text(shapes), f"the second operand must be [1, {tile[-1]}]"
        )
    return tile


def _matrix_extents(op: str, a: Shape, b: Shape, attrs: Mapping[str, Any]) -> tuple[int, int, int]:
    if len(a) != 2 or len(b) != 2:
        raise OpTypeError(f"{op} takes matrices of two dimensions", _text((a, b)), "reshape, or loop over the batch")
    m, k_a = (a[1], a[0]) if attrs.get("a_trans") else a
    k_b, n = (b[1], b[0]) if attrs.get("b_trans") else b
    if k_a != k_b:
        raise OpTypeError(
            f"{op} needs one K extent",
            f"{_text((a, b))} with a_trans={bool(attrs.get('a_trans'))}, b_trans={bool(attrs.get('b_trans'))}: "
            f"K is {k_a} and {k_b}",
            "check the transpose flags",
        )
    return m, n, k_a


def _matmul(op: str, shapes: Sequence[Shape], attrs: Mapping[str, Any]) -> Shape:
    m, n, _ = _matrix_extents(op, shapes[0], shapes[1], attrs)
    return (m, n)


def _matmul_bias(op: str, shapes: Sequence[Shape], attrs: Mapping[str, Any]) -> Shape:
    m, n, _ = _matrix_extents(op, shapes[1], shapes[2], attrs)
    if shapes[0] != (1, n):
        raise OpTypeError(f"{op} needs a bias of one row [1, {n}]", _text(shapes), "reshape it, or slice the row")
    return (m, n)


def _matmul_acc(op: str, shapes: Sequence[Shape], attrs: Mapping[str, Any]) -> Shape:
    m, n, _ = _matrix_extents(op, shapes[1], shapes[2], attrs)
    if shapes[0] != (m, n):
        raise OpTypeError(f"{op} needs an accumulator [{m}, {n}]", _text(shapes), "create it with the product's shape")
    return (m, n)


def _concat(op: str, shapes: Sequence[Shape], attrs: Mapping[str, Any]) -> Shape:
    if any(len(shape) != len(shapes[0]) or shape[:-1] != shapes[0][:-1] for shape in shapes):
        raise OpTypeError(
            f"{op} joins columns of equal row counts", _text(shapes), "make all but the last extent equal"
        )
    return (*shapes[0][:-1], sum(shape[-1] for shape in shapes))


def _transpose(op: str, shapes: Sequence[Shape], attrs: Mapping[str, Any]) -> Shape:
    shape = list(shapes[0])
    axes = [attrs.get("axis1", 0), attrs.get("axis2", 1)]
    if any(not -len(shape) <= axis < len(shape) for axis in axes):
        raise OpTypeError(f"{op} axes must exist", f"axes {axes} of {shape}", f"use 0..{len(shape) - 1}")
    first, second = (axis % len(shape) for axis in axes)
    shape[first], shape[second] = shape[second], shape[first]
    return tuple(shape)


def _fill(op: str, shapes: Sequence[Shape], attrs: Mapping[str, Any]) -> Shape:
    shape = tuple(attrs["shape"])
    if op == "arange" and any(extent != 1 for extent in shape[:-1]):
        raise OpTypeError("arange fills one row", f"shape {list(shape)}", "leading extents must be 1")
    return shape


def _packed_mask(op: str, shapes: Sequence[Shape], attrs: Mapping[str, Any]) -> Shape:
    shape = _same(op, shapes, attrs)
    if not attrs.get("packed_mask", True):
        return shape
    return (*shape[:-1], ((shape[-1] + 7) // 8 + 31) // 32 * 32)


def _masked(op: str, shapes: Sequence[Shape], attrs: Mapping[str, Any]) -> Shape:
    shape = _same(op, shapes[1:], attrs)
    if shapes[0][:-1] != shape[:-1]:
        raise OpTypeError(f"{op} needs a mask row for each row", _text(shapes), "make the mask with pl.tile.cmp")
    return shape  # the row's check counts the bits of a mask row


def _sort32(op: str, shapes: Sequence[Shape], attrs: Mapping[str, Any]) -> Shape:
    shape = _same(op, shapes, attrs)
    return (*shape[:-1], shape[-1] * int(attrs["width"]))


def _one_row(op: str, shapes: Sequence[Shape], attrs: Mapping[str, Any]) -> Shape:
    for shape in shapes:
        if any(extent != 1 for extent in shape[:-1]):
            raise OpTypeError(f"{op} takes tiles of one row", _text(shapes), "loop over the rows")
    if len(shapes) > 1:
        return _concat(op, shapes, attrs)
    run = int(attrs["block_len"])
    if run < 64 or run % 64:
        raise OpTypeError(
            f"{op} needs block_len to be a multiple of 64", f"block_len {run}", "count elements, not pairs"
        )
    return shapes[0]


SHAPE_RULES: Mapping[str, Callable[[str, Sequence[Shape], Mapping[str, Any]], Shape]] = MappingProxyType(
    {
        "same": _same,
        "same_or_row": _same_or_row,
        "cast": _same,
        "row_reduce": _row_reduce,
        "col_reduce": _col_reduce,
        "row_vector": _row_vector,
        "col_vector": _col_vector,
        "matmul": _matmul,
        "matmul_acc": _matmul_acc,
        "matmul_bias": _matmul_bias,
        "concat": _concat,
        "transpose": _transpose,
        "fill": _fill,
        "packed_mask": _packed_mask,
        "masked": _masked,
        "sort32": _sort32,
        "one_row": _one_row,
        **INDEXED_SHAPES,
    }
)


def accumulator_of(dtype: str) -> str:
    """Accumulator type of a matmul on `dtype` operands (pto-isa: include/pto/cpu/TMatmul.hpp)."""
    return "INT32" if dtype == "INT8" else "FP32"


def _yields(target: str, vector: str) -> bool:
    """Whether the compiler's common type of the two is the vector's, as the expanding instruction converts nothing.

    pypto: src/ir/op/type_inference.cpp (PromoteDataTypes); pto-isa: include/pto/npu/a2a3/T{Row,Col}Expand.hpp.
    """
    if (target in FLOATS) != (vector in FLOATS):
        return vector in FLOATS
    bits = [STORAGE[dtype].itemsize for dtype in (target, vector)]
    return bits[0] < bits[1] or target == vector or (bits[0] == bits[1] and vector[0] == "I" and target[0] == "U")


def _check_scalar(op: str, scalar: OperandType, tile_dtype: str) -> None:
    # A subtraction keeps the tile's type whatever the number's (pypto: tensor_ops/elementwise.cpp, tensor.subs).
    if op != "sub" and scalar.dtype in FLOATS and tile_dtype not in FLOATS:
        raise OpTypeError(
            f"{op} needs a scalar of the tile's type", f"{scalar.dtype} scalar with a {tile_dtype} tile", "use an int"
        )


def _check_dtypes(row: OpRow, tiles: Sequence[OperandType], attrs: Mapping[str, Any]) -> str:
    """The element type of the result. Raises OpTypeError."""
    if not tiles:
        dtype = str(attrs["dtype"])
        if dtype not in row.dtypes:
            raise OpTypeError(
                f"{row.name} does not take {dtype}", f"dtype {dtype}", f"use one of {', '.join(row.dtypes)}"
            )
        return dtype
    dtypes = [tile.dtype for tile in tiles]
    main = dtypes[1] if row.out_dtype_rule in ("accumulator_in", "masked", "expanded") else dtypes[0]
    if main not in row.dtypes:
        raise OpTypeError(
            f"{row.name} does not take {main}",
            f"operands {', '.join(dtypes)}",
            f"cast to one of {', '.join(row.dtypes)}",
        )
    if row.out_dtype_rule == "accumulator_in":
        want = [accumulator_of(main), main, main]
    elif row.out_dtype_rule == "index":
        want = [main, dtypes[1]]
        allowed = ("INT16", "INT32") if STORAGE[main].itemsize == 2 else ("INT32",)
        if dtypes[1] not in allowed:
            raise OpTypeError(
                f"{row.name} needs an index of {' or '.join(allowed)}", f"got {dtypes[1]}", "cast the index"
            )
    elif row.out_dtype_rule == "expanded":
        want = [dtypes[0] if _yields(dtypes[0], main) else main, main]
    elif row.out_dtype_rule == "masked":
        want = [dtypes[0]] + [main] * (len(dtypes) - 1)
    elif row.out_dtype_rule in ("free", "reinterpreted"):
        want = dtypes
    else:
        want = [main] * len(dtypes)
    if dtypes != want:
        raise OpTypeError(
            f"{row.name} needs operands of types {', '.join(want)}",
            f"got {', '.join(dtypes)}",
            f"cast one of them: pl.cast(x, target_type=pl.{main})",
        )
    if row.out_dtype_rule == "target":
        target = str(attrs["target"])
        if target not in STORAGE:
            raise OpTypeError(f"{row.name} has no target type {target}", f"{main} to {target}", "see the cast table")
        if target == main:  # a conversion to the same type may corrupt values (pypto: src/ir/op/tile_ops/unary.cpp)
            raise OpTypeError(f"{row.name} changes the element type", f"{main} to {target}", "use the value as it is")
        return target
    if row.out_dtype_rule in ("attr", "reinterpreted"):
        return str(attrs["dtype"])
    if row.out_dtype_rule == "int32":
        return "INT32"
    if row.out_dtype_rule == "mask":
        return "UINT8" if attrs.get("packed_mask", True) else main
    return accumulator_of(main) if row.out_dtype_rule.startswith("accumulator") else main


def infer(row: OpRow, in_types: Sequence[OperandType], attrs: Mapping[str, Any]) -> tuple[Shape, str]:
    """Shape and element type of the result of `row` on operands of `in_types`.

    attrs: the call's attributes (cast: target, mode; full and arange: shape, dtype; matmul: a_trans, b_trans).
    Raises OpTypeError.
    """
    required = len(row.operands)
    if row.variadic:
        legal = len(in_types) >= required
    else:
        legal = len(in_types) == required
    if not legal:
        raise OpTypeError(f"{row.name} takes {required} operands", f"got {len(in_types)}", "check the call")
    for position, operand in enumerate(in_types):
        kind = row.operands[min(position, required - 1)]
        if operand.space == "scalar" and kind == "tile":
            raise OpTypeError(
                f"operand {position} of {row.name} must be a tile", f"got a {operand.dtype} scalar", "use full"
            )
        if operand.space != "scalar" and kind == "scalar":
            raise OpTypeError(
                f"operand {position} of {row.name} must be a number",
                f"got {list(operand.shape)} {operand.dtype}",
                "use prelu for a tile of slopes" if row.name == "lrelu" else "use div for two tiles",
            )
    tiles = [operand for operand in in_types if operand.space != "scalar"]
    dtype = _check_dtypes(row, tiles, attrs)
    for operand in in_types:
        if operand.space == "scalar":
            # Of a masked operator the mask comes first.
            _check_scalar(row.name, operand, tiles[-1].dtype)
    shape = SHAPE_RULES[row.shape_rule](row.name, [tuple(tile.shape) for tile in tiles], attrs)
    if row.check is not None:
        row.check(tiles, attrs)
    return shape, dtype
