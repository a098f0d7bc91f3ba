"""Kernels of one operator for the recorded results of upstream's simulator: load, the operator, store."""

import functools
from collections.abc import Callable
from typing import Any

import numpy as np

import pto_sim.language as pl
from pto_sim.engine import run_kernel
from pto_sim.numerics.element_types import FILL_BYTE
from pto_sim.program.options import RunOptions
from tests.numerics.recordings import PATTERNS, Case

Body = Callable[..., Any]
Operand = tuple[np.ndarray, tuple[int, int]]


def _dtype(array: np.ndarray) -> Any:
    names = {"float32": "FP32", "float16": "FP16", "bfloat16": "BF16"}
    return getattr(pl, names.get(array.dtype.name, array.dtype.name.upper()))


def compute(body: Body, operands: list[Operand], out: np.ndarray) -> np.ndarray:
    """`out` after a kernel that loads the operands with their valid shapes, calls `body` and stores the result."""
    body = functools.partial(body)  # a kernel may not call a plain Python function
    arrays = [np.ascontiguousarray(array) for array, _ in operands]
    types = [pl.Tensor[list(a.shape), _dtype(a)] for a in arrays]
    target = pl.Tensor[list(out.shape), _dtype(out)]
    shapes, valids = [list(a.shape) for a in arrays], [list(valid) for _, valid in operands]
    if not arrays:
        types, shapes, valids, arrays = [target], [list(out.shape)], [list(out.shape)], [out.copy()]

        @pl.jit
        def kernel(a: types[0], o: pl.InOut[target]):
            with pl.at(level=pl.Level.CORE_GROUP):
                pl.store(body(), [0, 0], o)
    elif len(arrays) == 1:

        @pl.jit
        def kernel(a: types[0], o: pl.InOut[target]):
            with pl.at(level=pl.Level.CORE_GROUP):
                pl.store(body(pl.load(a, [0, 0], shapes[0], valid_shape=valids[0])), [0, 0], o)
    elif len(arrays) == 2:

        @pl.jit
        def kernel(a: types[0], b: types[1], o: pl.InOut[target]):
            with pl.at(level=pl.Level.CORE_GROUP):
                x = pl.load(a, [0, 0], shapes[0], valid_shape=valids[0])
                y = pl.load(b, [0, 0], shapes[1], valid_shape=valids[1])
                pl.store(body(x, y), [0, 0], o)
    else:

        @pl.jit
        def kernel(a: types[0], b: types[1], c: types[2], o: pl.InOut[target]):
            with pl.at(level=pl.Level.CORE_GROUP):
                x = pl.load(a, [0, 0], shapes[0], valid_shape=valids[0])
                y = pl.load(b, [0, 0], shapes[1], valid_shape=valids[1])
                z = pl.load(c, [0, 0], shapes[2], valid_shape=valids[2])
                pl.store(body(x, y, z), [0, 0], o)

    done = run_kernel(getattr(kernel, "entry", kernel), [*arrays, out.copy()], RunOptions(numerics="cpu-sim"), [])
    return done.outputs["o"]


def untouched(c: Case) -> np.ndarray:
    return c.placed(np.empty((0, 0), c.out.dtype))


def _tiles(c: Case, count: int) -> list[Operand]:
    return [(c.tile(i), c.valid) for i in range(count)]


def _tmp(x: Any) -> Any:
    return pl.create_tile(list(x.shape), dtype=x.dtype)


def _plain(function: Any, count: int, scalar: bool = False) -> Callable[[Case], np.ndarray]:
    def reproduce(c: Case) -> np.ndarray:
        tail = (c.scalar,) if scalar else ()
        return compute(lambda *tiles: function(*tiles, *tail), _tiles(c, count), untouched(c))

    return reproduce


def _reduction(function: Any, scratch: bool = True) -> Callable[[Case], np.ndarray]:
    if not scratch:
        return lambda c: compute(function, _tiles(c, 1), untouched(c))
    return lambda c: compute(lambda x: function(x, _tmp(x)), _tiles(c, 1), untouched(c))


def _column_expand(function: Any) -> Callable[[Case], np.ndarray]:
    def reproduce(c: Case) -> np.ndarray:
        vector = (np.ascontiguousarray(c.tile(1)[:1]), (1, c.valid[1]))
        return compute(function, [(c.tile(0), c.valid), vector], untouched(c))

    return reproduce


def _row_expand(function: Any) -> Callable[[Case], np.ndarray]:
    def reproduce(c: Case) -> np.ndarray:
        # A column, or packed: a block of 32 bytes in each row.
        width = 1 if "col-major" in c.meta["vector"] else 32 // c.tile(1).dtype.itemsize
        vector = (np.ascontiguousarray(c.tile(1)[:, :width]), (c.valid[0], width))
        return compute(function, [(c.tile(0), c.valid), vector], untouched(c))

    return reproduce


def _cast(c: Case) -> np.ndarray:
    return compute(lambda x: pl.cast(x, getattr(pl, c.out_dtype), mode=c.meta["mode"]), _tiles(c, 1), untouched(c))


def _compare(c: Case) -> np.ndarray:
    operands = _tiles(c, 2 if c.has("in1") else 1)
    tail = () if c.has("in1") else (c.scalar,)
    out = np.zeros_like(c.out)
    return compute(lambda *x: pl.tile.cmp(*x, *tail, cmp_type=c.meta["cmp"]), operands, out)


def _select(c: Case) -> np.ndarray:
    mask = (c.raw("in2" if c.meta["op"] == "sel" else "in1"), tuple(c.meta["mask_valid"]))
    scratch = lambda: pl.create_tile([1, 32], dtype=pl.UINT8)  # noqa: E731
    if c.meta["op"] == "sel":
        return compute(lambda x, y, m: pl.tile.sel(m, x, y, scratch()), [*_tiles(c, 2), mask], untouched(c))
    return compute(lambda x, m: pl.tile.sels(m, x, scratch(), c.scalar), [*_tiles(c, 1), mask], untouched(c))


def _store(c: Case) -> np.ndarray:
    before = c.raw("in1").view(c.out.dtype)
    if c.meta["op"] == "store_vec":
        return compute(lambda x: x, _tiles(c, 1), before)
    x, valid, shape = c.tile(0), list(c.valid), list(c.tile(0).shape)
    kind = _dtype(x)

    @pl.jit
    def kernel(a: pl.Tensor[shape, kind], o: pl.InOut[pl.Tensor[shape, kind]]):
        with pl.at(level=pl.Level.CORE_GROUP):
            pl.store(pl.load(a, [0, 0], shape, valid_shape=valid), [0, 0], o, atomic=pl.AtomicType.Add)

    return run_kernel(getattr(kernel, "entry", kernel), [x, before.copy()], RunOptions(numerics="cpu-sim"), []).outputs[
        "o"
    ]


def _product(c: Case) -> np.ndarray:
    a, b = c.tile(0), c.tile(1)
    operands: list[Operand] = [(a, a.shape), (b, b.shape)]  # type: ignore[list-item]
    if c.meta["op"] == "matmul_bias":
        bias = c.raw("in2").reshape(1, -1)
        return compute(pl.matmul_bias, [*operands, (bias, bias.shape)], np.zeros_like(c.out))  # type: ignore[list-item]
    function = pl.gemv if c.meta["op"] == "gemv" else pl.matmul

    def whole(x: Any, y: Any) -> Any:
        """Operands in L0 already: the compiler cuts them no further."""
        left = pl.move(x, target_memory=pl.MemorySpace.Left)
        return function(left, pl.move(y, target_memory=pl.MemorySpace.Right))

    return compute(whole, operands, np.zeros_like(c.out))


def _fill(c: Case) -> np.ndarray:
    pad = pl.PadValue.zero if c.meta["pad"] == "null" else getattr(pl.PadValue, c.meta["pad"])
    name = c.meta["op"]
    if name == "load":
        return compute(lambda x: pl.set_validshape(x, *c.out.shape), _tiles(c, 1), untouched(c))
    if name == "fillpad_expand":
        return compute(lambda x: pl.fillpad_expand(x, list(c.out.shape), pad_value=pad), _tiles(c, 1), untouched(c))
    return compute(lambda x: getattr(pl, name)(x, pad_value=pad), _tiles(c, 1), untouched(c))


def _random(c: Case) -> np.ndarray:
    words = [int(w) for w in c.raw("in0")]
    return compute(
        lambda: pl.tile.random(*words, list(c.out.shape), list(c.valid), dtype=pl.UINT32, rounds=c.meta["rounds"]),
        [], untouched(c),
    )  # fmt: skip


def _numbers(c: Case) -> np.ndarray:
    count, kind = c.meta["valid_cols"], getattr(pl, c.dtype)
    block = 32 // c.out.itemsize
    width = -(-count // block) * block  # rows of the language fill whole blocks
    made = compute(
        lambda: pl.arange(c.meta["start"], [1, width], dtype=kind, descending=c.meta["op"] == "ci_desc"),
        [], np.zeros((1, width), c.out.dtype),
    )  # fmt: skip
    return c.placed(made[:, :count])


def _constant(c: Case) -> np.ndarray:
    body = lambda: pl.full(list(c.valid), dtype=getattr(pl, c.dtype), value=c.scalar)  # noqa: E731
    return compute(body, [], untouched(c))


def _triangle(c: Case) -> np.ndarray:
    return compute(
        lambda: pl.tile.tri(
            c.meta["diagonal"], list(c.out.shape), list(c.valid), dtype=getattr(pl, c.dtype),
            upper=c.meta["op"] == "triu",
        ),
        [], untouched(c),
    )  # fmt: skip


def _parts(function: Any) -> Callable[[Case], np.ndarray]:
    def reproduce(c: Case) -> np.ndarray:
        valids = [tuple(c.meta.get(key, c.valid)) for key in ("valid0", "valid1")]
        made = compute(function, [(c.tile(0), valids[0]), (c.tile(1), valids[1])], untouched(c))
        # The language's result is valid as far as one operand is; the recorded destination was wider, filled with 0.
        rows, columns = (max(pair) for pair in zip(*valids, strict=True))
        whole = c.placed(np.zeros(c.valid, c.out.dtype))
        whole[:rows, :columns] = made[:rows, :columns]
        return whole

    return reproduce


def _gather(c: Case) -> np.ndarray:
    source = c.tile(0)
    operands = [(source, source.shape), (c.raw("in1"), c.valid)]
    return compute(lambda x, i: pl.tile.gather(x, i, _tmp(i)), operands, untouched(c))  # type: ignore[arg-type]


def _gather_blocks(c: Case) -> np.ndarray:
    source = c.tile(0)
    offsets, shape = c.raw("in1"), list(c.out.shape)
    operands = [(source, source.shape), (offsets, offsets.shape)]
    made = compute(lambda x, o: pl.slice(pl.tile.gatherb(x, o), shape, [0, 0]), operands, untouched(c))  # type: ignore[arg-type]
    # The simulator skips a block past the end of the source, the language's tile is new and holds 0 there.
    return np.where(c.out == untouched(c), untouched(c), made)


def _sort(c: Case) -> np.ndarray:
    return compute(pl.tile.sort32, [(c.tile(0), c.valid), (c.raw("in1"), c.valid)], untouched(c))


def _merge(c: Case) -> np.ndarray:
    length = c.meta["block_len"]
    made = compute(lambda x: pl.tile.mrgsort(x, block_len=length), [(c.tile(0), c.valid)], untouched(c))
    return c.placed(made[:, : c.valid[1] // (4 * length) * 4 * length])  # what is not a group of four is not merged


def _merge_lists(c: Case) -> np.ndarray:
    stride, lengths = c.meta["list_stride"], c.meta["list_valid_cols"]

    def body(x: Any) -> Any:
        parts = [pl.slice(x, [1, n], [0, i * stride]) for i, n in enumerate(lengths)]
        scratch = pl.create_tile([1, sum(lengths)], dtype=x.dtype)
        return pl.tile.mrgsort(*parts, scratch, exhausted=c.meta["exhausted"])

    out = np.zeros((1, sum(lengths)), c.out.dtype)
    made = compute(body, [(c.tile(0), c.tile(0).shape)], out)  # type: ignore[list-item]
    count = min(int(c.raw("executed").sum()) * c.meta["record_elems"], c.meta["dst_valid_cols"])
    return c.placed(made[:, :count])


def _expanded(axis: str) -> Callable[[Case], np.ndarray]:
    def reproduce(c: Case) -> np.ndarray:
        rows, columns = c.valid
        vector, box = (c.tile(0)[:, :1], (rows, 1)) if axis == "row" else (c.tile(0)[:1], (1, columns))
        target = np.zeros_like(c.out)
        return compute(getattr(pl, f"{axis}_expand"), [(target, c.valid), (vector, box)], untouched(c))

    return reproduce


def _gather_mask(c: Case) -> np.ndarray:
    """All of the result is valid, so a kernel stores what lies behind the packed columns too: the fill."""
    made = compute(lambda x: pl.tile.gather_mask(x, PATTERNS[c.meta["pattern"]]), [(c.tile(0), c.valid)], untouched(c))
    rows, columns = c.valid
    kept = sum(c.meta["pattern"][4 - column % 4] == "1" for column in range(columns))
    rest = made.reshape(-1)[rows * kept :].view(np.uint8)
    assert (rest == FILL_BYTE).all()
    rest[:] = 0x5A
    return made


def _scatter_mask(c: Case) -> np.ndarray:
    dst = np.ones(c.out.shape, c.out.dtype)
    source = c.tile(0)
    return compute(
        lambda x, d: pl.tile.scatter_mask(d, x, PATTERNS[c.meta["pattern"]]),
        [(source, source.shape), (dst, c.valid)], untouched(c),
    )  # fmt: skip


def _scatter(c: Case) -> np.ndarray:
    dst = untouched(c)
    index = c.raw("in1")
    return compute(
        lambda d, s, i: pl.tile.scatter(d, s, i), [(dst, dst.shape), (c.tile(0), c.valid), (index, c.valid)], dst
    )  # type: ignore[list-item]


_BINARY: dict[str, tuple[str, Any]] = {
    "add": ("add", pl.add), "sub": ("sub", pl.sub), "mul": ("mul", pl.mul), "div": ("div", pl.div),
    "max": ("maximum", pl.maximum), "min": ("minimum", pl.minimum), "and": ("and_", pl.tile.and_),
    "or": ("or_", pl.tile.or_), "shl": ("shl", pl.tile.shl), "shr": ("shr", pl.tile.shr),
    "fmod": ("fmod", pl.fmod), "rem": ("rem", lambda x, y: pl.rem(x, y, _tmp(x))),
    "xor": ("xor_", lambda x, y: pl.tile.xor(x, y, _tmp(x))),
    "prelu": ("prelu", lambda x, y: pl.prelu(x, y, pl.create_tile([x.shape[0] + 1, x.shape[1]], dtype=pl.UINT8))),
}  # fmt: skip
_NO_SCRATCH = [("col", op) for op in ("max", "min", "prod")]
_UNARY = {name: (name, getattr(pl, name)) for name in ("abs", "neg", "exp", "log", "sqrt", "rsqrt", "recip", "relu")}
Reproduction = Callable[[Case], np.ndarray]
# Recorded operator -> (row of the operator table, reproduction).
KERNELS: dict[str, tuple[str, Reproduction]] = {
    **{name: (row, _plain(function, 2)) for name, (row, function) in _BINARY.items()},
    **{f"{name}s": (row, _plain(f, 1, scalar=True)) for name, (row, f) in _BINARY.items() if name != "prelu"},
    **{name: (row, _plain(function, 1)) for name, (row, function) in _UNARY.items()},
    "not": ("not_", _plain(pl.tile.not_, 1)),
    "lrelu": ("lrelu", _plain(pl.lrelu, 1, scalar=True)),
    "addc": ("addc", _plain(pl.addc, 3)),
    "subc": ("subc", _plain(pl.subc, 3)),
    **{
        f"col_expand_{op}": (f"col_expand_{op}", _column_expand(getattr(pl, f"col_expand_{op}")))
        for op in ("add", "sub", "mul", "div", "max", "min", "expdif")
    },
    **{
        f"row_expand_{op}": (f"row_expand_{op}", _row_expand(getattr(pl, f"row_expand_{op}")))
        for op in ("add", "sub", "mul", "div", "max", "min", "expdif")
    },
    **{
        f"{axis}_{op}": (f"{axis}_{op}", _reduction(getattr(pl, f"{axis}_{op}"), (axis, op) not in _NO_SCRATCH))
        for axis in ("row", "col")
        for op in ("sum", "max", "min", "prod", "argmax", "argmin")
    },
    "cast": ("cast", _cast),
    "cmp": ("cmp", _compare),
    "cmps": ("cmp", _compare),
    "sel": ("sel", _select),
    "sels": ("sels", _select),
    "store_vec": ("cast", _store),
    "store_vec_add": ("cast", _store),
    **dict.fromkeys(("matmul", "gemv", "matmul_bias"), ("matmul", _product)),
    **dict.fromkeys(("load", "fillpad", "fillpad_inplace", "fillpad_expand"), ("cast", _fill)),
    "random": ("random", _random),
    "ci": ("arange", _numbers),
    "ci_desc": ("arange", _numbers),
    "expands": ("full", _constant),
    "tril": ("tri", _triangle),
    "triu": ("tri", _triangle),
    **{f"part_{op}": (f"part_{op}", _parts(getattr(pl, f"part_{op}"))) for op in ("add", "mul", "max", "min")},
    "transpose": ("transpose", _plain(pl.transpose, 1)),
    "gather": ("gather_flat", _gather),
    "gatherb": ("gatherb", _gather_blocks),
    "sort32": ("sort32", _sort),
    "mrgsort1": ("mrgsort", _merge),
    "mrgsort2": ("mrgsort_lists", _merge_lists),
    "row_expand": ("row_expand", _expanded("row")),
    "col_expand": ("col_expand", _expanded("col")),
    "addsc": ("addc", lambda c: compute(lambda x, y: pl.addc(x, c.scalar, y), _tiles(c, 2), untouched(c))),
    "subsc": ("subc", lambda c: compute(lambda x, y: pl.subc(x, c.scalar, y), _tiles(c, 2), untouched(c))),
    "gather_mask": ("gather_mask", _gather_mask),
    "scatter_mask": ("scatter_mask", _scatter_mask),
    "scatter": ("scatter_flat", _scatter),
}
