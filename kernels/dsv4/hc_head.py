"""Hyper-connections behind the last layer: four residual streams become the hidden state that the final norm takes.

As in `hc_pre`, numbers projected from all streams of a token weigh the streams; here there are only four of them, one
for each stream. The product is thin (16 columns) and deep (all streams), so that blocks share it along the inner
extent and add their parts atomically to zeros. Streams are widened to FP32 once, for the product and for the norm.
"""

from config import DECODE_BATCH, DECODE_SEQ, FLASH

import pto_sim.language as pl

B = DECODE_BATCH
S = DECODE_SEQ
T = B * S
D = FLASH.hidden_size
HC_MULT = FLASH.hc_mult
HC_DIM = FLASH.hc_dim
HC_EPS = FLASH.hc_eps
EPS = FLASH.rms_norm_eps

HC_PAD = 16  # HC_MULT, filled up to whole columns of the cube

# tiles
T_TILE = 8
RMS_K_TILE = 512
LINEAR_T_TILE = 64
LINEAR_K_TILE = 256
LINEAR_OK = 8  # parts of the inner extent
LINEAR_K_SLICE = HC_DIM // LINEAR_OK
TRANSPOSE_T_TILE = 64
D_TILE = 512

assert HC_MULT == 4, "the streams are written out one by one"
assert T % T_TILE == 0 and T % LINEAR_T_TILE == 0 and T % TRANSPOSE_T_TILE == 0
assert HC_DIM % RMS_K_TILE == 0 and HC_DIM % LINEAR_OK == 0 and LINEAR_K_SLICE % LINEAR_K_TILE == 0
assert D % D_TILE == 0


@pl.jit.inline
def hc_head(
    x_hc: pl.Tensor[[B, S, HC_MULT, D], pl.BF16],
    hc_head_fn: pl.Tensor[[HC_MULT, HC_DIM], pl.FP32],
    hc_head_scale: pl.Tensor[[1], pl.FP32],
    hc_head_base: pl.Tensor[[HC_MULT], pl.FP32],
    y: pl.Tensor[[B, S, D], pl.BF16],
):
    """y = sum over streams of (sigmoid(projection / RMS * scale + base) + eps) * stream.

    x_hc: the streams. hc_head_fn: projection of all streams of a token to one number for each stream. hc_head_scale,
    hc_head_base: of the sigmoid's argument. y: written.
    """
    x_flat = pl.reshape(x_hc, [T, HC_DIM])
    x_fp32 = pl.create_tensor([T, HC_DIM], dtype=pl.FP32)
    for c_block in pl.spmd(T // T_TILE, name_hint="hc_head_cast", allow_early_resolve=True):
        c_t0 = c_block * T_TILE
        for c_kb in pl.pipeline(HC_DIM // RMS_K_TILE, stage=4):
            c_k0 = c_kb * RMS_K_TILE
            c_x = x_flat[c_t0 : c_t0 + T_TILE, c_k0 : c_k0 + RMS_K_TILE]
            x_fp32[c_t0 : c_t0 + T_TILE, c_k0 : c_k0 + RMS_K_TILE] = pl.cast(c_x, target_type=pl.FP32)

    inv_rms = pl.create_tensor([T, 1], dtype=pl.FP32)
    for n_block in pl.spmd(T // T_TILE, name_hint="hc_head_rms", allow_early_resolve=True):
        n_t0 = n_block * T_TILE
        n_sum = pl.full([1, T_TILE], dtype=pl.FP32, value=0.0)
        for n_kb in pl.pipeline(HC_DIM // RMS_K_TILE, stage=4):
            n_k0 = n_kb * RMS_K_TILE
            n_x = x_fp32[n_t0 : n_t0 + T_TILE, n_k0 : n_k0 + RMS_K_TILE]
            n_sum = pl.add(n_sum, pl.reshape(pl.row_sum(pl.mul(n_x, n_x)), [1, T_TILE]))
        n_inv = pl.rsqrt(pl.add(pl.mul(n_sum, 1.0 / HC_DIM), EPS))
        inv_rms[n_t0 : n_t0 + T_TILE, 0:1] = pl.reshape(n_inv, [T_TILE, 1])

    mixes_raw = pl.create_tensor([T, HC_PAD], dtype=pl.FP32)
    for z_block in pl.spmd(T // T_TILE, name_hint="hc_head_seed", allow_early_resolve=True):
        z_t0 = z_block * T_TILE
        mixes_raw[z_t0 : z_t0 + T_TILE, 0:HC_PAD] = pl.full([T_TILE, HC_PAD], dtype=pl.FP32, value=0.0)
    for p_block in pl.spmd((T // LINEAR_T_TILE) * LINEAR_OK, name_hint="hc_head_linear", allow_early_resolve=True):
        p_t0 = (p_block // LINEAR_OK) * LINEAR_T_TILE
        p_base = (p_block % LINEAR_OK) * LINEAR_K_SLICE
        p_acc = pl.create_tensor([LINEAR_T_TILE, HC_PAD], dtype=pl.FP32)
        for p_kb in pl.pipeline(0, LINEAR_K_SLICE // LINEAR_K_TILE, stage=2):
            p_k0 = p_base + p_kb * LINEAR_K_TILE
            p_x = x_fp32[p_t0 : p_t0 + LINEAR_T_TILE, p_k0 : p_k0 + LINEAR_K_TILE]
            p_w = pl.slice(hc_head_fn, [HC_PAD, LINEAR_K_TILE], [0, p_k0], valid_shape=[HC_MULT, LINEAR_K_TILE])
            if p_kb == 0:
                p_acc = pl.matmul(p_x, p_w, b_trans=True, out_dtype=pl.FP32)
            else:
                p_acc = pl.matmul_acc(p_acc, p_x, p_w, b_trans=True)
        mixes_raw = pl.assemble(mixes_raw, p_acc, [p_t0, 0], atomic=pl.AtomicType.Add)

    # Transposed, the weights of a stream are a row: what the sum of streams reads for a block is whole 32 bytes.
    pre_t = pl.create_tensor([HC_PAD, T], dtype=pl.FP32)
    with pl.at(level=pl.Level.CORE_GROUP, name_hint="hc_head_pre_fused", allow_early_resolve=True):
        w_scale = pl.read(hc_head_scale, [0])
        w_base = pl.reshape(pl.slice(hc_head_base, [HC_PAD], [0], valid_shape=[HC_MULT]), [1, HC_PAD])
        for w_t0 in pl.pipeline(0, T, TRANSPOSE_T_TILE, stage=2):
            w_inv = inv_rms[w_t0 : w_t0 + TRANSPOSE_T_TILE, 0:1]
            w_mix = pl.row_expand_mul(mixes_raw[w_t0 : w_t0 + TRANSPOSE_T_TILE, 0:HC_PAD], w_inv)
            w_logits = pl.add(pl.mul(w_mix, w_scale), pl.col_expand(w_mix, w_base))
            w_pre = pl.add(pl.recip(pl.add(pl.exp(pl.neg(w_logits)), 1.0)), HC_EPS)
            pre_t[:, w_t0 : w_t0 + TRANSPOSE_T_TILE] = pl.transpose(w_pre, axis1=0, axis2=1)

    y_flat = pl.reshape(y, [T, D])
    for s_t0 in pl.parallel(0, T, T_TILE):
        with pl.at(level=pl.Level.CORE_GROUP, name_hint="hc_head_reduce", allow_early_resolve=True):
            s_0 = pl.reshape(pre_t[0:1, s_t0 : s_t0 + T_TILE], [T_TILE, 1])
            s_1 = pl.reshape(pre_t[1:2, s_t0 : s_t0 + T_TILE], [T_TILE, 1])
            s_2 = pl.reshape(pre_t[2:3, s_t0 : s_t0 + T_TILE], [T_TILE, 1])
            s_3 = pl.reshape(pre_t[3:4, s_t0 : s_t0 + T_TILE], [T_TILE, 1])
            for s_db in pl.pipeline(D // D_TILE, stage=2):
                s_d0 = s_db * D_TILE
                s_d1 = D + s_d0
                s_d2 = 2 * D + s_d0
                s_d3 = 3 * D + s_d0
                s_x0 = pl.cast(x_flat[s_t0 : s_t0 + T_TILE, s_d0 : s_d0 + D_TILE], target_type=pl.FP32)
                s_x1 = pl.cast(x_flat[s_t0 : s_t0 + T_TILE, s_d1 : s_d1 + D_TILE], target_type=pl.FP32)
                s_x2 = pl.cast(x_flat[s_t0 : s_t0 + T_TILE, s_d2 : s_d2 + D_TILE], target_type=pl.FP32)
                s_x3 = pl.cast(x_flat[s_t0 : s_t0 + T_TILE, s_d3 : s_d3 + D_TILE], target_type=pl.FP32)
                s_01 = pl.add(pl.row_expand_mul(s_x0, s_0), pl.row_expand_mul(s_x1, s_1))
                s_23 = pl.add(pl.row_expand_mul(s_x2, s_2), pl.row_expand_mul(s_x3, s_3))
                s_y = pl.cast(pl.add(s_01, s_23), target_type=pl.BF16, mode="rint")
                y_flat[s_t0 : s_t0 + T_TILE, s_d0 : s_d0 + D_TILE] = s_y
    return y


@pl.jit
def hc_head_test(
    x_hc: pl.Tensor[[B, S, HC_MULT, D], pl.BF16],
    hc_head_fn: pl.Tensor[[HC_MULT, HC_DIM], pl.FP32],
    hc_head_scale: pl.Tensor[[1], pl.FP32],
    hc_head_base: pl.Tensor[[HC_MULT], pl.FP32],
    y: pl.Out[pl.Tensor[[B, S, D], pl.BF16]],
):
    """`hc_head` on its own."""
    hc_head(x_hc, hc_head_fn, hc_head_scale, hc_head_base, y)
    return y


if __name__ == "__main__":
    from hc_head_script import main

    main(hc_head_test)
