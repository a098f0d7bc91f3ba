"""How each recorded operator is computed with pto_sim.numerics: one function for each, giving the whole destination."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from pto_sim.numerics import arithmetic, bits, comparisons, fused, patterns, sorting
from pto_sim.numerics.atomic import atomic_add
from pto_sim.numerics.casts import convert
from pto_sim.numerics.fixpipe import drained
from pto_sim.numerics.generators import random, tri
from pto_sim.numerics.optable import OP_TABLE
from pto_sim.numerics.padding import fill_outside
from pto_sim.numerics.saturation import convert_saturating
from tests.numerics.recordings import PATTERNS, Case

Reproduction = Callable[[Case], np.ndarray]
SIM = "cpu-sim"


def run(function: str | Callable[..., np.ndarray], *operands: Any, **attrs: Any) -> np.ndarray:
    """An operator's function on one lane, under cpu-sim."""
    lanes = [np.ascontiguousarray(x)[None] if isinstance(x, np.ndarray) and x.ndim else x for x in operands]
    call = OP_TABLE[function].function if isinstance(function, str) else function
    return call(*lanes, profile=SIM, **attrs)[0]


def _elementwise(function: str | Callable[..., np.ndarray], count: int) -> Reproduction:
    return lambda c: c.placed(run(function, *(c.part(i) for i in range(count))))


def _with_scalar(function: str | Callable[..., np.ndarray]) -> Reproduction:
    def reproduce(c: Case) -> np.ndarray:
        try:
            return c.placed(run(function, c.part(0), c.scalar))
        except ZeroDivisionError:
            # The simulator leaves the destination as it was; here a zero divisor of a remainder is an error.
            assert c.meta["op"] in ("fmods", "rems") and c.scalar == 0
            return c.placed(np.empty((0, 0), c.out.dtype))

    return reproduce


def _three(function: Callable[..., np.ndarray]) -> Reproduction:
    return lambda c: c.placed(run(function, c.part(0), c.part(1), c.part(2)))


def _two_and_scalar(function: Callable[..., np.ndarray]) -> Reproduction:
    return lambda c: c.placed(run(function, c.part(0), c.scalar, c.part(1)))


def _with_destination(function: Callable[..., np.ndarray]) -> Reproduction:
    return lambda c: run(function, c.tile(2), c.tile(0), c.tile(1))


def _row_expand(op: str) -> Reproduction:
    """The vector is [R, 1], or one block of 32 bytes a row that repeats along the columns; either operand may be it."""
    function: Any = arithmetic.expdif if op == "expdif" else {"max": "maximum", "min": "minimum"}.get(op, op)

    def reproduce(c: Case) -> np.ndarray:
        rows, columns = c.valid
        vector_first = "src0 is" in c.meta["vector"]
        x, v = (c.tile(1), c.tile(0)) if vector_first else (c.tile(0), c.tile(1))
        v = np.tile(v[:rows], -(-columns // v.shape[1]))[:, :columns]
        pair = (v, x[:rows, :columns]) if vector_first else (x[:rows, :columns], v)
        return c.placed(run(function, *pair))

    return reproduce


def _column_expand(name: str) -> Reproduction:
    return lambda c: c.placed(run(name, c.part(0), c.tile(1)[:1, : c.valid[1]]))


def _reduce(name: str) -> Reproduction:
    def reproduce(c: Case) -> np.ndarray:
        attrs = {} if c.out_dtype == c.dtype or "arg" in name else {"out_dtype": c.out_dtype}
        return c.placed(run(name, c.part(0), **attrs).view(c.out.dtype))

    return reproduce


def _product(c: Case) -> np.ndarray:
    if c.has("in2") and c.meta["op"] == "matmul_acc":
        return run("matmul_acc", c.raw("in2"), c.tile(0), c.tile(1))
    if c.has("in2"):
        return run("matmul_bias", c.raw("in2").reshape(1, -1), c.tile(0), c.tile(1))
    return run("matmul", c.tile(0), c.tile(1))


def _cast(c: Case) -> np.ndarray:
    if c.meta["saturation"]:
        return c.placed(convert_saturating(c.part(0), c.out_dtype, c.meta["mode"]))
    return c.placed(convert(c.part(0), c.out_dtype, c.meta["mode"], SIM))


def _mask(c: Case) -> np.ndarray:
    """The simulator clears the whole mask first."""
    other = c.part(1) if c.has("in1") else c.scalar
    mode = comparisons.MODES.index(c.meta["cmp"])
    mask = run("cmp", c.part(0), other, cmp_type=mode, width=c.meta["tile"][1])
    whole = np.zeros((*c.out.shape[:1], c.out.shape[1] * c.out.itemsize), np.uint8)
    rows, words = c.meta["mask_valid"]
    count = min(words * c.out.itemsize, mask.shape[1])
    whole[:rows, :count] = mask[:rows, :count]
    return whole.view(c.out.dtype)


def _select(c: Case) -> np.ndarray:
    rows, mask_bytes = c.meta["mask_valid"]
    if c.meta["op"] == "sel":
        return c.placed(run("sel", c.raw("in2"), c.part(0), c.part(1), mask_bytes=mask_bytes))
    return c.placed(run("sels", c.raw("in1")[:rows], c.part(0), c.scalar))


def _store(c: Case) -> np.ndarray:
    op = str(c.meta["op"])
    out, (rows, columns) = c.raw("in1").view(c.out.dtype).copy(), c.valid
    value = drained(c.part(0), c.out_dtype, relu=op.endswith("relu"))
    window = out[:rows, :columns]
    window[...] = atomic_add(window, value) if op.endswith("add") else value
    return out


def _fill(c: Case) -> np.ndarray:
    pad = "zero" if c.meta["pad"] == "null" else c.meta["pad"]
    return fill_outside(c.tile(0)[None], c.valid, tuple(c.meta.get("out_tile", c.meta["tile"])), pad)[0]


def _sort32(c: Case) -> np.ndarray:
    rows, columns = c.valid
    made = run(sorting.sort32, c.part(0), c.raw("in1")[:rows, :columns])
    # Of 16-bit types each block of 32 columns is written from element 64 b on, over the half of the block before.
    ends = [2 * first + 4 * min(32, columns - first) for first in range(0, columns, 32)]
    return c.placed(made[:, : max(ends)] if made.itemsize == 2 else made)


def _merge_runs(c: Case) -> np.ndarray:
    length = c.meta["block_len"]
    whole = c.meta["dst_valid_cols"] // (4 * length) * 4 * length
    return c.placed(run(sorting.mrgsort, c.tile(0), block_len=length)[:, :whole])


def _merge_lists(c: Case) -> np.ndarray:
    stride, width = c.meta["list_stride"], c.meta["record_elems"]
    lists = [c.tile(0)[:, i * stride : i * stride + n] for i, n in enumerate(c.meta["list_valid_cols"])]
    merged = run(sorting.mrgsort_lists, *lists[: c.meta["lists"]], exhausted=c.meta["exhausted"])
    count = min(int(c.raw("executed").sum()) * width, c.meta["dst_valid_cols"])
    return c.placed(merged[:, :count])


def _flat_placed(c: Case, values: np.ndarray) -> np.ndarray:
    out = c.placed(np.empty((0, 0), c.out.dtype))
    out.reshape(-1)[: values.size] = values.reshape(-1)
    return out


def _gather_mask(c: Case) -> np.ndarray:
    made = run(patterns.gather_mask, c.part(0), pattern=PATTERNS[c.meta["pattern"]], dtype=c.out_dtype)
    return _flat_placed(c, made)


def _gather_blocks(c: Case) -> np.ndarray:
    x = c.tile(0)
    rows, columns = c.valid
    per_block = 32 // x.itemsize
    offsets = c.raw("in1")[:rows]
    made = run(patterns.gatherb, x, offsets, columns=columns // per_block * per_block)
    out = c.placed(np.empty((0, 0), c.out.dtype))
    for row in range(rows):
        for block in range(columns // per_block):
            if int(offsets[row, block]) + 32 <= x.nbytes:  # a block past the end is not written
                at = slice(block * per_block, (block + 1) * per_block)
                out[row, at] = made[row, at]
    return out


def _scatter(c: Case) -> np.ndarray:
    return run(
        patterns.scatter_flat,
        c.placed(np.empty((0, 0), c.out.dtype)),
        c.part(0),
        c.raw("in1")[: c.valid[0], : c.valid[1]],
    )


def _random(c: Case) -> np.ndarray:
    words = [int(w) for w in c.raw("in0")]
    made = random(
        key=(words[0], words[1]), counter=(words[2], words[3], words[4], words[5]), shape=c.valid,
        rounds=c.meta["rounds"], row_stride=c.meta["row_stride"],
    )[0]  # fmt: skip
    return c.placed(made.view(c.out.dtype))


def _part(name: str) -> Reproduction:
    def reproduce(c: Case) -> np.ndarray:
        valids = [tuple(c.meta.get(key, c.valid)) for key in ("valid0", "valid1")]
        return c.placed(run(name, c.part(0), c.part(1), a_valid=valids[0], b_valid=valids[1]))

    return reproduce


def _numbers(c: Case) -> np.ndarray:
    descending = c.meta["op"] == "ci_desc" or bool(c.meta.get("descending"))
    return c.placed(
        run("arange", start=c.meta["start"], shape=(1, c.meta["valid_cols"]), dtype=c.dtype, descending=descending)
    )


def _constant(c: Case) -> np.ndarray:
    return c.placed(run("full", shape=c.valid, dtype=c.dtype, value=c.scalar))


def _triangle(upper: bool) -> Reproduction:
    return lambda c: c.placed(run(tri, diagonal=c.meta["diagonal"], shape=c.valid, dtype=c.dtype, upper=upper))


def _scatter_mask(c: Case) -> np.ndarray:
    dst = np.ones(c.valid, c.out.dtype)
    return c.placed(run(patterns.scatter_mask, dst, c.tile(0), pattern=PATTERNS[c.meta["pattern"]]))


def _gather(c: Case) -> np.ndarray:
    index = c.raw("in1")[: c.valid[0], : c.valid[1]]
    return c.placed(run(patterns.gather_flat, c.tile(0), index))


_BINARY: dict[str, Any] = {
    "add": "add", "sub": "sub", "mul": "mul", "div": "div", "max": "maximum", "min": "minimum", "and": bits.bit_and,
    "or": bits.bit_or, "xor": bits.bit_xor, "shl": bits.shift_left, "shr": bits.shift_right, "fmod": arithmetic.fmod,
    "rem": arithmetic.rem, "prelu": arithmetic.prelu, "subrelu": fused.subrelu,
}  # fmt: skip
_SCALAR: dict[str, Any] = {
    **{f"{name}s": function for name, function in _BINARY.items() if name not in ("prelu", "subrelu")},
    "lrelu": arithmetic.lrelu, "rdivs": arithmetic.rdivs,
}  # fmt: skip
_UNARY: dict[str, Any] = {
    **{name: name for name in ("abs", "neg", "exp", "log", "sqrt", "rsqrt", "recip")},
    "relu": arithmetic.relu, "not": bits.bit_not,
}  # fmt: skip
_EXPANDED = ("add", "sub", "mul", "div", "max", "min", "expdif")

REPRODUCTIONS: dict[str, Reproduction] = {
    **{name: _elementwise(function, 2) for name, function in _BINARY.items()},
    **{name: _elementwise(function, 1) for name, function in _UNARY.items()},
    **{name: _with_scalar(function) for name, function in _SCALAR.items()},
    "addc": _three(arithmetic.addc),
    "subc": _three(arithmetic.subc),
    "addsc": _two_and_scalar(arithmetic.addc),
    "subsc": _two_and_scalar(arithmetic.subc),
    "muladddst": _with_destination(fused.muladddst),
    "fusedmuladd": _with_destination(fused.fusedmuladd),
    "fusedmuladdrelu": _with_destination(fused.fusedmuladdrelu),
    "axpy": lambda c: run(fused.axpy, c.tile(2), c.tile(0), c.scalar),
    **{f"row_expand_{op}": _row_expand(op) for op in _EXPANDED},
    **{f"col_expand_{op}": _column_expand(f"col_expand_{op}") for op in _EXPANDED},
    "row_expand": lambda c: c.placed(run("row_expand", np.zeros(c.valid, c.out.dtype), c.tile(0)[: c.valid[0], :1])),
    "col_expand": lambda c: c.placed(run("col_expand", np.zeros(c.valid, c.out.dtype), c.tile(0)[:1, : c.valid[1]])),
    **{
        f"{axis}_{op}": _reduce(f"{axis}_{op}")
        for axis in ("row", "col")
        for op in ("sum", "max", "min", "prod", "argmax", "argmin")
    },
    "col_sum_tmp": _reduce("col_sum"),
    **dict.fromkeys(("matmul", "matmul_acc", "matmul_bias", "gemv"), _product),
    "cast": _cast,
    **dict.fromkeys(("cmp", "cmps", "cmp32"), _mask),
    **dict.fromkeys(("sel", "sels"), _select),
    **dict.fromkeys(("store_acc", "store_acc_add", "store_acc_relu", "store_vec", "store_vec_add"), _store),
    **dict.fromkeys(("load", "fillpad", "fillpad_inplace", "fillpad_expand"), _fill),
    "sort32": _sort32,
    "mrgsort1": _merge_runs,
    "mrgsort2": _merge_lists,
    "gather": _gather,
    "gather_mask": _gather_mask,
    "gatherb": _gather_blocks,
    "scatter": _scatter,
    "scatter_mask": _scatter_mask,
    "random": _random,
    **{f"part_{op}": _part(f"part_{op}") for op in ("add", "mul", "max", "min")},
    "ci": _numbers,
    "ci_desc": _numbers,
    "expands": _constant,
    "tril": _triangle(False),
    "triu": _triangle(True),
    "transpose": lambda c: c.placed(run("transpose", c.part(0))),
}
