"""The routed experts of one card: SwiGLU of the tokens that each expert received, 48 rows at a time.

Gate and up projection share a task, and so do the second projection and its epilogue, so that the sums pass from cube
to vector cores directly. `expert_routed_split` is the later shape with 32 rows and a task for each.

Scopes: the tiles of an expert do not know one another, so each has a scope of its own, and its scratch lives no longer
than the tile.
"""

from config import EP_WORLD_SIZE, FLASH, INT8_AMAX_EPS, INT8_SCALE_MAX, RECV_MAX

import pto_sim.language as pl

D = FLASH.hidden_size
MOE_INTER = FLASH.moe_intermediate_size
SWIGLU_LIMIT = FLASH.swiglu_limit
N_LOCAL_EXPERTS = FLASH.n_routed_experts // EP_WORLD_SIZE

# tiles
RECV_TILE = 48
K_TILE = 1024
INTER_K = 1024
INTER_TILE = 32
INTER_TILES = 8  # of one block
D_OUT_TILE = 64
D_OUT_TILES = 16  # of one block
QUANT_TILE = 128

assert RECV_MAX % RECV_TILE == 0  # a tile stays within its expert's rows
assert MOE_INTER % (INTER_TILES * INTER_TILE) == 0 and D % (D_OUT_TILES * D_OUT_TILE) == 0
assert D % K_TILE == 0 and MOE_INTER % INTER_K == 0 and MOE_INTER % QUANT_TILE == 0


@pl.jit.inline(auto_scope=False)
def expert_routed(
    recv_x: pl.Tensor[[N_LOCAL_EXPERTS, RECV_MAX, D], pl.INT8],
    recv_scale_dq: pl.Tensor[[N_LOCAL_EXPERTS, RECV_MAX], pl.FP32],
    recv_weights: pl.Tensor[[N_LOCAL_EXPERTS, RECV_MAX], pl.FP32],
    recv_expert_count: pl.Tensor[[N_LOCAL_EXPERTS, 1], pl.INT32],
    routed_w1: pl.Tensor[[N_LOCAL_EXPERTS, MOE_INTER, D], pl.INT8],
    routed_w1_scale: pl.Tensor[[N_LOCAL_EXPERTS, MOE_INTER], pl.FP32],
    routed_w3: pl.Tensor[[N_LOCAL_EXPERTS, MOE_INTER, D], pl.INT8],
    routed_w3_scale: pl.Tensor[[N_LOCAL_EXPERTS, MOE_INTER], pl.FP32],
    routed_w2: pl.Tensor[[N_LOCAL_EXPERTS, D, MOE_INTER], pl.INT8],
    routed_w2_scale: pl.Tensor[[N_LOCAL_EXPERTS, D], pl.FP32],
    recv_y: pl.Tensor[[N_LOCAL_EXPERTS, RECV_MAX, D], pl.BF16],
):
    """recv_y = weight * (silu(x w1^T) * (x w3^T)) w2^T for every row that an expert received.

    recv_x, recv_scale_dq: received tokens, and the factor that turns each row back. recv_weights: what a row's output
    is multiplied by. recv_expert_count: rows of each expert. routed_w*: weights of each expert, a row for each output,
    with a factor for each row. recv_y: written up to the end of the last tile; later rows keep what they held.
    """
    recv_y_flat = pl.reshape(recv_y, [N_LOCAL_EXPERTS * RECV_MAX, D])
    for e in pl.parallel(N_LOCAL_EXPERTS):
        rows = pl.read(recv_expert_count, [e, 0])
        tiles = (rows + RECV_TILE - 1) // RECV_TILE
        for tile in pl.parallel(tiles):
            with pl.scope():
                r0 = tile * RECV_TILE
                valid_rows = pl.min(RECV_TILE, rows - r0)

                h_tile_fp32 = pl.create_tensor([RECV_TILE, MOE_INTER], dtype=pl.FP32)
                for g_block in pl.spmd(MOE_INTER // (INTER_TILES * INTER_TILE), name_hint="exp_gate_up"):
                    for g_i in pl.range(INTER_TILES):
                        g_n0 = (g_block * INTER_TILES + g_i) * INTER_TILE
                        g_x0 = recv_x[e : e + 1, r0 : r0 + RECV_TILE, 0:K_TILE]
                        g_w10 = routed_w1[e : e + 1, g_n0 : g_n0 + INTER_TILE, 0:K_TILE]
                        g_w30 = routed_w3[e : e + 1, g_n0 : g_n0 + INTER_TILE, 0:K_TILE]
                        g_gate_acc = pl.matmul(g_x0, g_w10, b_trans=True, out_dtype=pl.INT32)
                        g_up_acc = pl.matmul(g_x0, g_w30, b_trans=True, out_dtype=pl.INT32)
                        for g_k0 in pl.pipeline(K_TILE, D, K_TILE, stage=2):
                            g_x = recv_x[e : e + 1, r0 : r0 + RECV_TILE, g_k0 : g_k0 + K_TILE]
                            g_w1 = routed_w1[e : e + 1, g_n0 : g_n0 + INTER_TILE, g_k0 : g_k0 + K_TILE]
                            g_w3 = routed_w3[e : e + 1, g_n0 : g_n0 + INTER_TILE, g_k0 : g_k0 + K_TILE]
                            g_gate_acc = pl.matmul_acc(g_gate_acc, g_x, g_w1, b_trans=True)
                            g_up_acc = pl.matmul_acc(g_up_acc, g_x, g_w3, b_trans=True)
                        g_gate_i32 = pl.reshape(g_gate_acc, [RECV_TILE, INTER_TILE])
                        g_up_i32 = pl.reshape(g_up_acc, [RECV_TILE, INTER_TILE])
                        g_x_factor = pl.reshape(recv_scale_dq[e : e + 1, r0 : r0 + RECV_TILE], [RECV_TILE, 1])
                        g_w1_factor = routed_w1_scale[e : e + 1, g_n0 : g_n0 + INTER_TILE]
                        g_w3_factor = routed_w3_scale[e : e + 1, g_n0 : g_n0 + INTER_TILE]
                        g_gate = pl.row_expand_mul(pl.cast(g_gate_i32, target_type=pl.FP32, mode="none"), g_x_factor)
                        g_gate = pl.col_expand_mul(g_gate, g_w1_factor)
                        g_up = pl.row_expand_mul(pl.cast(g_up_i32, target_type=pl.FP32, mode="none"), g_x_factor)
                        g_up = pl.col_expand_mul(g_up, g_w3_factor)
                        if SWIGLU_LIMIT > 0.0:
                            g_gate = pl.minimum(g_gate, SWIGLU_LIMIT)
                            g_up = pl.maximum(pl.minimum(g_up, SWIGLU_LIMIT), -SWIGLU_LIMIT)
                        g_sigmoid = pl.recip(pl.add(pl.exp(pl.neg(g_gate)), 1.0))
                        g_h = pl.mul(pl.mul(g_gate, g_sigmoid), g_up)
                        # Rows behind the last received one hold anything; they become zero.
                        g_h = pl.fillpad(pl.set_validshape(g_h, valid_rows, INTER_TILE), pad_value=pl.PadValue.zero)
                        h_tile_fp32[:, g_n0 : g_n0 + INTER_TILE] = g_h

                # INT8 with one scale for each row.
                h_tile_i8 = pl.create_tensor([RECV_TILE, MOE_INTER], dtype=pl.INT8)
                h_tile_scale_dq = pl.create_tensor([RECV_TILE, 1], dtype=pl.FP32)
                with pl.at(level=pl.Level.CORE_GROUP, name_hint="exp_h_q"):
                    q_max = pl.full([1, RECV_TILE], dtype=pl.FP32, value=INT8_AMAX_EPS)
                    for q_a0 in pl.range(0, MOE_INTER, QUANT_TILE):
                        q_part = h_tile_fp32[:, q_a0 : q_a0 + QUANT_TILE]
                        q_abs = pl.maximum(q_part, pl.neg(q_part))
                        q_max = pl.maximum(q_max, pl.reshape(pl.row_max(q_abs), [1, RECV_TILE]))
                    q_scale_row = pl.div(pl.full([1, RECV_TILE], dtype=pl.FP32, value=INT8_SCALE_MAX), q_max)
                    h_tile_scale_dq[:, :] = pl.reshape(pl.recip(q_scale_row), [RECV_TILE, 1])
                    q_scale = pl.reshape(q_scale_row, [RECV_TILE, 1])
                    for q_n0 in pl.range(0, MOE_INTER, QUANT_TILE):
                        q_y = pl.row_expand_mul(h_tile_fp32[:, q_n0 : q_n0 + QUANT_TILE], q_scale)
                        q_y = pl.cast(q_y, target_type=pl.INT32, mode="rint")
                        q_y = pl.cast(q_y, target_type=pl.FP16, mode="round")
                        h_tile_i8[:, q_n0 : q_n0 + QUANT_TILE] = pl.cast(q_y, target_type=pl.INT8, mode="trunc")

                for d_block in pl.spmd(D // (D_OUT_TILES * D_OUT_TILE), name_hint="exp_w2"):
                    # One factor for each row: that of its quantisation times the weight of its token.
                    d_weight = pl.reshape(recv_weights[e : e + 1, r0 : r0 + RECV_TILE], [RECV_TILE, 1])
                    d_factor = pl.mul(h_tile_scale_dq[:, :], d_weight)
                    for d_i in pl.range(D_OUT_TILES):
                        d_n0 = (d_block * D_OUT_TILES + d_i) * D_OUT_TILE
                        d_h0 = h_tile_i8[:, 0:INTER_K]
                        d_w0 = routed_w2[e : e + 1, d_n0 : d_n0 + D_OUT_TILE, 0:INTER_K]
                        d_acc = pl.matmul(d_h0, d_w0, b_trans=True, out_dtype=pl.INT32)
                        for d_k0 in pl.range(INTER_K, MOE_INTER, INTER_K):
                            d_h = h_tile_i8[:, d_k0 : d_k0 + INTER_K]
                            d_w = routed_w2[e : e + 1, d_n0 : d_n0 + D_OUT_TILE, d_k0 : d_k0 + INTER_K]
                            d_acc = pl.matmul_acc(d_acc, d_h, d_w, b_trans=True)
                        d_sum = pl.cast(pl.reshape(d_acc, [RECV_TILE, D_OUT_TILE]), target_type=pl.FP32, mode="none")
                        d_w_factor = routed_w2_scale[e : e + 1, d_n0 : d_n0 + D_OUT_TILE]
                        d_y = pl.col_expand_mul(pl.row_expand_mul(d_sum, d_factor), d_w_factor)
                        d_row0 = e * RECV_MAX + r0
                        recv_y_flat[d_row0 : d_row0 + RECV_TILE, d_n0 : d_n0 + D_OUT_TILE] = pl.cast(
                            d_y, target_type=pl.BF16, mode="rint"
                        )
    return recv_y


@pl.jit(auto_scope=False)
def expert_routed_test(
    recv_x: pl.Tensor[[N_LOCAL_EXPERTS, RECV_MAX, D], pl.INT8],
    recv_scale_dq: pl.Tensor[[N_LOCAL_EXPERTS, RECV_MAX], pl.FP32],
    recv_weights: pl.Tensor[[N_LOCAL_EXPERTS, RECV_MAX], pl.FP32],
    recv_expert_count: pl.Tensor[[N_LOCAL_EXPERTS, 1], pl.INT32],
    routed_w1: pl.Tensor[[N_LOCAL_EXPERTS, MOE_INTER, D], pl.INT8],
    routed_w1_scale: pl.Tensor[[N_LOCAL_EXPERTS, MOE_INTER], pl.FP32],
    routed_w3: pl.Tensor[[N_LOCAL_EXPERTS, MOE_INTER, D], pl.INT8],
    routed_w3_scale: pl.Tensor[[N_LOCAL_EXPERTS, MOE_INTER], pl.FP32],
    routed_w2: pl.Tensor[[N_LOCAL_EXPERTS, D, MOE_INTER], pl.INT8],
    routed_w2_scale: pl.Tensor[[N_LOCAL_EXPERTS, D], pl.FP32],
    recv_y: pl.Out[pl.Tensor[[N_LOCAL_EXPERTS, RECV_MAX, D], pl.BF16]],
):
    """`expert_routed` on its own."""
    # fmt: off
    expert_routed(
        recv_x, recv_scale_dq, recv_weights, recv_expert_count, routed_w1, routed_w1_scale, routed_w3,
        routed_w3_scale, routed_w2, routed_w2_scale, recv_y,
    )
    # fmt: on
    return recv_y


if __name__ == "__main__":
    from expert_routed_script import main

    main(expert_routed_test)
