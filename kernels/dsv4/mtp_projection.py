"""Input of the layer that predicts one token more: projections of the next token's embedding and of the last layer's
state, added.

Both are normalised, multiplied by smoothing factors, quantised to INT8 for each token, and projected with INT8 weights.
"""

from config import DECODE_BATCH, DECODE_SEQ, FLASH, INT8_AMAX_EPS, INT8_SCALE_MAX

import pto_sim.language as pl

B = DECODE_BATCH
S = DECODE_SEQ
T = B * S
D = FLASH.hidden_size
EPS = FLASH.rms_norm_eps

# tiles
NORM_T_TILE = 8
D_TILE = 512
T_TILE = 64
K_TILE = 512
OUT_TILE = 64
OUT_TILES = 4  # of one block

assert T % NORM_T_TILE == 0 and T % T_TILE == 0 and D % D_TILE == 0 and D % K_TILE == 0
assert D % (OUT_TILES * OUT_TILE) == 0


@pl.jit.inline
def mtp_norm_quant(
    x: pl.Tensor[[T, D], pl.BF16],
    norm_w: pl.Tensor[[D], pl.FP32],
    smooth: pl.Tensor[[D], pl.FP32],
    x_i8: pl.Tensor[[T, D], pl.INT8],
    x_scale_dq: pl.Tensor[[T, 1], pl.FP32],
):
    """x_i8 * x_scale_dq = norm(x) * norm_w * smooth, rounded to BF16 before it is quantised.

    x: states of every token. norm_w, smooth: of every column. x_i8, x_scale_dq: written; a factor for each token.
    """
    for n_block in pl.spmd(T // NORM_T_TILE, name_hint="mtp_norm_quant"):
        n_t0 = n_block * NORM_T_TILE
        n_sum = pl.full([1, NORM_T_TILE], dtype=pl.FP32, value=0.0)
        for n_s0 in pl.pipeline(0, D, D_TILE, stage=2):
            n_x = pl.cast(x[n_t0 : n_t0 + NORM_T_TILE, n_s0 : n_s0 + D_TILE], target_type=pl.FP32)
            n_sum = pl.add(n_sum, pl.reshape(pl.row_sum(pl.mul(n_x, n_x)), [1, NORM_T_TILE]))
        n_inv = pl.reshape(pl.rsqrt(pl.add(pl.mul(n_sum, 1.0 / D), EPS)), [NORM_T_TILE, 1])

        # The largest magnitude decides the scale, so the normalised values are computed twice.
        n_max = pl.full([1, NORM_T_TILE], dtype=pl.FP32, value=INT8_AMAX_EPS)
        for n_a0 in pl.range(0, D, D_TILE):
            n_y = pl.cast(x[n_t0 : n_t0 + NORM_T_TILE, n_a0 : n_a0 + D_TILE], target_type=pl.FP32)
            n_y = pl.col_expand_mul(
                pl.row_expand_mul(n_y, n_inv), pl.reshape(norm_w[n_a0 : n_a0 + D_TILE], [1, D_TILE])
            )
            n_y = pl.col_expand_mul(n_y, pl.reshape(smooth[n_a0 : n_a0 + D_TILE], [1, D_TILE]))
            n_y = pl.cast(pl.cast(n_y, target_type=pl.BF16, mode="rint"), target_type=pl.FP32)
            n_abs = pl.maximum(n_y, pl.neg(n_y))
            n_max = pl.maximum(n_max, pl.reshape(pl.row_max(n_abs), [1, NORM_T_TILE]))
        n_scale_row = pl.div(pl.full([1, NORM_T_TILE], dtype=pl.FP32, value=INT8_SCALE_MAX), n_max)
        x_scale_dq[n_t0 : n_t0 + NORM_T_TILE, 0:1] = pl.reshape(pl.recip(n_scale_row), [NORM_T_TILE, 1])
        n_scale = pl.reshape(n_scale_row, [NORM_T_TILE, 1])
        for n_q0 in pl.range(0, D, D_TILE):
            n_q = pl.cast(x[n_t0 : n_t0 + NORM_T_TILE, n_q0 : n_q0 + D_TILE], target_type=pl.FP32)
            n_q = pl.col_expand_mul(
                pl.row_expand_mul(n_q, n_inv), pl.reshape(norm_w[n_q0 : n_q0 + D_TILE], [1, D_TILE])
            )
            n_q = pl.col_expand_mul(n_q, pl.reshape(smooth[n_q0 : n_q0 + D_TILE], [1, D_TILE]))
            n_q = pl.cast(pl.cast(n_q, target_type=pl.BF16, mode="rint"), target_type=pl.FP32)
            n_q = pl.cast(pl.row_expand_mul(n_q, n_scale), target_type=pl.INT32, mode="rint")
            n_q = pl.cast(n_q, target_type=pl.FP16, mode="round")
            x_i8[n_t0 : n_t0 + NORM_T_TILE, n_q0 : n_q0 + D_TILE] = pl.cast(n_q, target_type=pl.INT8, mode="trunc")
    return x_i8


@pl.jit(auto_scope=False)
def mtp_projection(
    hidden_states: pl.Tensor[[B, S, D], pl.BF16],
    prev_hidden_states: pl.Tensor[[B, S, D], pl.BF16],
    enorm_w: pl.Tensor[[D], pl.FP32],
    hnorm_w: pl.Tensor[[D], pl.FP32],
    e_proj_w: pl.Tensor[[D, D], pl.INT8],
    e_proj_w_scale: pl.Tensor[[D], pl.FP32],
    e_proj_smooth: pl.Tensor[[D], pl.FP32],
    h_proj_w: pl.Tensor[[D, D], pl.INT8],
    h_proj_w_scale: pl.Tensor[[D], pl.FP32],
    h_proj_smooth: pl.Tensor[[D], pl.FP32],
    hidden_states_out: pl.Out[pl.Tensor[[B, S, D], pl.BF16]],
):
    """hidden_states_out = norm(hidden_states) e_proj_w^T + norm(prev_hidden_states) h_proj_w^T.

    hidden_states: embeddings of the tokens. prev_hidden_states: of the last layer. enorm_w, hnorm_w: factors of their
    norms. e_proj_*, h_proj_*: weights, a row for each output, with a factor for each row; e_proj_smooth, h_proj_smooth:
    a factor for each input. hidden_states_out: written.
    """
    hidden_flat = pl.reshape(hidden_states, [T, D])
    hidden_i8 = pl.create_tensor([T, D], dtype=pl.INT8)
    hidden_scale_dq = pl.create_tensor([T, 1], dtype=pl.FP32)
    mtp_norm_quant(hidden_flat, enorm_w, e_proj_smooth, hidden_i8, hidden_scale_dq)
    prev_flat = pl.reshape(prev_hidden_states, [T, D])
    prev_i8 = pl.create_tensor([T, D], dtype=pl.INT8)
    prev_scale_dq = pl.create_tensor([T, 1], dtype=pl.FP32)
    mtp_norm_quant(prev_flat, hnorm_w, h_proj_smooth, prev_i8, prev_scale_dq)

    out_flat = pl.reshape(hidden_states_out, [T, D])
    for o_block in pl.spmd((T // T_TILE) * (D // (OUT_TILES * OUT_TILE)), name_hint="mtp_linear"):
        o_tb = o_block // (D // (OUT_TILES * OUT_TILE))
        o_nb = o_block - o_tb * (D // (OUT_TILES * OUT_TILE))
        o_t0 = o_tb * T_TILE
        o_e_factor = hidden_scale_dq[o_t0 : o_t0 + T_TILE, 0:1]
        o_h_factor = prev_scale_dq[o_t0 : o_t0 + T_TILE, 0:1]
        for o_i in pl.range(OUT_TILES):
            o_n0 = (o_nb * OUT_TILES + o_i) * OUT_TILE
            o_e_acc = pl.create_tensor([T_TILE, OUT_TILE], dtype=pl.INT32)
            o_h_acc = pl.create_tensor([T_TILE, OUT_TILE], dtype=pl.INT32)
            for o_kb in pl.pipeline(0, D // K_TILE, stage=2):
                o_k0 = o_kb * K_TILE
                o_e_x = hidden_i8[o_t0 : o_t0 + T_TILE, o_k0 : o_k0 + K_TILE]
                o_h_x = prev_i8[o_t0 : o_t0 + T_TILE, o_k0 : o_k0 + K_TILE]
                o_e_w = e_proj_w[o_n0 : o_n0 + OUT_TILE, o_k0 : o_k0 + K_TILE]
                o_h_w = h_proj_w[o_n0 : o_n0 + OUT_TILE, o_k0 : o_k0 + K_TILE]
                if o_k0 == 0:
                    o_e_acc = pl.matmul(o_e_x, o_e_w, b_trans=True, out_dtype=pl.INT32)
                    o_h_acc = pl.matmul(o_h_x, o_h_w, b_trans=True, out_dtype=pl.INT32)
                else:
                    o_e_acc = pl.matmul_acc(o_e_acc, o_e_x, o_e_w, b_trans=True)
                    o_h_acc = pl.matmul_acc(o_h_acc, o_h_x, o_h_w, b_trans=True)
            o_e_w_factor = pl.reshape(e_proj_w_scale[o_n0 : o_n0 + OUT_TILE], [1, OUT_TILE])
            o_h_w_factor = pl.reshape(h_proj_w_scale[o_n0 : o_n0 + OUT_TILE], [1, OUT_TILE])
            o_e = pl.row_expand_mul(pl.cast(o_e_acc, target_type=pl.FP32, mode="none"), o_e_factor)
            o_e = pl.col_expand_mul(o_e, o_e_w_factor)
            o_h = pl.row_expand_mul(pl.cast(o_h_acc, target_type=pl.FP32, mode="none"), o_h_factor)
            o_h = pl.col_expand_mul(o_h, o_h_w_factor)
            o_y = pl.cast(pl.add(o_e, o_h), target_type=pl.BF16, mode="rint")
            out_flat[o_t0 : o_t0 + T_TILE, o_n0 : o_n0 + OUT_TILE] = o_y
    return hidden_states_out


if __name__ == "__main__":
    from mtp_projection_script import main

    main(mtp_projection)
