"""The shared expert of the mixture: SwiGLU of every token, with INT8 operands.

The tokens come quantised from the gate, in the rows that the routed experts receive too. The hidden activations are
quantised once more, by token.
"""

from config import DECODE_BATCH, DECODE_SEQ, FLASH, INT8_AMAX_EPS, INT8_SCALE_MAX

import pto_sim.language as pl

T = DECODE_BATCH * DECODE_SEQ
D = FLASH.hidden_size
MOE_INTER = FLASH.moe_intermediate_size
SWIGLU_LIMIT = FLASH.swiglu_limit

# tiles
T_TILE = 32
K_TILE = 512
INTER_K = 512
INTER_TILE = 64
INTER_TILES = 8  # of one block
D_OUT_TILE = 64
D_OUT_TILES = 16  # of one block
QUANT_TILE = 256

assert T % T_TILE == 0 and D % K_TILE == 0 and MOE_INTER % INTER_K == 0 and MOE_INTER % QUANT_TILE == 0
assert MOE_INTER % (INTER_TILES * INTER_TILE) == 0 and D % (D_OUT_TILES * D_OUT_TILE) == 0


@pl.jit.inline
def expert_shared(
    x_local_i8: pl.Tensor[[T, D], pl.INT8],
    x_local_scale_dq: pl.Tensor[[T, 1], pl.FP32],
    shared_w1: pl.Tensor[[MOE_INTER, D], pl.INT8],
    shared_w1_scale: pl.Tensor[[MOE_INTER], pl.FP32],
    shared_w3: pl.Tensor[[MOE_INTER, D], pl.INT8],
    shared_w3_scale: pl.Tensor[[MOE_INTER], pl.FP32],
    shared_w2: pl.Tensor[[D, MOE_INTER], pl.INT8],
    shared_w2_scale: pl.Tensor[[D], pl.FP32],
    sh: pl.Tensor[[T, D], pl.BF16],
):
    """sh = (silu(x w1^T) * (x w3^T)) w2^T for every token.

    x_local_i8, x_local_scale_dq: tokens, and the factor that turns each row back. shared_w*: weights, a row for each
    output, with a factor for each row. sh: written.
    """
    sh_tile_fp32 = pl.create_tensor([T, MOE_INTER], dtype=pl.FP32)
    for g_block in pl.spmd((T // T_TILE) * (MOE_INTER // (INTER_TILES * INTER_TILE)), name_hint="sh_gate_up"):
        g_tb = g_block // (MOE_INTER // (INTER_TILES * INTER_TILE))
        g_nb = g_block - g_tb * (MOE_INTER // (INTER_TILES * INTER_TILE))
        g_t0 = g_tb * T_TILE
        g_x_factor = x_local_scale_dq[g_t0 : g_t0 + T_TILE, 0:1]
        for g_i in pl.range(INTER_TILES):
            g_n0 = (g_nb * INTER_TILES + g_i) * INTER_TILE
            g_gate_acc = pl.create_tensor([T_TILE, INTER_TILE], dtype=pl.INT32)
            g_up_acc = pl.create_tensor([T_TILE, INTER_TILE], dtype=pl.INT32)
            for g_kb in pl.pipeline(0, D // K_TILE, stage=2):
                g_k0 = g_kb * K_TILE
                g_x = x_local_i8[g_t0 : g_t0 + T_TILE, g_k0 : g_k0 + K_TILE]
                g_w1 = shared_w1[g_n0 : g_n0 + INTER_TILE, g_k0 : g_k0 + K_TILE]
                g_w3 = shared_w3[g_n0 : g_n0 + INTER_TILE, g_k0 : g_k0 + K_TILE]
                if g_k0 == 0:
                    g_gate_acc = pl.matmul(g_x, g_w1, b_trans=True, out_dtype=pl.INT32)
                    g_up_acc = pl.matmul(g_x, g_w3, b_trans=True, out_dtype=pl.INT32)
                else:
                    g_gate_acc = pl.matmul_acc(g_gate_acc, g_x, g_w1, b_trans=True)
                    g_up_acc = pl.matmul_acc(g_up_acc, g_x, g_w3, b_trans=True)
            g_w1_factor = pl.reshape(shared_w1_scale[g_n0 : g_n0 + INTER_TILE], [1, INTER_TILE])
            g_w3_factor = pl.reshape(shared_w3_scale[g_n0 : g_n0 + INTER_TILE], [1, INTER_TILE])
            g_gate = pl.row_expand_mul(pl.cast(g_gate_acc, target_type=pl.FP32, mode="none"), g_x_factor)
            g_gate = pl.col_expand_mul(g_gate, g_w1_factor)
            g_up = pl.row_expand_mul(pl.cast(g_up_acc, target_type=pl.FP32, mode="none"), g_x_factor)
            g_up = pl.col_expand_mul(g_up, g_w3_factor)
            if SWIGLU_LIMIT > 0.0:
                g_gate = pl.minimum(g_gate, SWIGLU_LIMIT)
                g_up = pl.maximum(pl.minimum(g_up, SWIGLU_LIMIT), -SWIGLU_LIMIT)
            g_sigmoid = pl.recip(pl.add(pl.exp(pl.neg(g_gate)), 1.0))
            g_h = pl.mul(pl.mul(g_gate, g_sigmoid), g_up)
            sh_tile_fp32[g_t0 : g_t0 + T_TILE, g_n0 : g_n0 + INTER_TILE] = g_h

    # INT8 with one scale for each token.
    sh_tile_i8 = pl.create_tensor([T, MOE_INTER], dtype=pl.INT8)
    sh_tile_scale_dq = pl.create_tensor([T, 1], dtype=pl.FP32)
    for q_block in pl.spmd(T // T_TILE, name_hint="sh_h_q"):
        q_t0 = q_block * T_TILE
        q_max = pl.full([1, T_TILE], dtype=pl.FP32, value=INT8_AMAX_EPS)
        for q_a0 in pl.range(0, MOE_INTER, QUANT_TILE):
            q_part = sh_tile_fp32[q_t0 : q_t0 + T_TILE, q_a0 : q_a0 + QUANT_TILE]
            q_abs = pl.maximum(q_part, pl.neg(q_part))
            q_max = pl.maximum(q_max, pl.reshape(pl.row_max(q_abs), [1, T_TILE]))
        q_scale_row = pl.div(pl.full([1, T_TILE], dtype=pl.FP32, value=INT8_SCALE_MAX), q_max)
        sh_tile_scale_dq[q_t0 : q_t0 + T_TILE, 0:1] = pl.reshape(pl.recip(q_scale_row), [T_TILE, 1])
        q_scale = pl.reshape(q_scale_row, [T_TILE, 1])
        for q_n0 in pl.range(0, MOE_INTER, QUANT_TILE):
            q_y = pl.row_expand_mul(sh_tile_fp32[q_t0 : q_t0 + T_TILE, q_n0 : q_n0 + QUANT_TILE], q_scale)
            q_y = pl.cast(pl.cast(q_y, target_type=pl.INT32, mode="rint"), target_type=pl.FP16, mode="round")
            sh_tile_i8[q_t0 : q_t0 + T_TILE, q_n0 : q_n0 + QUANT_TILE] = pl.cast(q_y, target_type=pl.INT8, mode="trunc")

    for d_block in pl.spmd((T // T_TILE) * (D // (D_OUT_TILES * D_OUT_TILE)), name_hint="sh_w2"):
        d_tb = d_block // (D // (D_OUT_TILES * D_OUT_TILE))
        d_nb = d_block - d_tb * (D // (D_OUT_TILES * D_OUT_TILE))
        d_t0 = d_tb * T_TILE
        d_factor = sh_tile_scale_dq[d_t0 : d_t0 + T_TILE, 0:1]
        for d_i in pl.range(D_OUT_TILES):
            d_n0 = (d_nb * D_OUT_TILES + d_i) * D_OUT_TILE
            d_first_h = sh_tile_i8[d_t0 : d_t0 + T_TILE, 0:INTER_K]
            d_first_w = shared_w2[d_n0 : d_n0 + D_OUT_TILE, 0:INTER_K]
            d_acc = pl.matmul(d_first_h, d_first_w, b_trans=True, out_dtype=pl.INT32)
            for d_k0 in pl.range(INTER_K, MOE_INTER, INTER_K):
                d_h = sh_tile_i8[d_t0 : d_t0 + T_TILE, d_k0 : d_k0 + INTER_K]
                d_w = shared_w2[d_n0 : d_n0 + D_OUT_TILE, d_k0 : d_k0 + INTER_K]
                d_acc = pl.matmul_acc(d_acc, d_h, d_w, b_trans=True)
            d_w_factor = pl.reshape(shared_w2_scale[d_n0 : d_n0 + D_OUT_TILE], [1, D_OUT_TILE])
            d_y = pl.row_expand_mul(pl.cast(d_acc, target_type=pl.FP32, mode="none"), d_factor)
            d_y = pl.col_expand_mul(d_y, d_w_factor)
            sh[d_t0 : d_t0 + T_TILE, d_n0 : d_n0 + D_OUT_TILE] = pl.cast(d_y, target_type=pl.BF16, mode="rint")
    return sh


@pl.jit
def expert_shared_test(
    x_local_i8: pl.Tensor[[T, D], pl.INT8],
    x_local_scale_dq: pl.Tensor[[T, 1], pl.FP32],
    shared_w1: pl.Tensor[[MOE_INTER, D], pl.INT8],
    shared_w1_scale: pl.Tensor[[MOE_INTER], pl.FP32],
    shared_w3: pl.Tensor[[MOE_INTER, D], pl.INT8],
    shared_w3_scale: pl.Tensor[[MOE_INTER], pl.FP32],
    shared_w2: pl.Tensor[[D, MOE_INTER], pl.INT8],
    shared_w2_scale: pl.Tensor[[D], pl.FP32],
    sh: pl.Out[pl.Tensor[[T, D], pl.BF16]],
):
    """`expert_shared` on its own."""
    # fmt: off
    expert_shared(
        x_local_i8, x_local_scale_dq, shared_w1, shared_w1_scale, shared_w3, shared_w3_scale, shared_w2,
        shared_w2_scale, sh,
    )
    # fmt: on
    return sh


if __name__ == "__main__":
    from expert_shared_script import main

    main(expert_shared_test)
