"""RMS norm in front of attention, for any number of tokens: decode and prefill."""

from config import DECODE_BATCH, DECODE_SEQ, FLASH, PREFILL_BATCH, PREFILL_SEQ

import pto_sim.language as pl

T_DYN = pl.dynamic("T_DYN")

D = FLASH.hidden_size
EPS = FLASH.rms_norm_eps

# tiles
D_TILE = 128
T_TILE = 8

assert D % D_TILE == 0
assert (DECODE_BATCH * DECODE_SEQ) % T_TILE == 0 and (PREFILL_BATCH * PREFILL_SEQ) % T_TILE == 0


@pl.jit.inline
def rms_norm(
    x: pl.Tensor[[T_DYN, D], pl.BF16],
    norm_w: pl.Tensor[[D], pl.BF16],
    x_normed: pl.Tensor[[T_DYN, D], pl.BF16],
):
    """x_normed = x / sqrt(mean(x^2) + eps) * norm_w, row by row, in FP32.

    x: [tokens, hidden]. norm_w: a factor for each column. x_normed: written.
    """
    tokens = pl.tensor.dim(x, 0)
    for n_block in pl.spmd(tokens // T_TILE, name_hint="rms_norm"):
        n_t0 = n_block * T_TILE
        # The sum is a row, so that its square root is one vector operation for all tokens.
        n_sum = pl.full([1, T_TILE], dtype=pl.FP32, value=0.0)
        for n_db in pl.pipeline(D // D_TILE, stage=2):
            n_d0 = n_db * D_TILE
            n_part = pl.cast(x[n_t0 : n_t0 + T_TILE, n_d0 : n_d0 + D_TILE], target_type=pl.FP32)
            n_sum = pl.add(n_sum, pl.reshape(pl.row_sum(pl.mul(n_part, n_part)), [1, T_TILE]))
        n_inv = pl.reshape(pl.recip(pl.sqrt(pl.add(pl.mul(n_sum, 1.0 / D), EPS))), [T_TILE, 1])
        for n_ob in pl.pipeline(D // D_TILE, stage=2):
            n_o0 = n_ob * D_TILE
            n_x = pl.cast(x[n_t0 : n_t0 + T_TILE, n_o0 : n_o0 + D_TILE], target_type=pl.FP32)
            n_w = pl.cast(pl.reshape(norm_w[n_o0 : n_o0 + D_TILE], [1, D_TILE]), target_type=pl.FP32)
            n_y = pl.col_expand_mul(pl.row_expand_mul(n_x, n_inv), n_w)
            x_normed[n_t0 : n_t0 + T_TILE, n_o0 : n_o0 + D_TILE] = pl.cast(n_y, target_type=pl.BF16, mode="rint")
    return x_normed


@pl.jit
def rms_norm_test(
    x: pl.Tensor[[T_DYN, D], pl.BF16],
    norm_w: pl.Tensor[[D], pl.BF16],
    x_normed: pl.Out[pl.Tensor[[T_DYN, D], pl.BF16]],
):
    """`rms_norm` on its own."""
    x.bind_dynamic(0, T_DYN)
    x_normed.bind_dynamic(0, T_DYN)
    rms_norm(x, norm_w, x_normed)
    return x_normed


if __name__ == "__main__":
    from rmsnorm_script import main

    main(rms_norm_test)
