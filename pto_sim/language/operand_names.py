"""Operand names: `pl.store(t, offsets=[0, 0], output_tensor=out)`.

The same operator names its operands differently as `pl.x`, `pl.tensor.x` and `pl.tile.x`. The tables give the names of
each space in order; a call that names operands is turned into the positional call before the operator sees it, and
operands of the dialect that a space does not take are refused
(names: pypto, python/pypto/language/op/{unified,tensor,tile}_ops.py).
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Mapping
from typing import Any

from pto_sim.language.dialects import check_level, refused_level

_BINARY = (
    "add sub mul part_add part_mul part_max part_min fmod fmods maximum minimum and_ ands or_ ors shl shls shr shrs "
    "adds subs muls divs maximums minimums max min batch_matmul"
)
_ROW_EXPANDS = "row_expand_mul row_expand_div row_expand_sub row_expand_max row_expand_min row_expand_expdif"
_COL_EXPANDS = (
    "col_expand_mul col_expand_div col_expand_sub col_expand_add col_expand_max col_expand_min col_expand_expdif"
)
_REDUCTIONS = "row_max row_sum row_min row_prod col_sum col_max col_min col_prod row_argmax row_argmin col_argmax "
_REDUCTIONS += "col_argmin"
_UNARY = "exp sin cos neg abs sqrt not_ relu"

_EVERYWHERE = {
    _BINARY: "lhs rhs",
    "div": "lhs rhs high_precision",
    "xor xors rem rems": "lhs rhs tmp",
    "cmp cmps": "lhs rhs cmp_type",
    "matmul": "lhs rhs out_dtype a_trans b_trans c_matrix_nz",
    "matmul_acc": "acc lhs rhs a_trans b_trans init_cond",
    "expands": "target scalar",
    "expand_clone": "src target",
    "assemble": "target source offset",
    "concat": "src0 src1",
    "reinterpret_view": "data dtype",
    "sort32": "src idx",
    "row_expand col_expand": "lhs rhs",
    _ROW_EXPANDS: "lhs rhs",
    "row_expand_add": "lhs rhs tmp",
    _COL_EXPANDS: "lhs rhs",
    "mrgsort": "src0 src1 src2 src3 tmp exhausted",
    "full": "shape dtype value",
    "arange ci": "start shape dtype descending",
    "random": "key0 key1 counter0 counter1 counter2 counter3 shape",
}
_UNIFIED = {
    _UNARY: "input",
    "log recip rsqrt": "input high_precision",
    "reshape": "input shape",
    "transpose": "input axis1 axis2",
    "slice": "input shape offset valid_shape drop_dims pad_value clamp",
    "fillpad": "value pad_value",
    "fillpad_expand": "value shape pad_value",
    _REDUCTIONS: "input tmp_tile",
    "cast": "input target_type mode",
    "set_validshape": "input valid_rows valid_cols",
    "read": "src offset",
    "write": "dst offset value",
    "gather_row": "dst src dst_offset src_offset shapes transpose",
    "load": "tensor offsets shapes valid_shape target_memory clamp",
    "store": "tile offsets output_tensor shapes",
    "move": "tile target_memory blayout slayout",
    "no_dep": "tensor",
}
_TENSOR = {
    _UNARY: "input",
    "log recip rsqrt": "input high_precision",
    _REDUCTIONS: "input",
    "cast": "input target_type mode",
    "dim": "tensor axis",
    "read": "tensor indices",
    "write": "tensor indices value",
    "slice": "tensor shape offset valid_shape drop_dims pad_value clamp",
    "fillpad": "tensor pad_value",
    "fillpad_expand": "tensor shape pad_value",
    "set_validshape": "tensor valid_rows valid_cols",
    "row_expand": "target row_vec",
    _ROW_EXPANDS + " row_expand_add": "tensor row_vec",
    _COL_EXPANDS + " col_expand": "tensor col_vec",
    "reshape": "tensor shape",
    "transpose": "tensor axis1 axis2",
    "gather_row": "acc src dst_offset src_offset shapes transpose",
    "no_dep": "tensor",
}
_TILES_ONLY = {
    "matmul_bias": "lhs rhs bias",
    "gemv": "lhs rhs acc_phase",
    "gemv_acc": "acc lhs rhs acc_phase",
    "gemv_bias": "lhs rhs bias acc_phase",
    "prelu": "tile slope tmp",
    "lrelu": "tile slope",
    "addc subc addsc subsc": "lhs rhs rhs2",
    "sel": "mask lhs rhs tmp",
    "sels": "mask src tmp scalar",
    "gatherb": "src offset",
}
_TILE = {
    **_TILES_ONLY,
    _UNARY + " transpose_view": "tile",
    "rsqrt": "tile tmp",
    "log recip": "tile high_precision",
    _REDUCTIONS: "tile tmp_tile",
    "cast": "tile target_type mode",
    "read": "tile indices",
    "write": "tile indices value",
    "slice": "tile shape offset valid_shape drop_dims pad_value",
    "reshape": "tile shape",
    "transpose": "tile axis1 axis2 tmp_tile",
    "fillpad fillpad_inplace": "tile pad_value",
    "fillpad_expand": "tile shape pad_value",
    "set_validshape": "tile valid_rows valid_cols",
    "part_add part_mul part_max part_min": "src0 src1",
    "matmul_acc": "acc lhs rhs init_cond",
    "batch_matmul_acc": "acc lhs rhs",
    "row_expand": "target row_vec",
    _ROW_EXPANDS: "tile row_vec",
    "row_expand_add": "tile row_vec tmp",
    "col_expand": "target col_vec",
    _COL_EXPANDS: "tile col_vec",
    "extract": "src index_row index_col shape",
    "load": "tensor offsets shapes valid_shape target_memory clamp",
    "store": "tile offsets output_tensor shapes",
    "move": "tile target_memory blayout slayout",
    "gather_row": "dst src dst_offset src_offset shapes transpose",
}
OPERAND_NAMES = "__operand_names__"
"""Attribute of an operator that holds its operands' names, in order: what a static check of its calls must know."""
_SPACES: Mapping[str, Mapping[str, str]] = {"pl": {**_UNIFIED, **_TILES_ONLY}, "pl.tensor": _TENSOR, "pl.tile": _TILE}


def operand_names(space: str) -> dict[str, tuple[str, ...]]:
    """The operand names of each operator of `space` ('pl', 'pl.tensor' or 'pl.tile'), in order."""
    result: dict[str, tuple[str, ...]] = {}
    for table in (_EVERYWHERE, _SPACES[space]):
        for operators, names in table.items():
            result.update(dict.fromkeys(operators.split(), tuple(names.split())))
    return result


def named_calls(space: str, functions: Mapping[str, Callable[..., Any]]) -> dict[str, Callable[..., Any]]:
    """Those of `functions` that have operand names in `space`, taking their operands by those names too."""
    names = operand_names(space)
    return {name: _by_name(function, names[name], space, name) for name, function in functions.items() if name in names}


def _by_name(function: Callable[..., Any], names: tuple[str, ...], space: str, name: str) -> Callable[..., Any]:
    parameters = list(inspect.signature(function).parameters.values())
    own = [p.name for p in parameters if p.kind is p.POSITIONAL_OR_KEYWORD]
    takes_any = any(p.kind is p.VAR_POSITIONAL for p in parameters)
    # The parameter at the same place, where it has another name; operators of any number of operands have none.
    spelled = {} if takes_any else {theirs: mine for theirs, mine in zip(names, own, strict=False) if theirs not in own}
    keywords = {p.name for p in parameters if p.kind is p.KEYWORD_ONLY}
    wanted = [name for name in names if name not in keywords] if takes_any else []

    called, refused = f"{space}.{name}", refused_level(space, name)

    @functools.wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        if refused:
            check_level(called, refused, (*args, *kwargs.values()))
        if kwargs:
            if takes_any:
                args = (*args, *(kwargs.pop(name) for name in wanted[len(args) :] if name in kwargs))
            else:
                kwargs = {spelled.get(name, name): value for name, value in kwargs.items()}
        return function(*args, **kwargs)

    setattr(call, OPERAND_NAMES, names)
    return call
