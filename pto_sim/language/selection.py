"""Comparisons, selection, sorting, random numbers and triangles: operators with keywords or several forms."""

from __future__ import annotations

from typing import Any

from pto_sim.engine.run import Run, require_run
from pto_sim.engine.storage import Tensor
from pto_sim.engine.tile import Tile
from pto_sim.language.scratch_tiles import check_scratch
from pto_sim.numerics.comparisons import MODES
from pto_sim.numerics.profiles import CPU_SIM
from pto_sim.program.dtypes import DataType
from pto_sim.program.errors import KernelError

__all__ = [
    "cmp", "cmps", "mrgsort", "part_add", "part_max", "part_min", "part_mul", "random", "sel", "sels", "sort32", "tri",
]  # fmt: skip

_UNSIGNED = ("UINT8", "UINT16", "UINT32")


def _wrong(run: Run, rule: str, values: str, hint: str) -> KernelError:
    return KernelError("PTO206", rule, site=run.site(), values=values, hint=hint)


def _tile(run: Run, x: Any) -> Tile:
    return run.memory.materialize(x) if isinstance(x, Tensor) else x


def cmp(a: Any, b: Any, cmp_type: Any = 0) -> Tile:
    """a ? b: 0 eq, 1 ne, 2 lt, 3 le, 4 gt, 5 ge. Of tiles a packed mask, of tensors 0 and 1 in a's type."""
    run = require_run("pl.cmp")
    number = MODES.index(cmp_type) if cmp_type in MODES else cmp_type
    if not isinstance(number, int) or not 0 <= number < len(MODES):
        raise _wrong(run, "pl.cmp has no such cmp_type", f"got {cmp_type!r}", "0 eq, 1 ne, 2 lt, 3 le, 4 gt, 5 ge")
    left = _tile(run, a)
    if not isinstance(left, Tile):
        raise _wrong(run, "pl.cmp compares a tile", f"got {a!r}", "compare scalars with Python operators")
    attrs: dict[str, Any] = {"cmp_type": number, "packed_mask": left.explicit}
    if run.options.numerics == CPU_SIM or run.options.profile_diff:
        # A tile's rows fill whole blocks of 32 bytes; the simulator's masks depend on that width.
        block = 32 // left.dtype.nbytes
        attrs["width"] = -(-left.shape[-1] // block) * block
    mask = run.compute.apply("cmp", (left, b), attrs)
    if left.explicit:
        box = left.valid or left.shape
        mask.valid = (*box[:-1], -(-box[-1] // 8))
    return mask


def cmps(a: Any, b: Any, cmp_type: Any = 0) -> Tile:
    """A tile compared with a number: a packed mask."""
    if isinstance(b, (Tile, Tensor)):
        raise _wrong(require_run("pl.cmps"), "pl.cmps takes a number as its second operand", f"got {b!r}", "pl.cmp")
    return cmp(a, b, cmp_type)


def sel(mask: Tile, a: Any, b: Any, tmp: Any) -> Tile:
    """a where the packed mask's bit is set, else b. tmp: scratch, changes no value."""
    run = require_run("pl.sel")
    check_scratch(run, "sel", (mask, a, b), tmp)
    attrs = {}
    if isinstance(mask, Tile) and (run.options.numerics == CPU_SIM or run.options.profile_diff):
        attrs["mask_bytes"] = (mask.valid or mask.shape)[-1] * mask.dtype.nbytes
    return run.compute.apply("sel", (mask, a, b), attrs)


def sels(mask: Tile, src: Any, tmp: Any, scalar: Any) -> Tile:
    """src where the packed mask's bit is set, else a number. A constant takes src's type: -3.0 stands for -3.

    A number with a fraction is refused (pypto: python/pypto/ir/op/tile_ops.py, _normalize_sels_scalar_operand).
    tmp: a scratch tile of two dimensions and of its own, changes no value. Of INT8, UINT8 and BF16 the a2a3 code
    generator makes no instruction (pypto: src/backend/common/pto_ops_elementwise.cpp, MakeSelsCodegenPTO).
    """
    run = require_run("pl.sels")
    check_scratch(run, "sels", (mask, src), tmp)
    number = scalar
    if type(number) is float and number.is_integer() and isinstance(src, Tile) and src.dtype.kind in ("int", "uint"):
        number = int(number)
    if type(number) is int and isinstance(src, Tile) and src.dtype.name in _UNSIGNED:
        number = _same_bits(number, 8 * src.dtype.nbytes)
    return run.compute.apply("sels", (mask, src, number), {})


def _same_bits(number: int, bits: int) -> int:
    """The unsigned number with the bits of a negative one; upstream hands the instruction a signed number."""
    return number + (1 << bits) if -(1 << bits - 1) <= number < 0 else number


def sort32(x: Any, idx: Any) -> Tile:
    """Each block of 32 columns in descending order, as records of value and index."""
    run = require_run("pl.sort32")
    x = _tile(run, x)
    return run.compute.apply("sort32", (x, idx), {"width": 8 // x.dtype.nbytes})


def mrgsort(*parts: Any, block_len: Any = None, exhausted: bool = False, tmp: Any = None) -> Tile:
    """Sorted runs of block_len elements of one row merged by fours, or two to four sorted rows merged into one."""
    run = require_run("pl.mrgsort")
    if block_len is not None:
        if len(parts) != 1:
            raise _wrong(
                run, "pl.mrgsort(block_len=) takes one tile", f"got {len(parts)}", "pl.mrgsort(x, block_len=n)"
            )
        return run.compute.apply("mrgsort", (parts[0],), {"block_len": int(block_len)})
    lists = list(parts)
    if len(lists) > 2 and isinstance(lists[-1], Tile) and lists[-1].explicit and _is_scratch(lists):
        lists.pop()
    if not 2 <= len(lists) <= 4:
        raise _wrong(run, "pl.mrgsort merges two to four lists", f"got {len(lists)}", "or give block_len=")
    return run.compute.apply("mrgsort_lists", tuple(lists), {"exhausted": bool(exhausted)})


def _is_scratch(lists: list[Any]) -> bool:
    """The last tile is the scratch of the tile form: as wide as the lists before it together."""
    return lists[-1].shape[-1] >= sum(part.shape[-1] for part in lists[:-1])


def _part(name: str, a: Any, b: Any) -> Tile:
    run = require_run(f"pl.{name}")
    a, b = _tile(run, a), _tile(run, b)
    valids = [tuple(x.valid or x.shape) for x in (a, b)]
    whole = [run.memory.with_valid(x, x.shape) for x in (a, b)]
    result = run.compute.apply(name, tuple(whole), {"a_valid": valids[0], "b_valid": valids[1]})
    valid = tuple(max(pair) for pair in zip(*valids, strict=True))
    return run.memory.with_valid(result, valid) if valid != result.shape else result


def part_add(a: Any, b: Any) -> Tile:
    """a + b where both are valid, the valid one elsewhere."""
    return _part("part_add", a, b)


def part_mul(a: Any, b: Any) -> Tile:
    """a * b where both are valid, the valid one elsewhere."""
    return _part("part_mul", a, b)


def part_max(a: Any, b: Any) -> Tile:
    """The larger where both are valid, the valid one elsewhere."""
    return _part("part_max", a, b)


def part_min(a: Any, b: Any) -> Tile:
    """The smaller where both are valid, the valid one elsewhere."""
    return _part("part_min", a, b)


def random(
    k0: Any, k1: Any, c0: Any, c1: Any, c2: Any, c3: Any, shape: Any, valid_shape: Any = None,
    dtype: DataType | None = None, rounds: int = 10,
) -> Tile:  # fmt: skip
    """Philox4x32 words from a key of two and a counter of four 32-bit numbers."""
    run = require_run("pl.random")
    if rounds not in (7, 10):
        raise _wrong(run, "pl.random has 7 or 10 rounds", f"got {rounds}", "rounds=10")
    words = [int(word) & 0xFFFFFFFF for word in (k0, k1, c0, c1, c2, c3)]
    extents = tuple(int(n) for n in shape)
    valid = extents if valid_shape is None else tuple(int(n) for n in valid_shape)
    attrs = {
        "key": tuple(words[:2]), "counter": tuple(words[2:]), "shape": extents, "valid": valid,
        "dtype": dtype.name if dtype else "UINT32", "rounds": rounds,
    }  # fmt: skip
    tile = run.compute.apply("random", (), attrs)
    return tile if valid == extents else run.memory.with_valid(tile, valid)


def tri(diagonal: Any, shape: Any, valid_shape: Any = None, dtype: DataType | None = None, upper: bool = False) -> Tile:
    """1 on and below a diagonal (on and above if upper), else 0."""
    run = require_run("pl.tri")
    attrs = {
        "diagonal": int(diagonal), "shape": tuple(int(n) for n in shape), "dtype": dtype.name if dtype else "INT32",
        "upper": bool(upper),
    }  # fmt: skip
    tile = run.compute.apply("tri", (), attrs)
    return tile if valid_shape is None else run.memory.with_valid(tile, tuple(int(n) for n in valid_shape))
