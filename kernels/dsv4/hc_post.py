"""Hyper-connections after a sublayer: its output and the four residual streams give the four streams of the next one.

For any number of tokens: decode and prefill.
"""

from config import DECODE_BATCH, DECODE_SEQ, FLASH, PREFILL_BATCH, PREFILL_SEQ

import pto_sim.language as pl

T_DYN = pl.dynamic("T_DYN")

D = FLASH.hidden_size
HC_MULT = FLASH.hc_mult
HC_DIM = FLASH.hc_dim

# tiles
T_TILE = 16

assert (DECODE_BATCH * DECODE_SEQ) % T_TILE == 0 and (PREFILL_BATCH * PREFILL_SEQ) % T_TILE == 0


@pl.jit.inline
def hc_post(
    x: pl.Tensor[[T_DYN, D], pl.BF16],
    residual: pl.Tensor[[T_DYN, HC_MULT, D], pl.BF16],
    post: pl.Tensor[[T_DYN, HC_MULT], pl.FP32],
    comb: pl.Tensor[[T_DYN, HC_MULT * HC_MULT], pl.FP32],
    y: pl.Out[pl.Tensor[[T_DYN, HC_MULT, D], pl.BF16]],
):
    """y[t, o] = post[t, o] * x[t] + sum over i of comb[t, i, o] * residual[t, i].

    x: the sublayer's output. residual: the streams that went into it. post, comb: from `hc_pre`; comb is a matrix for
    each token, row by row. y: written, the next streams.
    """
    tokens = pl.tensor.dim(x, 0)
    streams = pl.reshape(residual, [tokens, HC_DIM])
    y_flat = pl.reshape(y, [tokens, HC_DIM])
    for h_block in pl.spmd((tokens // T_TILE) * HC_MULT, name_hint="hc_post"):
        h_out = h_block % HC_MULT
        h_t0 = (h_block // HC_MULT) * T_TILE
        h_col = h_out * D
        for h_t in pl.pipeline(h_t0, h_t0 + T_TILE, stage=4):
            h_sum = pl.mul(pl.cast(x[h_t : h_t + 1, 0:D], target_type=pl.FP32), pl.read(post, [h_t, h_out]))
            for h_in in pl.range(HC_MULT):
                h_weight = pl.read(comb, [h_t, h_in * HC_MULT + h_out])
                h_d0 = h_in * D
                h_row = pl.cast(streams[h_t : h_t + 1, h_d0 : h_d0 + D], target_type=pl.FP32)
                h_sum = pl.add(h_sum, pl.mul(h_row, h_weight))
            y_flat[h_t : h_t + 1, h_col : h_col + D] = pl.cast(h_sum, target_type=pl.BF16, mode="rint")
    return y


@pl.jit
def hc_post_test(
    x: pl.Tensor[[T_DYN, D], pl.BF16],
    residual: pl.Tensor[[T_DYN, HC_MULT, D], pl.BF16],
    post: pl.Tensor[[T_DYN, HC_MULT], pl.FP32],
    comb: pl.Tensor[[T_DYN, HC_MULT * HC_MULT], pl.FP32],
    y: pl.Out[pl.Tensor[[T_DYN, HC_MULT, D], pl.BF16]],
):
    """`hc_post` on its own."""
    x.bind_dynamic(0, T_DYN)
    residual.bind_dynamic(0, T_DYN)
    post.bind_dynamic(0, T_DYN)
    comb.bind_dynamic(0, T_DYN)
    y.bind_dynamic(0, T_DYN)
    hc_post(x, residual, post, comb, y)
    return y


if __name__ == "__main__":
    from hc_post_script import main

    main(hc_post_test)
