"""The routed experts of one card with a task for each step: 32 rows at a time.

The later shape of `expert_routed`: cube tasks write INT32 sums to memory and vector tasks read them, so each can have
the tiles that suit it; gate and up have tasks of their own, so that only one weight tile must fit. About 24 rows come
to an expert of 256, one tile of 32.

Scopes: as in `expert_routed`, one for each tile.
"""

from config import EP_WORLD_SIZE, FLASH, INT8_AMAX_EPS, INT8_SCALE_MAX, RECV_MAX

import pto_sim.language as pl

D = FLASH.hidden_size
MOE_INTER = FLASH.moe_intermediate_size
SWIGLU_LIMIT = FLASH.swiglu_limit
N_LOCAL_EXPERTS = FLASH.n_routed_experts // EP_WORLD_SIZE

# tiles, and how many of them one block takes
RECV_TILE = 32
K_TILE = 512
INTER_K = 512
MM_TILE = 256
MM_TILES = 4
ACT_TILE = 128
ACT_TILES = 4
D_OUT_TILE = 256
D_OUT_TILES = 4
D_ACT_TILE = 512
D_ACT_TILES = 8
QUANT_TILE = 256

assert RECV_MAX % RECV_TILE == 0  # a tile stays within its expert's rows
assert MOE_INTER % (MM_TILES * MM_TILE) == 0 and MOE_INTER % (ACT_TILES * ACT_TILE) == 0
assert D % (D_OUT_TILES * D_OUT_TILE) == 0 and D % (D_ACT_TILES * D_ACT_TILE) == 0
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

                gate_i32 = pl.create_tensor([RECV_TILE, MOE_INTER], dtype=pl.INT32)
                for g_block in pl.spmd(MOE_INTER // (MM_TILES * MM_TILE), name_hint="exp_gate_mm"):
                    for g_i in pl.range(MM_TILES):
                        g_n0 = (g_block * MM_TILES + g_i) * MM_TILE
                        g_acc = pl.create_tensor([1, RECV_TILE, MM_TILE], dtype=pl.INT32)
                        for g_k0 in pl.pipeline(0, D, K_TILE, stage=2):
                            g_x = recv_x[e : e + 1, r0 : r0 + RECV_TILE, g_k0 : g_k0 + K_TILE]
                            g_w1 = routed_w1[e : e + 1, g_n0 : g_n0 + MM_TILE, g_k0 : g_k0 + K_TILE]
                            if g_k0 == 0:
                                g_acc = pl.matmul(g_x, g_w1, b_trans=True, out_dtype=pl.INT32)
                            else:
                                g_acc = pl.matmul_acc(g_acc, g_x, g_w1, b_trans=True)
                        gate_i32[:, g_n0 : g_n0 + MM_TILE] = pl.reshape(g_acc, [RECV_TILE, MM_TILE])

                up_i32 = pl.create_tensor([RECV_TILE, MOE_INTER], dtype=pl.INT32)
                for u_block in pl.spmd(MOE_INTER // (MM_TILES * MM_TILE), name_hint="exp_up_mm"):
                    for u_i in pl.range(MM_TILES):
                        u_n0 = (u_block * MM_TILES + u_i) * MM_TILE
                        u_acc = pl.create_tensor([1, RECV_TILE, MM_TILE], dtype=pl.INT32)
                        for u_k0 in pl.pipeline(0, D, K_TILE, stage=2):
                            u_x = recv_x[e : e + 1, r0 : r0 + RECV_TILE, u_k0 : u_k0 + K_TILE]
                            u_w3 = routed_w3[e : e + 1, u_n0 : u_n0 + MM_TILE, u_k0 : u_k0 + K_TILE]
                            if u_k0 == 0:
                                u_acc = pl.matmul(u_x, u_w3, b_trans=True, out_dtype=pl.INT32)
                            else:
                                u_acc = pl.matmul_acc(u_acc, u_x, u_w3, b_trans=True)
                        up_i32[:, u_n0 : u_n0 + MM_TILE] = pl.reshape(u_acc, [RECV_TILE, MM_TILE])

                h_tile_fp32 = pl.create_tensor([RECV_TILE, MOE_INTER], dtype=pl.FP32)
                for a_block in pl.spmd(MOE_INTER // (ACT_TILES * ACT_TILE), name_hint="exp_gate_up_act"):
                    for a_i in pl.pipeline(ACT_TILES, stage=2):
                        a_n0 = (a_block * ACT_TILES + a_i) * ACT_TILE
                        a_x_factor = pl.reshape(recv_scale_dq[e : e + 1, r0 : r0 + RECV_TILE], [RECV_TILE, 1])
                        a_gate = pl.cast(gate_i32[:, a_n0 : a_n0 + ACT_TILE], target_type=pl.FP32, mode="none")
                        a_gate = pl.row_expand_mul(a_gate, a_x_factor)
                        a_gate = pl.col_expand_mul(a_gate, routed_w1_scale[e : e + 1, a_n0 : a_n0 + ACT_TILE])
                        a_up = pl.cast(up_i32[:, a_n0 : a_n0 + ACT_TILE], target_type=pl.FP32, mode="none")
                        a_up = pl.row_expand_mul(a_up, a_x_factor)
                        a_up = pl.col_expand_mul(a_up, routed_w3_scale[e : e + 1, a_n0 : a_n0 + ACT_TILE])
                        if SWIGLU_LIMIT > 0.0:
                            a_gate = pl.minimum(a_gate, SWIGLU_LIMIT)
                            a_up = pl.maximum(pl.minimum(a_up, SWIGLU_LIMIT), -SWIGLU_LIMIT)
                        a_sigmoid = pl.recip(pl.add(pl.exp(pl.neg(a_gate)), 1.0))
                        a_h = pl.mul(pl.mul(a_gate, a_sigmoid), a_up)
                        # Rows behind the last received one hold anything; they become zero.
                        a_h = pl.fillpad(pl.set_validshape(a_h, valid_rows, ACT_TILE), pad_value=pl.PadValue.zero)
                        h_tile_fp32[:, a_n0 : a_n0 + ACT_TILE] = a_h

                # INT8 with one scale for each row.
                h_tile_i8 = pl.create_tensor([RECV_TILE, MOE_INTER], dtype=pl.INT8)
                h_tile_scale_dq = pl.create_tensor([RECV_TILE, 1], dtype=pl.FP32)
                with pl.at(level=pl.Level.CORE_GROUP, name_hint="exp_h_q"):
                    q_max = pl.full([1, RECV_TILE], dtype=pl.FP32, value=INT8_AMAX_EPS)
                    for q_a0 in pl.pipeline(0, MOE_INTER, QUANT_TILE, stage=2):
                        q_part = h_tile_fp32[:, q_a0 : q_a0 + QUANT_TILE]
                        q_abs = pl.maximum(q_part, pl.neg(q_part))
                        q_max = pl.maximum(q_max, pl.reshape(pl.row_max(q_abs), [1, RECV_TILE]))
                    q_scale_row = pl.div(pl.full([1, RECV_TILE], dtype=pl.FP32, value=INT8_SCALE_MAX), q_max)
                    h_tile_scale_dq[:, :] = pl.reshape(pl.recip(q_scale_row), [RECV_TILE, 1])
                    q_scale = pl.reshape(q_scale_row, [RECV_TILE, 1])
                    for q_n0 in pl.pipeline(0, MOE_INTER, QUANT_TILE, stage=2):
                        q_y = pl.row_expand_mul(h_tile_fp32[:, q_n0 : q_n0 + QUANT_TILE], q_scale)
                        q_y = pl.cast(q_y, target_type=pl.INT32, mode="rint")
                        q_y = pl.cast(q_y, target_type=pl.FP16, mode="round")
                        h_tile_i8[:, q_n0 : q_n0 + QUANT_TILE] = pl.cast(q_y, target_type=pl.INT8, mode="trunc")

                y_i32 = pl.create_tensor([RECV_TILE, D], dtype=pl.INT32)
                for d_block in pl.spmd(D // (D_OUT_TILES * D_OUT_TILE), name_hint="exp_w2_mm"):
                    for d_i in pl.range(D_OUT_TILES):
                        d_n0 = (d_block * D_OUT_TILES + d_i) * D_OUT_TILE
                        d_acc = pl.create_tensor([1, RECV_TILE, D_OUT_TILE], dtype=pl.INT32)
                        for d_k0 in pl.pipeline(0, MOE_INTER, INTER_K, stage=2):
                            d_h = h_tile_i8[:, d_k0 : d_k0 + INTER_K]
                            d_w = routed_w2[e : e + 1, d_n0 : d_n0 + D_OUT_TILE, d_k0 : d_k0 + INTER_K]
                            if d_k0 == 0:
                                d_acc = pl.matmul(d_h, d_w, b_trans=True, out_dtype=pl.INT32)
                            else:
                                d_acc = pl.matmul_acc(d_acc, d_h, d_w, b_trans=True)
                        y_i32[:, d_n0 : d_n0 + D_OUT_TILE] = pl.reshape(d_acc, [RECV_TILE, D_OUT_TILE])

                for o_block in pl.spmd(D // (D_ACT_TILES * D_ACT_TILE), name_hint="exp_w2_act"):
                    # One factor for each row: that of its quantisation times the weight of its token.
                    o_weight = pl.reshape(recv_weights[e : e + 1, r0 : r0 + RECV_TILE], [RECV_TILE, 1])
                    o_factor = pl.mul(h_tile_scale_dq[:, :], o_weight)
                    o_row0 = e * RECV_MAX + r0
                    for o_i in pl.pipeline(D_ACT_TILES, stage=2):
                        o_n0 = (o_block * D_ACT_TILES + o_i) * D_ACT_TILE
                        o_sum = pl.cast(y_i32[:, o_n0 : o_n0 + D_ACT_TILE], target_type=pl.FP32, mode="none")
                        o_w_factor = routed_w2_scale[e : e + 1, o_n0 : o_n0 + D_ACT_TILE]
                        o_y = pl.col_expand_mul(pl.row_expand_mul(o_sum, o_factor), o_w_factor)
                        recv_y_flat[o_row0 : o_row0 + RECV_TILE, o_n0 : o_n0 + D_ACT_TILE] = pl.cast(
                            o_y, target_type=pl.BF16, mode="rint"
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
