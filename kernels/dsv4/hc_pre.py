"""Hyper-connections before a sublayer: four residual streams give its input and the weights with which `hc_post` mixes.

One task does all of it, 16 tokens a block, for any number of tokens: decode and prefill. The cube projects all streams
of a token to 24 numbers. The vector core makes three groups of weights from them: `pre` (4, sigmoid), `post` (4,
sigmoid) and `comb` (4 x 4, softmax over its rows, then Sinkhorn's alternating normalisation). `pre` mixes the streams.
"""

from config import DECODE_BATCH, DECODE_SEQ, FLASH, PREFILL_BATCH, PREFILL_SEQ

import pto_sim.language as pl

T_DYN = pl.dynamic("T_DYN")

D = FLASH.hidden_size
HC_MULT = FLASH.hc_mult
MIX_HC = FLASH.mix_hc
HC_DIM = FLASH.hc_dim
HC_SINKHORN_ITER = FLASH.hc_sinkhorn_iters
HC_EPS = FLASH.hc_eps
NORM_EPS = FLASH.rms_norm_eps

MIX_PAD = 32  # MIX_HC, filled up to whole rows of the cube
HC_PAD = 8  # HC_MULT, filled up to 32 bytes
COMB_OFF = 2 * HC_MULT
T_MAX = max(DECODE_BATCH * DECODE_SEQ, PREFILL_BATCH * PREFILL_SEQ)

# tiles
T_TILE = 16
LINEAR_K_TILE = 128  # decides the slot of the pipe from the vector core to the cube: 16 x 128 FP32
D_TILE = 256

assert HC_MULT == 4, "the streams are written out one by one"
assert (DECODE_BATCH * DECODE_SEQ) % T_TILE == 0 and (PREFILL_BATCH * PREFILL_SEQ) % T_TILE == 0
assert HC_DIM % LINEAR_K_TILE == 0 and D % D_TILE == 0


@pl.jit.inline
def hc_pre(
    x: pl.Tensor[[T_DYN, HC_MULT, D], pl.BF16],
    hc_fn: pl.Tensor[[MIX_HC, HC_DIM], pl.FP32],
    hc_scale: pl.Tensor[[3], pl.FP32],
    hc_base: pl.Tensor[[MIX_HC], pl.FP32],
    x_mixed: pl.Tensor[[T_DYN, D], pl.BF16],
    post: pl.Tensor[[T_DYN, HC_MULT], pl.FP32],
    comb: pl.Tensor[[T_DYN, HC_MULT * HC_MULT], pl.FP32],
):
    """Mix the streams of each token.

    x: the streams. hc_fn: projection of a token's streams, in the order pre, post, comb. hc_scale: a factor for each
    of the three groups. hc_base: what is added after it. x_mixed: written, the sublayer's input. post, comb: written;
    comb is a matrix for each token, row by row.
    """
    tokens = pl.tensor.dim(x, 0)
    x_flat = pl.reshape(x, [tokens, HC_DIM])
    scale_pre = pl.read(hc_scale, [0])
    scale_post = pl.read(hc_scale, [1])
    scale_comb = pl.read(hc_scale, [2])
    base_row = pl.reshape(hc_base, [1, MIX_HC])
    # A block writes its rows and reads them back as groups of columns that start anywhere.
    mixes_gm = pl.create_tensor([T_MAX, MIX_PAD], dtype=pl.FP32)
    for m_block in pl.spmd(tokens // T_TILE, name_hint="hc_pre_1spmd"):
        m_t0 = m_block * T_TILE

        # projection, divided by the RMS of all streams
        m_squares = pl.full([1, T_TILE], dtype=pl.FP32, value=0.0)
        m_acc = pl.create_tensor([T_TILE, MIX_PAD], dtype=pl.FP32)
        for m_kb in pl.pipeline(0, HC_DIM // LINEAR_K_TILE, stage=2):
            m_k0 = m_kb * LINEAR_K_TILE
            m_x = pl.cast(x_flat[m_t0 : m_t0 + T_TILE, m_k0 : m_k0 + LINEAR_K_TILE], target_type=pl.FP32)
            m_squares = pl.add(m_squares, pl.reshape(pl.row_sum(pl.mul(m_x, m_x)), [1, T_TILE]))
            m_w = pl.slice(hc_fn, [MIX_PAD, LINEAR_K_TILE], [0, m_k0], valid_shape=[MIX_HC, LINEAR_K_TILE])
            if m_kb == 0:
                m_acc = pl.matmul(m_x, m_w, b_trans=True, out_dtype=pl.FP32)
            else:
                m_acc = pl.matmul_acc(m_acc, m_x, m_w, b_trans=True)
        m_inv = pl.rsqrt(pl.add(pl.mul(m_squares, 1.0 / HC_DIM), NORM_EPS), high_precision=True)
        mixes_gm[m_t0 : m_t0 + T_TILE, 0:MIX_PAD] = pl.row_expand_mul(m_acc, pl.reshape(m_inv, [T_TILE, 1]))

        # pre = sigmoid(. * scale + base) + eps
        p_base = pl.load(base_row, [0, 0], [1, HC_PAD], target_memory=pl.MemorySpace.Vec)
        p_mix = pl.mul(pl.load(mixes_gm, [m_t0, 0], [T_TILE, HC_PAD], target_memory=pl.MemorySpace.Vec), scale_pre)
        p_logits = pl.add(p_mix, pl.col_expand(p_mix, p_base))
        p_pre = pl.add(pl.recip(pl.add(pl.exp(pl.neg(p_logits)), 1.0)), HC_EPS)

        # post = 2 * sigmoid(. * scale + base)
        q_base = pl.load(base_row, [0, HC_MULT], [1, HC_PAD], target_memory=pl.MemorySpace.Vec)
        q_in = pl.load(mixes_gm, [m_t0, HC_MULT], [T_TILE, HC_PAD], target_memory=pl.MemorySpace.Vec)
        q_mix = pl.mul(q_in, scale_post)
        q_logits = pl.add(q_mix, pl.col_expand(q_mix, q_base))
        q_post = pl.mul(pl.recip(pl.add(pl.exp(pl.neg(q_logits)), 1.0)), 2.0)
        pl.store(pl.set_validshape(q_post, T_TILE, HC_MULT), [m_t0, 0], post)

        # x_mixed = sum of pre * stream. Transposed, each stream's factors are a row of whole 32 bytes; multiplying by
        # one gives each a buffer of its own.
        s_pre = pl.transpose(p_pre, axis1=0, axis2=1)
        s_0 = pl.mul(pl.reshape(s_pre[0:1, 0:T_TILE], [T_TILE, 1]), 1.0)
        s_1 = pl.mul(pl.reshape(s_pre[1:2, 0:T_TILE], [T_TILE, 1]), 1.0)
        s_2 = pl.mul(pl.reshape(s_pre[2:3, 0:T_TILE], [T_TILE, 1]), 1.0)
        s_3 = pl.mul(pl.reshape(s_pre[3:4, 0:T_TILE], [T_TILE, 1]), 1.0)
        for s_db in pl.range(D // D_TILE):
            s_d0 = s_db * D_TILE
            s_x0 = pl.load(x_flat, [m_t0, s_d0], [T_TILE, D_TILE], target_memory=pl.MemorySpace.Vec)
            s_x1 = pl.load(x_flat, [m_t0, D + s_d0], [T_TILE, D_TILE], target_memory=pl.MemorySpace.Vec)
            s_x2 = pl.load(x_flat, [m_t0, 2 * D + s_d0], [T_TILE, D_TILE], target_memory=pl.MemorySpace.Vec)
            s_x3 = pl.load(x_flat, [m_t0, 3 * D + s_d0], [T_TILE, D_TILE], target_memory=pl.MemorySpace.Vec)
            s_01 = pl.add(
                pl.row_expand_mul(pl.cast(s_x0, target_type=pl.FP32), s_0),
                pl.row_expand_mul(pl.cast(s_x1, target_type=pl.FP32), s_1),
            )
            s_23 = pl.add(
                pl.row_expand_mul(pl.cast(s_x2, target_type=pl.FP32), s_2),
                pl.row_expand_mul(pl.cast(s_x3, target_type=pl.FP32), s_3),
            )
            pl.store(pl.cast(pl.add(s_01, s_23), target_type=pl.BF16, mode="rint"), [m_t0, s_d0], x_mixed)

        # comb: one tile for each row of all tokens' matrices. What fills a row up counts nothing in the softmax.
        c_shape = [T_TILE, HC_MULT]
        c_m0 = pl.load(
            mixes_gm, [m_t0, COMB_OFF], [T_TILE, HC_PAD], valid_shape=c_shape, target_memory=pl.MemorySpace.Vec
        )
        c_m1 = pl.load(
            mixes_gm, [m_t0, COMB_OFF + 4], [T_TILE, HC_PAD], valid_shape=c_shape, target_memory=pl.MemorySpace.Vec
        )
        c_m2 = pl.load(
            mixes_gm, [m_t0, COMB_OFF + 8], [T_TILE, HC_PAD], valid_shape=c_shape, target_memory=pl.MemorySpace.Vec
        )
        c_m3 = pl.load(
            mixes_gm, [m_t0, COMB_OFF + 12], [T_TILE, HC_PAD], valid_shape=c_shape, target_memory=pl.MemorySpace.Vec
        )
        c_one = [1, HC_MULT]
        c_b0 = pl.load(base_row, [0, COMB_OFF], [1, HC_PAD], valid_shape=c_one, target_memory=pl.MemorySpace.Vec)
        c_b1 = pl.load(base_row, [0, COMB_OFF + 4], [1, HC_PAD], valid_shape=c_one, target_memory=pl.MemorySpace.Vec)
        c_b2 = pl.load(base_row, [0, COMB_OFF + 8], [1, HC_PAD], valid_shape=c_one, target_memory=pl.MemorySpace.Vec)
        c_b3 = pl.load(base_row, [0, COMB_OFF + 12], [1, HC_PAD], valid_shape=c_one, target_memory=pl.MemorySpace.Vec)
        c_l0 = pl.fillpad(pl.add(pl.mul(c_m0, scale_comb), pl.col_expand(c_m0, c_b0)), pad_value=pl.PadValue.min)
        c_l1 = pl.fillpad(pl.add(pl.mul(c_m1, scale_comb), pl.col_expand(c_m1, c_b1)), pad_value=pl.PadValue.min)
        c_l2 = pl.fillpad(pl.add(pl.mul(c_m2, scale_comb), pl.col_expand(c_m2, c_b2)), pad_value=pl.PadValue.min)
        c_l3 = pl.fillpad(pl.add(pl.mul(c_m3, scale_comb), pl.col_expand(c_m3, c_b3)), pad_value=pl.PadValue.min)
        c_tmp = pl.create_tile([T_TILE, HC_PAD], dtype=pl.FP32, target_memory=pl.MemorySpace.Vec)
        c_e0 = pl.exp(pl.row_expand_sub(c_l0, pl.row_max(c_l0, c_tmp)))
        c_e1 = pl.exp(pl.row_expand_sub(c_l1, pl.row_max(c_l1, c_tmp)))
        c_e2 = pl.exp(pl.row_expand_sub(c_l2, pl.row_max(c_l2, c_tmp)))
        c_e3 = pl.exp(pl.row_expand_sub(c_l3, pl.row_max(c_l3, c_tmp)))
        c_s0 = pl.set_validshape(pl.add(pl.row_expand_div(c_e0, pl.row_sum(c_e0, c_tmp)), HC_EPS), T_TILE, HC_MULT)
        c_s1 = pl.set_validshape(pl.add(pl.row_expand_div(c_e1, pl.row_sum(c_e1, c_tmp)), HC_EPS), T_TILE, HC_MULT)
        c_s2 = pl.set_validshape(pl.add(pl.row_expand_div(c_e2, pl.row_sum(c_e2, c_tmp)), HC_EPS), T_TILE, HC_MULT)
        c_s3 = pl.set_validshape(pl.add(pl.row_expand_div(c_e3, pl.row_sum(c_e3, c_tmp)), HC_EPS), T_TILE, HC_MULT)
        c_0 = pl.fillpad(c_s0, pad_value=pl.PadValue.zero)
        c_1 = pl.fillpad(c_s1, pad_value=pl.PadValue.zero)
        c_2 = pl.fillpad(c_s2, pad_value=pl.PadValue.zero)
        c_3 = pl.fillpad(c_s3, pad_value=pl.PadValue.zero)
        c_columns = pl.add(pl.add(pl.add(c_0, c_1), pl.add(c_2, c_3)), HC_EPS)
        c_0 = pl.div(c_0, c_columns)
        c_1 = pl.div(c_1, c_columns)
        c_2 = pl.div(c_2, c_columns)
        c_3 = pl.div(c_3, c_columns)
        c_sum = pl.create_tile([T_TILE, HC_PAD], dtype=pl.FP32, target_memory=pl.MemorySpace.Vec)
        for _c_round in pl.pipeline(HC_SINKHORN_ITER - 1, stage=2):
            c_r0 = pl.row_expand_div(c_0, pl.add(pl.row_sum(c_0, c_sum), HC_EPS))
            c_r1 = pl.row_expand_div(c_1, pl.add(pl.row_sum(c_1, c_sum), HC_EPS))
            c_r2 = pl.row_expand_div(c_2, pl.add(pl.row_sum(c_2, c_sum), HC_EPS))
            c_r3 = pl.row_expand_div(c_3, pl.add(pl.row_sum(c_3, c_sum), HC_EPS))
            c_total = pl.add(pl.add(pl.add(c_r0, c_r1), pl.add(c_r2, c_r3)), HC_EPS)
            c_0 = pl.div(c_r0, c_total)
            c_1 = pl.div(c_r1, c_total)
            c_2 = pl.div(c_r2, c_total)
            c_3 = pl.div(c_r3, c_total)
        pl.store(pl.set_validshape(c_0, T_TILE, HC_MULT), [m_t0, 0], comb)
        pl.store(pl.set_validshape(c_1, T_TILE, HC_MULT), [m_t0, HC_MULT], comb)
        pl.store(pl.set_validshape(c_2, T_TILE, HC_MULT), [m_t0, 2 * HC_MULT], comb)
        pl.store(pl.set_validshape(c_3, T_TILE, HC_MULT), [m_t0, 3 * HC_MULT], comb)
    return x_mixed


@pl.jit
def hc_pre_test(
    x: pl.Tensor[[T_DYN, HC_MULT, D], pl.BF16],
    hc_fn: pl.Tensor[[MIX_HC, HC_DIM], pl.FP32],
    hc_scale: pl.Tensor[[3], pl.FP32],
    hc_base: pl.Tensor[[MIX_HC], pl.FP32],
    x_mixed: pl.Out[pl.Tensor[[T_DYN, D], pl.BF16]],
    post: pl.Out[pl.Tensor[[T_DYN, HC_MULT], pl.FP32]],
    comb: pl.Out[pl.Tensor[[T_DYN, HC_MULT * HC_MULT], pl.FP32]],
):
    """`hc_pre` on its own."""
    x.bind_dynamic(0, T_DYN)
    x_mixed.bind_dynamic(0, T_DYN)
    post.bind_dynamic(0, T_DYN)
    comb.bind_dynamic(0, T_DYN)
    hc_pre(x, hc_fn, hc_scale, hc_base, x_mixed, post, comb)
    return x_mixed


if __name__ == "__main__":
    from hc_pre_script import main

    main(hc_pre_test)
