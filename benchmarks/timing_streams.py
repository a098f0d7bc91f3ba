"""Hand-written instruction streams of the published examples that the timing rows compare with.

Each function returns one block's stream, written after the example's source: its tiles, its order of
instructions and its buffers. Nothing here depends on a chip.
"""

from __future__ import annotations

from ascend_model.isa import Core, Kind, StreamBuilder, VecOp
from ascend_model.workload import InstructionStream

_FP16_BYTES = 2
_WORD_BYTES = 4


def gemm_core_stream(m: int, n: int, k: int) -> InstructionStream:
    """C[m, n] fp32 = A[m, k] x B[k, n], fp16, on one AIC, as pto-isa: kernels/manual/a2a3/gemm_performance does it.

    Output tiles of 128 x 256; k in steps of 64. Every 4 steps one load of A (128 x 256) and one of B
    (256 x 256, stored n x k) into one of two L1 buffers; L0A and L0B have two buffers; L0C has one tile, so a
    store does not overlap the next tile's products.
    """
    tile_m, tile_n, step_k, steps_per_load = 128, 256, 64, 4
    b = StreamBuilder()
    extracts_of_load: list[list[int]] = []
    products: list[int] = []
    stores: list[int] = []
    loads: list[int] = []
    for _ in range((m // tile_m) * (n // tile_n)):
        for step in range(k // step_k):
            if step % steps_per_load == 0:
                freed = extracts_of_load[-2] if len(extracts_of_load) >= 2 else []
                run_bytes = steps_per_load * step_k * _FP16_BYTES
                loads = [b.append(Kind.GM_TO_L1, Core.AIC, (rows, run_bytes), freed) for rows in (tile_m, tile_n)]
                extracts_of_load.append([])
            left, right = tile_m * step_k * _FP16_BYTES, step_k * tile_n * _FP16_BYTES
            l0_free = products[-2:-1]
            extracts = [
                b.append(Kind.L1_TO_L0A, Core.AIC, (left,), [loads[0], *l0_free]),
                b.append(Kind.L1_TO_L0B, Core.AIC, (right,), [loads[1], *l0_free]),
            ]
            extracts_of_load[-1] += extracts
            after = extracts + (stores[-1:] if step == 0 else [])
            products.append(b.append(Kind.MMAD, Core.AIC, (tile_m, step_k, tile_n, _FP16_BYTES), after))
        stores.append(b.append(Kind.L0C_TO_GM, Core.AIC, (tile_m, tile_n, _WORD_BYTES), products[-1:]))
    return b.build()


def score_mat_serial_stream() -> InstructionStream:
    """The serial form of pypto-lib: models/deepseek/v4/decode_indexer.py, stage score_mat, on one AIC.

    A query of 64 x 128 int8 stays in L1. Each of 16 iterations reads a block-table entry, loads a page of
    128 x 128 int8, multiplies it with the query into 128 x 64 int32 and stores that; one buffer of each kind,
    so nothing overlaps.
    """
    rows, depth, heads, pages = 128, 128, 64, 16
    b = StreamBuilder()
    query = b.append(Kind.GM_TO_L1, Core.AIC, (1, heads * depth))
    done: list[int] = []
    for _ in range(pages):
        b.append(Kind.GM_READ_SCALAR, Core.AIC, (_WORD_BYTES,))
        page = b.append(Kind.GM_TO_L1, Core.AIC, (1, rows * depth), done)
        left = b.append(Kind.L1_TO_L0A, Core.AIC, (rows * depth,), [page, *done])
        right = b.append(Kind.L1_TO_L0B, Core.AIC, (heads * depth,), [query, *done])
        product = b.append(Kind.MMAD, Core.AIC, (rows, depth, heads, 1), [left, right])
        done = [b.append(Kind.L0C_TO_GM, Core.AIC, (rows, heads, _WORD_BYTES), [product])]
    return b.build()


def matmul_group_stream() -> InstructionStream:
    """Four independent fp32 128^3 products on one AIC, each waiting for the one before.

    simpler: tests/st/a2a3/tensormap_and_ringbuffer/alternating_matmul_add/kernels/aic/kernel_matmul.cpp.
    """
    b = StreamBuilder()
    side = 128
    tile_bytes = side * side * _WORD_BYTES
    for _ in range(4):
        loads = [b.append(Kind.GM_TO_L1, Core.AIC, (1, tile_bytes)) for _ in range(2)]
        left = b.append(Kind.L1_TO_L0A, Core.AIC, (tile_bytes,), loads)
        right = b.append(Kind.L1_TO_L0B, Core.AIC, (tile_bytes,), loads)
        product = b.append(Kind.MMAD, Core.AIC, (side, side, side, _WORD_BYTES), [left, right])
        b.append(Kind.L0C_TO_GM, Core.AIC, (side, side, _WORD_BYTES), [product])
        b.append(Kind.BARRIER, Core.AIC)
    return b.build()


def add_group_stream() -> InstructionStream:
    """Four fp32 128 x 128 additions on one AIV, each waiting for the one before.

    simpler: tests/st/a2a3/tensormap_and_ringbuffer/alternating_matmul_add/kernels/aiv/kernel_add.cpp.
    """
    b = StreamBuilder()
    rows, row_bytes = 128, 128 * _WORD_BYTES
    for _ in range(4):
        loads = [b.append(Kind.GM_TO_UB, Core.AIV0, (1, rows * row_bytes)) for _ in range(2)]
        total = b.append(Kind.VEC, Core.AIV0, (VecOp.ADD, rows, row_bytes, 1), loads)
        b.append(Kind.UB_TO_GM, Core.AIV0, (1, rows * row_bytes), [total])
        b.append(Kind.BARRIER, Core.AIV0)
    return b.build()
