"""Gathers and scatters: by an index, by a pattern of columns, by a comparison; in tiles and in GM.

pypto: python/pypto/language/op/{tensor,tile}_ops.py. The tensor forms keep what a scatter does not write, the tile
forms are the instructions themselves (src/ir/transforms/op_conversion_registry.cpp, RegisterScatterOps).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pto_sim.engine.gm_tables import gather_from, scatter_to
from pto_sim.engine.run import Run, require_run
from pto_sim.engine.storage import Tensor
from pto_sim.engine.tile import Tile
from pto_sim.language.dialects import check_level
from pto_sim.language.storage import gather_row, read
from pto_sim.numerics.comparisons import MODES
from pto_sim.numerics.patterns import GATHER_BLOCK_BYTES, PATTERNS
from pto_sim.numerics.table_access import ELEM, OUT_OF_BOUNDS, ROW
from pto_sim.program.alternatives import Alternatives
from pto_sim.program.dtypes import DTYPES, DataType
from pto_sim.program.errors import KernelError

__all__ = [
    "MaskPattern", "gather", "gather_compare", "gather_mask", "gatherb", "mgather", "mscatter", "paged_gather",
    "scatter", "scatter_mask", "scatter_update",
]  # fmt: skip

_COALESCE = ("row", "elem")


class MaskPattern(metaclass=Alternatives):
    """Which columns a masked gather or scatter takes; the digits read from the right."""

    P0101 = 1
    P1010 = 2
    P0001 = 3
    P0010 = 4
    P0100 = 5
    P1000 = 6
    P1111 = 7


def _wrong(run: Run, rule: str, values: str, hint: str) -> KernelError:
    return KernelError("PTO206", rule, site=run.site(), values=values, hint=hint)


def _tile(run: Run, what: str, x: Any) -> Tile:
    if isinstance(x, Tensor):
        return run.memory.materialize(x)
    if isinstance(x, Tile):
        return x
    raise KernelError(
        "PTO202", f"{what} takes tensors and tiles", site=run.site(), values=f"got {type(x).__name__}",
        hint="check the operand",
    )  # fmt: skip


def gather(
    input: Any,
    dim: Any = None,
    index: Any = None,
    *,
    mask_pattern: Any = None,
    output_dtype: DataType | None = None,
    kvalue: Any = None,
    cmp_mode: Any = None,
    out_cols: Any = None,
    offset: int = 0,
    count_dtype: DataType | None = None,
) -> Any:
    """Elements by index, by pattern, or by comparison.

    gather(x, dim, index): out[i] = x[i with i[dim] = index[i]]. gather(x, mask_pattern=): columns of a pattern.
    gather(x, kvalue=, cmp_mode=, out_cols=): a pair, the columns of the elements that pass, and how many they are.
    """
    run = require_run("pl.gather")
    check_level("pl.gather", "tile", (input, dim, index))
    forms = (dim is not None or index is not None, mask_pattern is not None, kvalue is not None)
    if sum(forms) != 1:
        raise _wrong(
            run, "pl.gather takes an index, a pattern or a comparison", f"{sum(forms)} of them given",
            "pl.gather(x, dim=-1, index=i), or mask_pattern=, or kvalue=, cmp_mode= and out_cols=",
        )  # fmt: skip
    if mask_pattern is not None:
        return gather_mask(input, mask_pattern, output_dtype=output_dtype)
    if kvalue is not None:
        return gather_compare(
            input, kvalue, cmp_mode=cmp_mode, offset=offset, out_cols=out_cols, count_dtype=count_dtype
        )
    return _gather_along(run, _tile(run, "pl.gather", input), dim, index)


def _gather_along(run: Run, x: Tile, dim: Any, index: Any) -> Tile:
    if index is None or not isinstance(dim, int) or not -x.ndim <= dim < x.ndim:
        raise _wrong(run, "pl.gather needs dim= and index=", f"dim {dim!r}", "pl.gather(x, dim=-1, index=i)")
    picks = _tile(run, "pl.gather", index)
    last = dim in (-1, x.ndim - 1)
    if (x.ndim, last) not in ((2, True), (3, True), (3, False)):
        raise KernelError(
            "PTO202", "pl.gather goes along the last axis of two dimensions, or any of three", site=run.site(),
            values=f"{list(x.shape)}, dim {dim}", hint="pl.transpose or pl.reshape the operands",
        )  # fmt: skip
    if not last and x.dtype.nbytes != 4:
        raise KernelError(
            "PTO202", "pl.gather along a leading axis takes elements of 32 bits", site=run.site(),
            values=f"{x.dtype.name}, dim {dim}", hint="cast to FP32 or INT32, or gather along the last axis",
        )  # fmt: skip
    if x.ndim == 2 and x.shape[0] == picks.shape[0]:
        return run.compute.apply("gather", (x, picks), {})
    return run.compute.apply("gather_axis", (x, picks), {"axis": dim % x.ndim})


def tile_gather(src: Any, indices: Any, tmp: Any = None) -> Tile:
    """src.flat[indices]; the scratch tile changes no value."""
    run = require_run("pl.tile.gather")
    return run.compute.apply("gather_flat", (_tile(run, "pl.tile.gather", src), indices), {})


def gather_mask(src: Any, mask_pattern: Any, *, output_dtype: DataType | None = None) -> Tile:
    """The columns of a pattern, side by side; output_dtype reads their bits as another type of the same width."""
    run = require_run("pl.gather_mask")
    src = _tile(run, "pl.gather_mask", src)
    dtype = output_dtype or src.dtype
    if dtype.nbytes != src.dtype.nbytes:
        raise _wrong(
            run, "output_dtype must be as wide as the tile's type", f"{src.dtype.name} to {dtype.name}", "cast it after"
        )
    return run.compute.apply("gather_mask", (src,), {"pattern": _pattern(run, mask_pattern), "dtype": dtype.name})


def _pattern(run: Run, mask_pattern: Any) -> int:
    if mask_pattern not in PATTERNS:
        raise _wrong(
            run, "there is no such mask pattern", f"got {mask_pattern!r}", "use pl.tile.MaskPattern.P0101, ..."
        )
    return int(mask_pattern)


def gather_compare(
    src: Any,
    kvalue: Any,
    tmp: Any = None,
    *,
    cmp_mode: Any = "eq",
    offset: int = 0,
    out_cols: Any = None,
    count_dtype: DataType | None = None,
) -> tuple[Tile, Tile]:
    """For each row the columns (plus offset) of the elements that compare with kvalue, and how many there are.

    Gives INT32 [M, out_cols] and [1, M] of count_dtype (INT32 or UINT32). What is behind the last match is unwritten.
    """
    run = require_run("pl.gather_compare")
    mode = MODES.index(cmp_mode) if cmp_mode in MODES else cmp_mode
    if not isinstance(mode, int) or not 0 <= mode < len(MODES) or not isinstance(out_cols, int) or out_cols < 1:
        raise _wrong(
            run, "a gather by comparison needs cmp_mode= and a positive out_cols=",
            f"cmp_mode {cmp_mode!r}, out_cols {out_cols!r}", f"cmp_mode is one of {', '.join(MODES)}",
        )  # fmt: skip
    counts = count_dtype or DTYPES["INT32"]
    if counts.name not in ("INT32", "UINT32"):
        raise _wrong(run, "matches are counted in INT32 or UINT32", f"count_dtype {counts.name}", "leave it out")
    src = _tile(run, "pl.gather_compare", src)
    attrs = {"cmp_mode": mode, "offset": int(offset), "columns": out_cols}
    found = run.compute.apply("gather_compare", (src, kvalue), attrs)
    count = run.compute.apply("gather_count", (src, kvalue), {"cmp_mode": mode, "dtype": counts.name})
    return found, count


def gatherb(src: Any, offset: Any, *, output_dtype: DataType | None = None) -> Tile:
    """Blocks of 32 bytes of `src` by byte offset, read as output_dtype."""
    run = require_run("pl.gatherb")
    src, offset = _tile(run, "pl.gatherb", src), _tile(run, "pl.gatherb", offset)
    dtype = output_dtype or src.dtype
    attrs = {"columns": offset.shape[-1] * GATHER_BLOCK_BYTES // dtype.nbytes, "dtype": dtype.name}
    return run.compute.apply("gatherb", (src, offset), attrs)


def scatter(
    input: Any, dim: Any = None, index: Any = None, src: Any = None, *, mask_pattern: Any = None, dst: Any = None
) -> Tile:
    """Elements by index or by pattern; what they do not reach keeps its value.

    scatter(x, dim=-1, index, src): x with out[b, index[b, k]] = src[b, k], the last write stays.
    scatter(x, mask_pattern=, dst=): dst with x in the columns of the pattern.
    """
    run = require_run("pl.scatter")
    check_level("pl.scatter", "tile", (input, dim, index, src, dst))
    x = _tile(run, "pl.scatter", input)
    if mask_pattern is not None or dst is not None:
        if dim is not None or index is not None or src is not None or dst is None:
            raise _wrong(
                run, "pl.scatter takes an index or a pattern", "both, or mask_pattern= without dst=",
                "pl.scatter(x, dim=-1, index=i, src=s) or pl.scatter(x, mask_pattern=p, dst=d)",
            )  # fmt: skip
        attrs = {"pattern": _pattern(run, mask_pattern)}
        return run.compute.apply("scatter_columns", (_tile(run, "pl.scatter", dst), x), attrs)
    if not isinstance(dim, int) or dim not in (-1, x.ndim - 1) or index is None or src is None:
        raise _wrong(
            run, "pl.scatter goes along the last axis", f"dim {dim!r}", "pl.scatter(x, dim=-1, index=i, src=s)"
        )
    return run.compute.apply("scatter", (x, index, src), {})


def tile_scatter(dst: Any, src: Any, indexes: Any) -> Tile:
    """dst.flat[indexes] = src. The instruction clears what it does not write (a2a3); cpu-sim keeps it."""
    run = require_run("pl.tile.scatter")
    return run.compute.apply("scatter_flat", (_tile(run, "pl.tile.scatter", dst), src, indexes), {})


def scatter_mask(dst: Any, src: Any, mask_pattern: Any) -> Tile:
    """src in the columns of a pattern; the instruction clears the others. dst gives the shape."""
    run = require_run("pl.scatter_mask")
    dst = _tile(run, "pl.scatter_mask", dst)
    return run.compute.apply("scatter_mask", (dst, src), {"pattern": _pattern(run, mask_pattern)})


def scatter_update(input: Any, *args: Any, dim: Any = None, index: Any = None, src: Any = None) -> Tile:
    """input [M, D] with row index.flat[k] = src[k], the last write stays. index: [B, S]; src: [B * S, D].

    Called as (input, dim, index, src), (input, index, src) or with names; dim is -2.
    """
    run = require_run("pl.scatter_update")
    given = list(args)
    if given and isinstance(given[0], int):
        dim = given.pop(0)
    index = given.pop(0) if given and index is None else index
    src = given.pop(0) if given and src is None else src
    if given or index is None or src is None or dim not in (None, -2):
        raise _wrong(
            run, "pl.scatter_update takes dim -2, an index and a source", f"dim {dim!r}, {len(args)} arguments",
            "pl.scatter_update(x, -2, index, src)",
        )  # fmt: skip
    x = _tile(run, "pl.scatter_update", input)
    if x.ndim != 2:
        raise KernelError(
            "PTO202", "pl.scatter_update is lowered for two dimensions only", site=run.site(),
            values=f"input {list(x.shape)}", hint="pl.reshape input and source to [rows, columns]",
        )  # fmt: skip
    return run.compute.apply("scatter_rows", (x, index, src), {})


def mgather(
    mem: Any,
    idx: Any,
    coalesce: Any = "row",
    *,
    gather_oob: Any = "undefined",
    target_memory: str = "vec",
    scratch: Any = None,
    valid_shape: Sequence[Any] | None = None,
) -> Tile:
    """Rows or elements of a tensor in GM by an INT32 index: a tile for Vec, a tensor for Mat.

    gather_oob: undefined (an error here), clamp, wrap or zero; a negative index counts as a large one. Elements into
    Mat pass through scratch.
    """
    run = require_run("pl.mgather")
    mode, oob = _choice(run, "coalesce", coalesce, _COALESCE), _choice(run, "gather_oob", gather_oob, OUT_OF_BOUNDS)
    in_l1 = target_memory == "mat"
    if target_memory not in ("vec", "mat") or not isinstance(mem, Tensor):
        raise _wrong(
            run, "pl.mgather reads a tensor in GM into Vec or Mat", f"{mem!r}, target_memory {target_memory!r}",
            "pass the tensor itself, and pl.Mem.Vec or pl.Mem.Mat",
        )  # fmt: skip
    if isinstance(idx, Tensor) != in_l1 or (scratch is not None) != (in_l1 and mode == ELEM):
        raise _wrong(
            run, "pl.mgather takes an index tile for Vec, an index tensor for Mat, and scratch= for elements into Mat",
            f"idx {idx!r}, target_memory {target_memory!r}, scratch {scratch!r}",
            "load the index for Vec; pass it as it is for Mat",
        )  # fmt: skip
    valid = None if valid_shape is None else tuple(int(extent) for extent in valid_shape)
    if valid is not None and not in_l1:
        raise _wrong(run, "the index tile's valid shape is that of a Vec result", f"valid_shape {valid}", "narrow idx")
    tile = gather_from(run, mem, idx, mode, oob, target_memory, valid)
    if in_l1:
        _check_l1(run, tile, mem, scratch, valid)
    return tile


def _choice(run: Run, what: str, value: Any, names: tuple[str, ...]) -> int:
    number = names.index(value) if value in names else value
    if not isinstance(number, int) or not 0 <= number < len(names):
        raise _wrong(run, f"pl.mgather has no such {what}", f"got {value!r}", f"use one of {', '.join(names)}")
    return number


def _check_l1(run: Run, tile: Tile, mem: Tensor, scratch: Any, valid: tuple[int, ...] | None) -> None:
    rows, columns = tile.shape
    if rows % 16 or columns * tile.dtype.nbytes % 32:
        raise KernelError(
            "PTO202", "a tile in L1 is made of blocks of 16 rows and 32 bytes", site=run.site(),
            values=f"{list(tile.shape)} {tile.dtype.name}", hint="pad the index",
        )  # fmt: skip
    if valid is not None and any(not 0 < v <= s for v, s in zip(valid, tile.shape, strict=True)):
        raise KernelError(
            "PTO202", "a valid shape only narrows", site=run.site(), values=f"valid {list(valid)}, {list(tile.shape)}",
            hint="keep it within the tile",
        )  # fmt: skip
    count = rows * columns
    if scratch is not None and (scratch.dtype is not mem.dtype or _elements(scratch) < count):
        raise KernelError(
            "PTO202", "scratch= holds the gathered elements in the table's type", site=run.site(),
            values=f"{scratch!r}, {count} elements of {mem.dtype.name} gathered", hint="make it as large as the result",
        )  # fmt: skip


def _elements(tensor: Tensor) -> int:
    count = 1
    for extent in tensor.shape:
        count *= extent
    return count


def mscatter(src: Any, idx: Any, output_tensor: Any) -> Tensor:
    """output_tensor.flat[idx[i, j]] = src[i, j], the last write stays; returns the tensor."""
    run = require_run("pl.mscatter")
    if not isinstance(output_tensor, Tensor):
        raise _wrong(run, "pl.mscatter writes a tensor in GM", f"got {output_tensor!r}", "pl.mscatter(src, idx, out)")
    scatter_to(run, output_tensor, _tile(run, "pl.mscatter", src), _tile(run, "pl.mscatter", idx))
    return output_tensor


def paged_gather(
    src: Tensor,
    indices: Tensor,
    block_table: Tensor,
    block_size: int,
    size: int,
    max_indices: int,
    *,
    space: str = "mat",
    col_off: int = 0,
    is_trans: bool = False,
    is_b_matrix: bool = False,
) -> Tile:
    """Rows of a paged pool as a tile [max_indices, size] (transposed: [size, max_indices]).

    Row i is src[block_table[k // block_size] * block_size + k % block_size, col_off : col_off + size] with
    k = indices[i]. Rows without an index are unwritten.
    """
    run = require_run("pl.paged_gather")
    count = indices.shape[-1]
    if any(t.ndim > 1 and t.shape[0] != 1 for t in (indices, block_table)) or src.ndim != 2 or count > max_indices:
        raise KernelError(
            "PTO202", "pl.paged_gather takes a pool [rows, columns] and at most max_indices indices in one row",
            site=run.site(), values=f"{src!r}, {indices!r}, {block_table!r}, max_indices {max_indices}",
            hint="slice the indices to one row",
        )  # fmt: skip
    if is_trans and space != "mat":
        raise _wrong(run, "pl.paged_gather transposes on the way to L1 only", f"space {space!r}", "space=pl.Mem.Mat")
    tile = run.memory.create_tile((size, max_indices) if is_trans else (max_indices, size), src.dtype)
    for row in range(count):
        logical = read(indices, (0, row) if indices.ndim == 2 else (row,))
        page = logical // block_size
        physical = read(block_table, (0, page) if block_table.ndim == 2 else (page,)) * block_size
        place = (0, row) if is_trans else (row, 0)
        gather_row(tile, src, place, (physical + logical % block_size, col_off), (1, size), is_trans)
    return tile


assert (_COALESCE[ROW], _COALESCE[ELEM]) == ("row", "elem")
