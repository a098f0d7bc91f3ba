"""Router of the mixture of experts: RMS norm, INT8 rows for the experts, scores, the experts of each token.

A score is sqrt(softplus(logit)). In the first layers (hash layers) a table names the experts of each vocabulary entry;
later layers take those with the highest score plus bias. The weight of an expert is its score without bias, divided by
the sum over the token's experts and scaled.
"""

import config
from config import (
    DECODE_BATCH,
    DECODE_SEQ,
    EP_WORLD_SIZE,
    FLASH,
    FP32_NEG_INF,
    INT8_AMAX_EPS,
    INT8_SCALE_MAX,
)

import pto_sim.language as pl

T = DECODE_BATCH * DECODE_SEQ
D = FLASH.hidden_size
NORM_EPS = FLASH.rms_norm_eps
# A rank alone routes among its own experts; ranks that work together route among those of all.
N_EXPERTS = FLASH.n_routed_experts if config.EP_ROUTING_GLOBAL else FLASH.n_routed_experts // EP_WORLD_SIZE
TOPK = FLASH.num_experts_per_tok
ROUTE_SCALE = FLASH.routed_scaling_factor
VOCAB = FLASH.vocab_size
N_HASH_LAYERS = FLASH.num_hash_layers

# tiles
T_TILE = 8
GATE_T_TILE = 16
D_TILE = 128
GATE_D_TILE = 256
QUANT_TILE = 32
SCORE_PAD = 256  # a row of scores, filled up for sort32 and the two merges behind it
RUN_PAIRS = 64  # elements of a run of 32 sorted (value, index) pairs
TOPK_PAD = 8  # TOPK, filled up to 32 bytes
PAIRS_PAD = 2 * TOPK_PAD

assert TOPK <= TOPK_PAD and N_EXPERTS <= SCORE_PAD
assert T % T_TILE == 0 and T % GATE_T_TILE == 0
assert D % D_TILE == 0 and D % GATE_D_TILE == 0 and D % QUANT_TILE == 0


@pl.jit.inline
def gate(
    x_mixed: pl.Tensor[[T, D], pl.BF16],
    norm_w: pl.Tensor[[D], pl.BF16],
    gate_w: pl.Tensor[[N_EXPERTS, D], pl.FP32],
    gate_bias: pl.Tensor[[N_EXPERTS], pl.FP32],
    layer_id: pl.Scalar[pl.INT32],
    tid2eid: pl.Tensor[[VOCAB, TOPK], pl.INT32],
    input_ids: pl.Tensor[[T], pl.INT64],
    x_norm: pl.Tensor[[T, D], pl.BF16],
    x_norm_i8: pl.Tensor[[T, D], pl.INT8],
    x_norm_scale: pl.Tensor[[T, 1], pl.FP32],
    indices: pl.Tensor[[T, TOPK], pl.INT32],
    weights: pl.Tensor[[T, TOPK], pl.FP32],
):
    """Normalise tokens and choose their experts.

    x_mixed: tokens. norm_w: factors of the norm. gate_w, gate_bias: a row and a number for each expert. layer_id: below
    N_HASH_LAYERS the table decides. tid2eid: the table, experts of each vocabulary entry. input_ids: vocabulary entry
    of each token. x_norm: written, normalised tokens; x_norm_i8, x_norm_scale: the same in INT8 and the factor that
    turns a row back. indices, weights: written, each token's experts and what their outputs are multiplied by.
    """
    # The norm, rounded to BF16 and kept as FP32: both readers below want exactly those values in FP32.
    x_norm_gate_buf = pl.create_tensor([T, D], dtype=pl.FP32)
    for n_block in pl.spmd(T // T_TILE, name_hint="ffn_norm"):
        n_t0 = n_block * T_TILE
        n_squares = pl.full([1, T_TILE], dtype=pl.FP32, value=0.0)
        for n_a0 in pl.pipeline(0, D, D_TILE, stage=2):
            n_x = pl.cast(x_mixed[n_t0 : n_t0 + T_TILE, n_a0 : n_a0 + D_TILE], target_type=pl.FP32)
            n_squares = pl.add(n_squares, pl.reshape(pl.row_sum(pl.mul(n_x, n_x)), [1, T_TILE]))
        n_mean = pl.add(pl.mul(n_squares, 1.0 / D), NORM_EPS)
        n_inv = pl.reshape(pl.recip(pl.sqrt(n_mean)), [T_TILE, 1])
        for n_b0 in pl.pipeline(0, D, D_TILE, stage=2):
            n_y = pl.cast(x_mixed[n_t0 : n_t0 + T_TILE, n_b0 : n_b0 + D_TILE], target_type=pl.FP32)
            n_w = pl.cast(pl.reshape(norm_w[n_b0 : n_b0 + D_TILE], [1, D_TILE]), target_type=pl.FP32)
            n_normed = pl.col_expand_mul(pl.row_expand_mul(n_y, n_inv), n_w)
            n_bf16 = pl.cast(n_normed, target_type=pl.BF16, mode="rint")
            x_norm_gate_buf[n_t0 : n_t0 + T_TILE, n_b0 : n_b0 + D_TILE] = pl.cast(n_bf16, target_type=pl.FP32)
            x_norm[n_t0 : n_t0 + T_TILE, n_b0 : n_b0 + D_TILE] = n_bf16

    # INT8 with one scale for each token.
    for q_block in pl.spmd(T // T_TILE, name_hint="x_norm_quant"):
        q_t0 = q_block * T_TILE
        q_amax = pl.full([1, T_TILE], dtype=pl.FP32, value=INT8_AMAX_EPS)
        for q_a0 in pl.pipeline(0, D, QUANT_TILE, stage=2):
            q_x = x_norm_gate_buf[q_t0 : q_t0 + T_TILE, q_a0 : q_a0 + QUANT_TILE]
            q_magnitude = pl.maximum(q_x, pl.neg(q_x))
            q_amax = pl.maximum(q_amax, pl.reshape(pl.row_max(q_magnitude), [1, T_TILE]))
        q_scale = pl.div(pl.full([1, T_TILE], dtype=pl.FP32, value=INT8_SCALE_MAX), q_amax)
        x_norm_scale[q_t0 : q_t0 + T_TILE, 0:1] = pl.reshape(pl.recip(q_scale), [T_TILE, 1])
        q_scale_col = pl.reshape(q_scale, [T_TILE, 1])
        for q_b0 in pl.pipeline(0, D, QUANT_TILE, stage=2):
            q_scaled = pl.row_expand_mul(x_norm_gate_buf[q_t0 : q_t0 + T_TILE, q_b0 : q_b0 + QUANT_TILE], q_scale_col)
            # FP32 has no direct way to INT8: through INT32, which rounds, and FP16, which holds it exactly.
            q_half = pl.cast(pl.cast(q_scaled, target_type=pl.INT32, mode="rint"), target_type=pl.FP16, mode="round")
            q_i8 = pl.cast(q_half, target_type=pl.INT8, mode="trunc")
            x_norm_i8[q_t0 : q_t0 + T_TILE, q_b0 : q_b0 + QUANT_TILE] = q_i8

    # Scores with and without bias. Columns behind the experts can never win: 0 and the most negative number.
    route_scores_buf = pl.create_tensor([T, SCORE_PAD], dtype=pl.FP32)
    biased_scores_buf = pl.create_tensor([T, SCORE_PAD], dtype=pl.FP32)  # pto-sim: ignore[PTO406] not in hash layers
    for g_block in pl.spmd(T // GATE_T_TILE, name_hint="gate"):
        g_t0 = g_block * GATE_T_TILE
        g_bias_row = pl.reshape(gate_bias, [1, N_EXPERTS])
        g_logits = pl.create_tensor([GATE_T_TILE, N_EXPERTS], dtype=pl.FP32)
        for g_kb in pl.range(0, D // GATE_D_TILE):
            g_k0 = g_kb * GATE_D_TILE
            g_x = x_norm_gate_buf[g_t0 : g_t0 + GATE_T_TILE, g_k0 : g_k0 + GATE_D_TILE]
            g_w = gate_w[:, g_k0 : g_k0 + GATE_D_TILE]
            if g_k0 == 0:
                g_logits = pl.matmul(g_x, g_w, b_trans=True, out_dtype=pl.FP32)
            else:
                g_logits = pl.matmul_acc(g_logits, g_x, g_w, b_trans=True)
        g_blank = pl.full([GATE_T_TILE, SCORE_PAD], dtype=pl.FP32, value=0.0)
        g_never = pl.full([GATE_T_TILE, SCORE_PAD], dtype=pl.FP32, value=FP32_NEG_INF)
        route_scores_buf[g_t0 : g_t0 + GATE_T_TILE, :] = g_blank
        biased_scores_buf[g_t0 : g_t0 + GATE_T_TILE, :] = g_never
        # softplus(z) = max(z, 0) + ln(1 + exp(-|z|)) never overflows.
        g_negative = pl.neg(pl.maximum(g_logits, pl.neg(g_logits)))
        g_tail = pl.log(pl.add(pl.exp(g_negative), 1.0))
        g_score = pl.sqrt(pl.add(pl.maximum(g_logits, 0.0), g_tail))
        g_bias = pl.col_expand_mul(pl.full([GATE_T_TILE, N_EXPERTS], dtype=pl.FP32, value=1.0), g_bias_row)
        route_scores_buf[g_t0 : g_t0 + GATE_T_TILE, 0:N_EXPERTS] = g_score
        biased_scores_buf[g_t0 : g_t0 + GATE_T_TILE, 0:N_EXPERTS] = pl.add(g_score, g_bias)

    if layer_id < N_HASH_LAYERS:
        for h_block in pl.spmd(T // GATE_T_TILE, name_hint="route_hash"):
            h_t0 = h_block * GATE_T_TILE
            # Columns from TOPK on stay zero, so that a sum over the row counts the token's experts alone.
            h_scores = pl.full([GATE_T_TILE, TOPK_PAD], dtype=pl.FP32, value=0.0)
            h_experts = pl.full([GATE_T_TILE, TOPK_PAD], dtype=pl.INT32, value=0)
            for h_i in pl.range(GATE_T_TILE):
                h_entry = pl.cast(pl.read(input_ids, [h_t0 + h_i]), pl.INDEX)
                for h_k in pl.range(TOPK):
                    h_expert = pl.read(tid2eid, [h_entry, h_k])
                    h_score = pl.read(route_scores_buf, [h_t0 + h_i, pl.cast(h_expert, pl.INDEX)])
                    pl.write(h_experts, [h_i, h_k], h_expert)
                    pl.write(h_scores, [h_i, h_k], h_score)
            h_sum = pl.reshape(pl.row_sum(h_scores), [GATE_T_TILE, 1])
            h_weights = pl.mul(pl.row_expand_div(h_scores, h_sum), ROUTE_SCALE)
            # A row of TOPK elements is no multiple of 32 bytes, so no tile can hold it: element by element.
            for h_oi in pl.range(GATE_T_TILE):
                for h_ok in pl.range(TOPK):
                    pl.write(indices, [h_t0 + h_oi, h_ok], pl.read(h_experts, [h_oi, h_ok]))
                    pl.write(weights, [h_t0 + h_oi, h_ok], pl.read(h_weights, [h_oi, h_ok]))
    else:
        for s_block in pl.spmd(T // GATE_T_TILE, name_hint="route_sort"):
            s_t0 = s_block * GATE_T_TILE
            # A tensor, not a tile: gather takes its index only in the form of its source.
            s_top = pl.create_tensor([GATE_T_TILE, TOPK_PAD], dtype=pl.INT32)
            # The merge takes one row at a time: eight runs of 32 pairs, then two of 128, then one.
            for s_i in pl.range(GATE_T_TILE):
                s_row = biased_scores_buf[s_t0 + s_i : s_t0 + s_i + 1, :]
                s_runs = pl.sort32(s_row, pl.arange(0, [1, SCORE_PAD], dtype=pl.UINT32))
                s_two = pl.mrgsort(s_runs, block_len=RUN_PAIRS)
                s_one = pl.mrgsort(s_two[:, 0:SCORE_PAD], s_two[:, SCORE_PAD : 2 * SCORE_PAD])
                s_best = s_one[:, 0:PAIRS_PAD]
                s_top[s_i : s_i + 1, :] = pl.gather(
                    s_best, mask_pattern=pl.tile.MaskPattern.P1010, output_dtype=pl.INT32
                )
            s_scores = pl.create_tensor([GATE_T_TILE, SCORE_PAD], dtype=pl.FP32)
            s_scores[:, :] = route_scores_buf[s_t0 : s_t0 + GATE_T_TILE, :]
            s_found = pl.set_validshape(pl.gather(s_scores, dim=-1, index=s_top), GATE_T_TILE, TOPK)
            s_found_pad = pl.fillpad(s_found, pad_value=pl.PadValue.zero)
            # A second buffer: scalar reads of the one that the sort wrote would not see its last value.
            s_experts = pl.create_tensor([GATE_T_TILE, TOPK_PAD], dtype=pl.INT32)
            s_experts[:, :] = s_top[:, :]
            s_sum = pl.reshape(pl.row_sum(s_found_pad), [GATE_T_TILE, 1])
            s_weights = pl.mul(pl.row_expand_div(s_found_pad, s_sum), ROUTE_SCALE)
            for s_oi in pl.range(GATE_T_TILE):
                for s_ok in pl.range(TOPK):
                    pl.write(indices, [s_t0 + s_oi, s_ok], pl.read(s_experts, [s_oi, s_ok]))
                    pl.write(weights, [s_t0 + s_oi, s_ok], pl.read(s_weights, [s_oi, s_ok]))

    return weights


@pl.jit
def gate_test(
    x_mixed: pl.Tensor[[T, D], pl.BF16],
    norm_w: pl.Tensor[[D], pl.BF16],
    gate_w: pl.Tensor[[N_EXPERTS, D], pl.FP32],
    gate_bias: pl.Tensor[[N_EXPERTS], pl.FP32],
    layer_id: pl.Scalar[pl.INT32],
    tid2eid: pl.Tensor[[VOCAB, TOPK], pl.INT32],
    input_ids: pl.Tensor[[T], pl.INT64],
    x_norm: pl.Out[pl.Tensor[[T, D], pl.BF16]],
    x_norm_i8: pl.Out[pl.Tensor[[T, D], pl.INT8]],
    x_norm_scale: pl.Out[pl.Tensor[[T, 1], pl.FP32]],
    indices: pl.Out[pl.Tensor[[T, TOPK], pl.INT32]],
    weights: pl.Out[pl.Tensor[[T, TOPK], pl.FP32]],
):
    """`gate` on its own."""
    # fmt: off
    gate(
        x_mixed, norm_w, gate_w, gate_bias, layer_id, tid2eid, input_ids,
        x_norm, x_norm_i8, x_norm_scale, indices, weights,
    )
    # fmt: on
    return x_norm, x_norm_i8, x_norm_scale, indices, weights


if __name__ == "__main__":
    from gate_script import main

    main(gate_test)
