"""The FP32 product kernel: register blocks emitted as LLVM vector code, packing, and the loops over them.

Every output element has its own chain `s = fma(x, v, s)` by ascending k, so vector width, blocking and
padding never change a bit. LLVM legalises the vectors on any host; without FMA hardware `llvm.fma` becomes
calls of fmaf. Sources are 1-D arrays: float32, or uint16 holding bfloat16, which widens exactly.

The pieces share one file because Numba's cache looks at the file of the outermost function only.
"""

from __future__ import annotations

from typing import Any

import llvmlite.binding as llvm_binding
import numpy as np
from llvmlite import ir
from numba import extending, njit, types
from numba.core import cgutils


def _block_shape() -> tuple[int, int, int]:
    """(vector width, rows, columns) of a register block for this host: 16 of 32 AVX-512 registers, 12 of 16 on AVX2."""
    features = llvm_binding.get_host_cpu_features()
    if features.get("avx512f"):
        return 16, 8, 32
    if features.get("avx2"):
        return 8, 6, 16
    return 4, 8, 8


VECTOR, ROWS, COLS = _block_shape()
# Numba types the decorator as if the typing context were an argument of the call.
intrinsic: Any = extending.intrinsic

_FLOAT = ir.FloatType()
_WIDTH = 16
_FLOATS = ir.VectorType(_FLOAT, VECTOR)
_INT64 = ir.IntType(64)


def _data(context: Any, builder: Any, array_type: Any, value: Any, offset: Any, element: Any) -> Any:
    """Pointer to element `offset` of an array argument."""
    data = context.make_array(array_type)(context, builder, value).data
    return builder.gep(builder.bitcast(data, element.as_pointer()), [offset])


@intrinsic
def widened(typingctx, value):  # type: ignore[no-untyped-def]
    """A float32 as it is, or the float32 that the uint16 bits of a bfloat16 stand for."""

    def codegen(context, builder, sig, args):  # type: ignore[no-untyped-def]
        if sig.args[0] == types.float32:
            return args[0]
        word = ir.IntType(32)
        return builder.bitcast(builder.shl(builder.zext(args[0], word), word(16)), _FLOAT)

    return types.float32(value), codegen


def _load_widened(builder: Any, pointer: Any, narrow: bool) -> Any:
    """<16 x float> at `pointer`: floats, or bfloat16 bits that are widened."""
    if not narrow:
        return builder.load(builder.bitcast(pointer, ir.VectorType(_FLOAT, _WIDTH).as_pointer()), align=4)
    halves = builder.load(builder.bitcast(pointer, ir.VectorType(ir.IntType(16), _WIDTH).as_pointer()), align=2)
    words = ir.VectorType(ir.IntType(32), _WIDTH)
    shifted = builder.shl(builder.zext(halves, words), ir.Constant(words, [16] * _WIDTH))
    return builder.bitcast(shifted, ir.VectorType(_FLOAT, _WIDTH))


@intrinsic
def copy_block(typingctx, source, s_offset, target, t_offset):  # type: ignore[no-untyped-def]
    """target[t_offset + i] = widened(source[s_offset + i]) for i < 16; 1-D arrays, target float32."""
    signature = types.void(source, types.int64, target, types.int64)

    def codegen(context, builder, sig, args):  # type: ignore[no-untyped-def]
        narrow = sig.args[0].dtype == types.uint16
        origin = _data(context, builder, sig.args[0], args[0], args[1], ir.IntType(16) if narrow else _FLOAT)
        destination = _data(context, builder, sig.args[2], args[2], args[3], _FLOAT)
        value = _load_widened(builder, origin, narrow)
        builder.store(value, builder.bitcast(destination, value.type.as_pointer()), align=4)
        return context.get_dummy_value()

    return signature, codegen


def _vector_at(builder, pointer, place):  # type: ignore[no-untyped-def]
    """Pointer to vector `place` of the floats at `pointer`."""
    return builder.bitcast(builder.gep(pointer, [_INT64(place * VECTOR)]), _FLOATS.as_pointer())


def _emit_chains(builder, x_rows, k_step, v_pointer, k_count):  # type: ignore[no-untyped-def]
    """The loop over k, with ROWS x COLS sums in registers. Returns the final sums, a list of vectors for each row."""
    fma = cgutils.get_or_insert_function(
        builder.module, ir.FunctionType(_FLOATS, [_FLOATS] * 3), f"llvm.fma.v{VECTOR}f32"
    )
    before = builder.block
    loop = builder.append_basic_block("chain")
    after = builder.append_basic_block("chain_end")
    builder.branch(loop)
    builder.position_at_end(loop)
    index = builder.phi(_INT64)
    sums = [[builder.phi(_FLOATS) for _ in range(COLS // VECTOR)] for _ in range(ROWS)]
    panel = builder.gep(v_pointer, [builder.mul(index, _INT64(COLS))])
    columns = [builder.load(_vector_at(builder, panel, j), align=4) for j in range(COLS // VECTOR)]
    x_index = builder.mul(index, k_step)
    nexts = []
    for r in range(ROWS):
        splat = _splat(builder, builder.load(builder.gep(x_rows[r], [x_index]), align=4))
        nexts.append([builder.call(fma, [splat, column, sums[r][j]]) for j, column in enumerate(columns)])
    following = builder.add(index, _INT64(1))
    index.add_incoming(_INT64(0), before)
    index.add_incoming(following, loop)
    zero = ir.Constant(_FLOATS, [0.0] * VECTOR)
    for row, next_row in zip(sums, nexts, strict=True):
        for value, next_value in zip(row, next_row, strict=True):
            value.add_incoming(zero, before)
            value.add_incoming(next_value, loop)
    builder.cbranch(builder.icmp_signed("<", following, k_count), loop, after)
    builder.position_at_end(after)
    return nexts


def _splat(builder, scalar):  # type: ignore[no-untyped-def]
    undefined = ir.Constant(_FLOATS, ir.Undefined)
    lanes = ir.Constant(ir.VectorType(ir.IntType(32), VECTOR), [0] * VECTOR)
    return builder.shuffle_vector(builder.insert_element(undefined, scalar, ir.IntType(32)(0)), undefined, lanes)


def _emit_stores(builder, c_rows, sums, accumulate):  # type: ignore[no-untyped-def]
    """Store the sums, added to what is there if `accumulate`."""

    def targets():  # type: ignore[no-untyped-def]
        for row, values in zip(c_rows, sums, strict=True):
            for j, value in enumerate(values):
                yield value, _vector_at(builder, row, j)

    with builder.if_else(accumulate) as (then, otherwise):
        with then:
            for value, pointer in targets():
                builder.store(builder.fadd(builder.load(pointer, align=4), value), pointer, align=4)
        with otherwise:
            for value, pointer in targets():
                builder.store(value, pointer, align=4)


@intrinsic
def multiply_block(typingctx, x, x_offset, x_row, x_k, v, v_offset, c, c_offset, c_row, count, add):  # type: ignore[no-untyped-def]
    """c[r, j] = chain, or c[r, j] + chain if `add`, for r < ROWS, j < COLS.

    chain: s = +0, then s = fma(x[r * x_row + k * x_k], v[k * COLS + j], s) for k = 0 .. count - 1 (count >= 1).
    x, v, c: 1-D float32 arrays with element offsets; c_row: elements between rows of c.
    """
    signature = types.void(x, *[types.int64] * 3, v, types.int64, c, *[types.int64] * 3, types.boolean)

    def codegen(context, builder, sig, args):  # type: ignore[no-untyped-def]
        x_value, x_start, row_step, k_step, v_value, v_start, c_value, c_start, c_step, k_count, accumulate = args
        x_pointer = _data(context, builder, sig.args[0], x_value, x_start, _FLOAT)
        v_pointer = _data(context, builder, sig.args[4], v_value, v_start, _FLOAT)
        c_pointer = _data(context, builder, sig.args[6], c_value, c_start, _FLOAT)
        x_rows = [builder.gep(x_pointer, [builder.mul(row_step, _INT64(r))]) for r in range(ROWS)]
        c_rows = [builder.gep(c_pointer, [builder.mul(c_step, _INT64(r))]) for r in range(ROWS)]
        sums = _emit_chains(builder, x_rows, k_step, v_pointer, k_count)
        _emit_stores(builder, c_rows, sums, accumulate)
        return context.get_dummy_value()

    return signature, codegen


def _exchange(builder: Any, rows: list[Any], distance: int) -> list[Any]:
    """One butterfly stage of a 16 x 16 transpose: swap the off-diagonal blocks of size `distance`."""
    mask_type = ir.VectorType(ir.IntType(32), _WIDTH)
    low = [i if not i & distance else _WIDTH + i - distance for i in range(_WIDTH)]
    high = [i + distance if not i & distance else _WIDTH + i for i in range(_WIDTH)]
    out = list(rows)
    for r in range(_WIDTH):
        if not r & distance:
            first, second = rows[r], rows[r + distance]
            out[r] = builder.shuffle_vector(first, second, ir.Constant(mask_type, low))
            out[r + distance] = builder.shuffle_vector(first, second, ir.Constant(mask_type, high))
    return out


@intrinsic
def transpose_block(typingctx, source, s_offset, s_row, target, t_offset, t_row):  # type: ignore[no-untyped-def]
    """target[j, i] = source[i, j] for a 16 x 16 block. target: float32; source: float32, or uint16 holding bfloat16.

    Arrays are 1-D with element offsets; s_row, t_row: elements between rows.
    """
    signature = types.void(source, types.int64, types.int64, target, types.int64, types.int64)

    def codegen(context, builder, sig, args):  # type: ignore[no-untyped-def]
        s_value, s_start, s_step, t_value, t_start, t_step = args
        narrow = sig.args[0].dtype == types.uint16
        int64 = ir.IntType(64)
        element = ir.IntType(16) if narrow else _FLOAT
        vector = ir.VectorType(_FLOAT, _WIDTH)
        origin = _data(context, builder, sig.args[0], s_value, s_start, element)
        destination = _data(context, builder, sig.args[3], t_value, t_start, _FLOAT)
        rows = []
        for r in range(_WIDTH):
            pointer = builder.gep(origin, [builder.mul(s_step, int64(r))])
            rows.append(_load_widened(builder, pointer, narrow))
        for distance in (8, 4, 2, 1):
            rows = _exchange(builder, rows, distance)
        for r in range(_WIDTH):
            pointer = builder.gep(destination, [builder.mul(t_step, int64(r))])
            builder.store(rows[r], builder.bitcast(pointer, vector.as_pointer()), align=4)
        return context.get_dummy_value()

    return signature, codegen


@njit(inline="always")
def _copy_widened(source, s_start, target, t_start, count):  # type: ignore[no-untyped-def]
    """target[t_start + i] = source[s_start + i] as float32."""
    blocked = count // 16 * 16
    for i in range(0, blocked, 16):
        copy_block(source, s_start + i, target, t_start + i)
    for i in range(blocked, count):
        target[t_start + i] = widened(source[s_start + i])


@njit(cache=True, nogil=True, error_model="numpy")
def pack_rows(source, start, lines, length, padded_length, target):  # type: ignore[no-untyped-def]
    """Copy `lines` runs of `length` elements from source[start:], each to a run of `padded_length` in target."""
    if length == padded_length:
        _copy_widened(source, start, target, 0, lines * length)
    else:
        for line in range(lines):
            _copy_widened(source, start + line * length, target, line * padded_length, length)


@njit(cache=True, nogil=True, error_model="numpy")
def pack_panels(source, start, depth, columns, target):  # type: ignore[no-untyped-def]
    """Panels [ceil(columns / COLS)][depth][COLS] from a row-major [depth, columns] source at `start`."""
    for first in range(0, columns, COLS):
        width = min(COLS, columns - first)
        base = first * depth
        if width == COLS:
            for k in range(depth):
                _copy_widened(source, start + k * columns + first, target, base + k * COLS, COLS)
        else:
            for k in range(depth):
                _copy_widened(source, start + k * columns + first, target, base + k * COLS, width)


@njit(cache=True, nogil=True, error_model="numpy")
def pack_panels_transposed(source, start, depth, columns, target):  # type: ignore[no-untyped-def]
    """Panels [ceil(columns / COLS)][depth][COLS] from a row-major [columns, depth] source at `start`."""
    block = 16
    blocked_columns = columns // block * block if COLS % block == 0 else 0
    blocked_depth = depth // block * block
    for j in range(0, blocked_columns, block):
        base = (j // COLS) * COLS * depth + j % COLS
        for k in range(0, blocked_depth, block):
            transpose_block(source, start + j * depth + k, depth, target, base + k * COLS, COLS)
    for j in range(columns):
        base = (j // COLS) * COLS * depth + j % COLS
        for k in range(blocked_depth if j < blocked_columns else 0, depth):
            target[base + k * COLS] = widened(source[start + j * depth + k])


@njit(cache=True, nogil=True, error_model="numpy")
def transpose_into(source, s_row, target, t_start, rows, columns):  # type: ignore[no-untyped-def]
    """target[t_start + j * rows + i] = source[i * s_row + j]: a float32 [rows, columns] block, transposed."""
    block = 16
    blocked_rows, blocked_columns = rows // block * block, columns // block * block
    for i in range(0, blocked_rows, block):
        for j in range(0, blocked_columns, block):
            transpose_block(source, i * s_row + j, s_row, target, t_start + j * rows + i, rows)
    for i in range(rows):
        for j in range(blocked_columns if i < blocked_rows else 0, columns):
            target[t_start + j * rows + i] = source[i * s_row + j]


@njit(cache=True, nogil=True, error_model="numpy")
def _multiply_lane(x, x_row, x_k, v, c, c_start, c_row, rows, columns, depth, split, accumulate):  # type: ignore[no-untyped-def]
    """Padded product of packed operands into c; every chain of `split` starts from +0."""
    for k0 in range(0, depth, split):
        count = min(split, depth - k0)
        add = accumulate or k0 > 0
        for j in range(0, columns, COLS):
            v_start = j * depth + k0 * COLS
            for i in range(0, rows, ROWS):
                multiply_block(
                    x, i * x_row + k0 * x_k, x_row, x_k, v, v_start, c, c_start + i * c_row + j, c_row, count, add
                )


@njit(cache=True, nogil=True, error_model="numpy")
def multiply_lanes(x, v, out, sizes, flags, first, last):  # type: ignore[no-untyped-def]
    """Lanes first .. last - 1 of a batch.

    x, v: 1-D operands (float32, or uint16 holding bfloat16); a lane stride of 0 means one operand for all lanes.
    out: 1-D float32 results, holding the accumulators if `accumulate`.
    """
    x_lane, v_lane, x_rows, v_columns, depth, split = sizes
    swapped, x_k_major, v_k_major, accumulate = flags
    rows, columns = -(-x_rows // ROWS) * ROWS, -(-v_columns // COLS) * COLS
    x_packed = np.zeros(rows * depth, np.float32)
    v_packed = np.zeros(columns * depth, np.float32)
    direct = not swapped and rows == x_rows and columns == v_columns
    scratch = np.zeros(1 if direct else rows * columns, np.float32)
    x_row, x_k = (1, rows) if x_k_major else (depth, 1)
    size = x_rows * v_columns
    for lane in range(first, last):
        if lane == first or x_lane > 0:
            if x_k_major:
                pack_rows(x, lane * x_lane, depth, x_rows, rows, x_packed)
            else:
                pack_rows(x, lane * x_lane, x_rows, depth, depth, x_packed)
        if lane == first or v_lane > 0:
            if v_k_major:
                pack_panels(v, lane * v_lane, depth, v_columns, v_packed)
            else:
                pack_panels_transposed(v, lane * v_lane, depth, v_columns, v_packed)
        start = lane * size
        if direct:
            _multiply_lane(x_packed, x_row, x_k, v_packed, out, start, columns, rows, columns, depth, split, accumulate)
            continue
        if accumulate:
            _load_accumulator(out, start, scratch, x_rows, v_columns, columns, swapped)
        _multiply_lane(x_packed, x_row, x_k, v_packed, scratch, 0, columns, rows, columns, depth, split, accumulate)
        if swapped:
            transpose_into(scratch, columns, out, start, x_rows, v_columns)
        else:
            for i in range(x_rows):
                for j in range(v_columns):
                    out[start + i * v_columns + j] = scratch[i * columns + j]


@njit(cache=True, nogil=True, error_model="numpy")
def _load_accumulator(out, start, scratch, x_rows, v_columns, columns, swapped):  # type: ignore[no-untyped-def]
    for i in range(x_rows):
        for j in range(v_columns):
            scratch[i * columns + j] = out[start + (j * x_rows + i if swapped else i * v_columns + j)]
