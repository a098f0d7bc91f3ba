"""The indexer of a layer with compression by 4: which compressed rows a token attends to (decode).

Each token has 64 small query heads. A compressed row's score is the sum over the heads of the positive part of query
times key, each head weighted by the token. Queries and keys are turned by a Hadamard matrix and quantised by rows, so
the products are those of INT8. The 512 best rows are kept (of the larger model 1024), best first.
"""

from config import (
    BLOCK_SIZE,
    C4A_COMPRESSOR_BLOCK_SIZE,
    DECODE_BATCH,
    DECODE_SEQ,
    FLASH,
    FP32_NEG_INF,
    INT8_AMAX_EPS,
    INT8_SCALE_MAX,
)
from decode_indexer_compressor import indexer_compressor

import pto_sim.language as pl

# model
B = DECODE_BATCH
S = DECODE_SEQ
T = B * S
D = FLASH.hidden_size
Q_LORA = FLASH.q_lora_rank
ROPE_DIM = FLASH.qk_rope_head_dim
HALF_ROPE = ROPE_DIM // 2
HEADS = FLASH.index_n_heads
HEAD_DIM = FLASH.index_head_dim
NOPE_DIM = FLASH.index_nope_head_dim
WEIGHTS_SCALE = FLASH.index_weights_scale
IDX_TOPK = FLASH.index_topk

# compressor, caches and state: pages of one batch
COMPRESS_RATIO = 4
INNER_OUT_DIM = 2 * HEAD_DIM
INNER_STATE_PAGE = C4A_COMPRESSOR_BLOCK_SIZE
INNER_STATE_MAX_BLOCKS = 65
INNER_STATE_BLOCK_NUM = B * INNER_STATE_MAX_BLOCKS
INNER_STATE_DIM = 2 * INNER_OUT_DIM
IDX_CACHE_MAX_BLOCKS = 64
IDX_CACHE_BLOCK_NUM = B * IDX_CACHE_MAX_BLOCKS
SCORE_LEN = FLASH.max_position_embeddings // COMPRESS_RATIO

# tiles
Q_TILE = 128
Q_OUT_TILE = 256
Q_ROW_TILE = 16
ROPE_BLOCK = S * HEADS  # rows of one batch, which share a rotation
ROPE_ROW_TILE = 32
QUANT_BLOCK = 256
QUANT_ROW_TILE = 64
HEAD_DIM_TILE = 32
WEIGHTS_ROW_TILE = 32
D_TILE = 32
B_TILE = 4
CACHE_TILE = 32
TOPK_TILE = 4
SORT_LEN = 2048  # rows in order after the sort: runs of 32, merged four at a time to 128, 512 and 2048

assert Q_LORA % Q_TILE == 0 and (HEADS * HEAD_DIM) % Q_OUT_TILE == 0 and T % Q_ROW_TILE == 0
assert ROPE_BLOCK % ROPE_ROW_TILE == 0 and (T * HEADS) % QUANT_BLOCK == 0 and QUANT_BLOCK % QUANT_ROW_TILE == 0
assert T % WEIGHTS_ROW_TILE == 0 and D % D_TILE == 0 and B % B_TILE == 0 and T % TOPK_TILE == 0
assert BLOCK_SIZE % CACHE_TILE == 0  # a tile of keys lies within one page
assert SCORE_LEN in (SORT_LEN, 2 * SORT_LEN), "the scores of a token are in order after the sort, or are two halves"
assert IDX_TOPK < SORT_LEN, "the best of a half are the first of its sorted rows"


@pl.jit.inline
def indexer(
    x: pl.Tensor[[B, S, D], pl.BF16],
    qr: pl.Tensor[[T, Q_LORA], pl.INT8],
    qr_scale: pl.Tensor[[T, 1], pl.FP32],
    wq_b: pl.Tensor[[Q_LORA, HEADS * HEAD_DIM], pl.INT8],
    wq_b_scale: pl.Tensor[[HEADS * HEAD_DIM], pl.FP32],
    weights_proj: pl.Tensor[[D, HEADS], pl.BF16],
    cos: pl.Tensor[[B, HALF_ROPE], pl.FP32],
    sin: pl.Tensor[[B, HALF_ROPE], pl.FP32],
    hadamard: pl.Tensor[[HEAD_DIM, HEAD_DIM], pl.BF16],
    inner_kv: pl.Tensor[[B, S, HEAD_DIM], pl.FP32],
    inner_compress_state: pl.Tensor[[INNER_STATE_BLOCK_NUM, INNER_STATE_PAGE, INNER_STATE_DIM], pl.FP32],
    inner_compress_state_block_table: pl.Tensor[[B, INNER_STATE_MAX_BLOCKS], pl.INT32],
    inner_wkv: pl.Tensor[[D, INNER_OUT_DIM], pl.BF16],
    inner_wgate: pl.Tensor[[D, INNER_OUT_DIM], pl.BF16],
    inner_ape: pl.Tensor[[COMPRESS_RATIO, INNER_OUT_DIM], pl.FP32],
    inner_norm_w: pl.Tensor[[HEAD_DIM], pl.BF16],
    idx_kv_cache: pl.Tensor[[IDX_CACHE_BLOCK_NUM, BLOCK_SIZE, 1, HEAD_DIM], pl.BF16],
    idx_block_table: pl.Tensor[[B, IDX_CACHE_MAX_BLOCKS], pl.INT32],
    score: pl.Tensor[[B, S, SCORE_LEN], pl.FP32],
    topk_idxs: pl.Tensor[[B, S, SCORE_LEN], pl.INT32],
    position_ids: pl.Tensor[[B, S], pl.INT32],
    idx_slot_mapping: pl.Tensor[[B, S], pl.INT64],
    inner_state_slot_mapping: pl.Tensor[[B, S], pl.INT64],
    kv_seq_lens: pl.Tensor[[B], pl.INT32],
    offset: pl.Scalar[pl.INT32],
):
    """Score every compressed row of each batch, and list the best.

    x: normalised activations. qr, qr_scale: the low-rank query, quantised, and its factors. wq_b, wq_b_scale: to the
    heads. weights_proj: to one weight for each head. cos, sin: rotation of each batch, at its first token. hadamard:
    turns queries and keys. inner_*: of `indexer_compressor`, which first appends to idx_kv_cache; keys are read through
    idx_block_table. score: of every row, and the most negative FP32 from kv_seq_lens // 4 on. topk_idxs: rows by
    falling score plus `offset`, then -1. position_ids: of every token. kv_seq_lens: tokens of each batch, this step
    included. offset: number of the first compressed row in attention's list.
    """
    qr_proj = pl.create_tensor([T, HEADS * HEAD_DIM], dtype=pl.FP32)
    for q_block in pl.spmd(HEADS * HEAD_DIM // Q_OUT_TILE, name_hint="qr_proj"):
        q_n0 = q_block * Q_OUT_TILE
        q_acc = pl.create_tensor([T, Q_OUT_TILE], dtype=pl.INT32)
        for q_kb in pl.pipeline(0, Q_LORA // Q_TILE, stage=2):
            q_k0 = q_kb * Q_TILE
            q_x = qr[:, q_k0 : q_k0 + Q_TILE]
            q_w = wq_b[q_k0 : q_k0 + Q_TILE, q_n0 : q_n0 + Q_OUT_TILE]
            if q_k0 == 0:
                q_acc = pl.matmul(q_x, q_w, out_dtype=pl.INT32)
            else:
                q_acc = pl.matmul_acc(q_acc, q_x, q_w)
        q_w_factor = pl.reshape(wq_b_scale[q_n0 : q_n0 + Q_OUT_TILE], [1, Q_OUT_TILE])
        for q_t0 in pl.range(0, T, Q_ROW_TILE):
            q_sum = pl.cast(q_acc[q_t0 : q_t0 + Q_ROW_TILE, :], target_type=pl.FP32, mode="none")
            q_sum = pl.row_expand_mul(q_sum, qr_scale[q_t0 : q_t0 + Q_ROW_TILE, :])
            qr_proj[q_t0 : q_t0 + Q_ROW_TILE, q_n0 : q_n0 + Q_OUT_TILE] = pl.col_expand_mul(q_sum, q_w_factor)

    # Pairs are neighbours: out[j] = x[j] * cos[j >> 1] + x[j ^ 1] * sign[j] * sin[j >> 1]. All rows of a batch turn by
    # the same angles, so the indices and angles are made once for a block.
    qr_proj_flat = pl.reshape(qr_proj, [T * HEADS, HEAD_DIM])
    qr_rope_out = pl.create_tensor([T * HEADS, ROPE_DIM], dtype=pl.BF16)
    for r_b in pl.spmd(T * HEADS // ROPE_BLOCK, name_hint="qr_rope"):
        r_col = pl.col_expand_mul(
            pl.full([ROPE_ROW_TILE, ROPE_DIM], dtype=pl.FP32, value=1.0),
            pl.cast(pl.arange(0, [1, ROPE_DIM], dtype=pl.INT32), target_type=pl.FP32),
        )
        r_pair = pl.cast(pl.cast(pl.mul(r_col, 0.5), target_type=pl.INT32, mode="trunc"), target_type=pl.FP32)
        r_pair_idx = pl.cast(r_pair, target_type=pl.INT32)
        r_lane = pl.sub(r_col, pl.mul(r_pair, 2.0))
        r_swap_idx = pl.cast(pl.sub(pl.add(r_col, 1.0), pl.mul(r_lane, 2.0)), target_type=pl.INT32)
        r_sign = pl.sub(pl.mul(r_lane, 2.0), 1.0)
        r_ones = pl.full([ROPE_ROW_TILE, HALF_ROPE], dtype=pl.FP32, value=1.0)
        r_cos = pl.gather(pl.col_expand_mul(r_ones, cos[r_b : r_b + 1, 0:HALF_ROPE]), dim=-1, index=r_pair_idx)
        r_sin = pl.gather(pl.col_expand_mul(r_ones, sin[r_b : r_b + 1, 0:HALF_ROPE]), dim=-1, index=r_pair_idx)
        for r_i in pl.range(0, ROPE_BLOCK, ROPE_ROW_TILE):
            r_row0 = r_b * ROPE_BLOCK + r_i
            r_x = qr_proj_flat[r_row0 : r_row0 + ROPE_ROW_TILE, NOPE_DIM:HEAD_DIM]
            r_swapped = pl.gather(r_x, dim=-1, index=r_swap_idx)
            r_turned = pl.add(pl.mul(r_x, r_cos), pl.mul(pl.mul(r_swapped, r_sign), r_sin))
            qr_rope_out[r_row0 : r_row0 + ROPE_ROW_TILE, :] = pl.cast(r_turned, target_type=pl.BF16, mode="rint")

    qr_hadamard_i8 = pl.create_tensor([T * HEADS, HEAD_DIM], dtype=pl.INT8)
    qr_hadamard_scale_dq = pl.create_tensor([T * HEADS, 1], dtype=pl.FP32)
    for h_block in pl.spmd(T * HEADS // QUANT_BLOCK, name_hint="qr_hadamard_quant"):
        for h_i in pl.range(0, QUANT_BLOCK, QUANT_ROW_TILE):
            h_r0 = h_block * QUANT_BLOCK + h_i
            h_nope = qr_proj_flat[h_r0 : h_r0 + QUANT_ROW_TILE, 0:NOPE_DIM]
            h_nope = pl.cast(h_nope, target_type=pl.BF16, mode="rint")
            h_acc = pl.matmul(h_nope, hadamard[0:NOPE_DIM, :], out_dtype=pl.FP32)
            h_rope = qr_rope_out[h_r0 : h_r0 + QUANT_ROW_TILE, :]
            h_acc = pl.matmul_acc(h_acc, h_rope, hadamard[NOPE_DIM:HEAD_DIM, :])
            h_max = pl.full([1, QUANT_ROW_TILE], dtype=pl.FP32, value=INT8_AMAX_EPS)
            for h_a0 in pl.range(0, HEAD_DIM, HEAD_DIM_TILE):
                h_part = h_acc[0:QUANT_ROW_TILE, h_a0 : h_a0 + HEAD_DIM_TILE]
                h_abs = pl.maximum(h_part, pl.neg(h_part))
                h_max = pl.maximum(h_max, pl.reshape(pl.row_max(h_abs), [1, QUANT_ROW_TILE]))
            h_scale_row = pl.div(pl.full([1, QUANT_ROW_TILE], dtype=pl.FP32, value=INT8_SCALE_MAX), h_max)
            h_factor = pl.reshape(pl.recip(h_scale_row), [QUANT_ROW_TILE, 1])
            qr_hadamard_scale_dq[h_r0 : h_r0 + QUANT_ROW_TILE, :] = h_factor
            h_scale = pl.reshape(h_scale_row, [QUANT_ROW_TILE, 1])
            for h_n0 in pl.range(0, HEAD_DIM, HEAD_DIM_TILE):
                h_y = pl.row_expand_mul(h_acc[0:QUANT_ROW_TILE, h_n0 : h_n0 + HEAD_DIM_TILE], h_scale)
                h_y = pl.cast(pl.cast(h_y, target_type=pl.INT32, mode="rint"), target_type=pl.FP16, mode="round")
                h_y = pl.cast(h_y, target_type=pl.INT8, mode="trunc")
                qr_hadamard_i8[h_r0 : h_r0 + QUANT_ROW_TILE, h_n0 : h_n0 + HEAD_DIM_TILE] = h_y

    x_flat = pl.reshape(x, [T, D])
    weights = pl.create_tensor([T, HEADS], dtype=pl.FP32)
    for w_block in pl.spmd(T // WEIGHTS_ROW_TILE, name_hint="weights_proj"):
        w_t0 = w_block * WEIGHTS_ROW_TILE
        w_acc = pl.create_tensor([WEIGHTS_ROW_TILE, HEADS], dtype=pl.FP32)
        for w_kb in pl.pipeline(0, D // D_TILE, stage=2):
            w_k0 = w_kb * D_TILE
            w_x = x_flat[w_t0 : w_t0 + WEIGHTS_ROW_TILE, w_k0 : w_k0 + D_TILE]
            w_w = weights_proj[w_k0 : w_k0 + D_TILE, :]
            if w_k0 == 0:
                w_acc = pl.matmul(w_x, w_w, out_dtype=pl.FP32)
            else:
                w_acc = pl.matmul_acc(w_acc, w_x, w_w)
        weights[w_t0 : w_t0 + WEIGHTS_ROW_TILE, :] = pl.mul(w_acc, WEIGHTS_SCALE)

    # fmt: off
    indexer_compressor(
        x, inner_kv, inner_compress_state, inner_compress_state_block_table, inner_wkv, inner_wgate, inner_ape,
        inner_norm_w, cos, sin, hadamard, idx_kv_cache, position_ids, idx_slot_mapping, inner_state_slot_mapping,
    )
    # fmt: on

    score_flat = pl.reshape(score, [T, SCORE_LEN])
    with pl.at(level=pl.Level.CORE_GROUP, name_hint="score_init"):
        for i_t in pl.range(0, T, S):
            score_flat[i_t : i_t + S, :] = pl.full([S, SCORE_LEN], dtype=pl.FP32, value=FP32_NEG_INF)

    keys = pl.reshape(idx_kv_cache, [IDX_CACHE_BLOCK_NUM * BLOCK_SIZE, HEAD_DIM])
    idx_block_table_flat = pl.reshape(idx_block_table, [B * IDX_CACHE_MAX_BLOCKS])
    for s_block in pl.spmd(B // B_TILE, name_hint="score"):
        # Writing a tile back unchanged makes the scores an input too: the runtime then orders this task behind
        # score_init, which it would not do for two tasks that only write.
        s_first = s_block * B_TILE * S
        s_touch = score_flat[s_first : s_first + 1, 0:CACHE_TILE]
        score_flat[s_first : s_first + 1, 0:CACHE_TILE] = s_touch
        for s_i in pl.range(B_TILE):
            s_b = s_block * B_TILE + s_i
            s_len = pl.read(kv_seq_lens, [s_b]) // COMPRESS_RATIO
            for s_c in pl.range((s_len + CACHE_TILE - 1) // CACHE_TILE):
                s_c0 = s_c * CACHE_TILE
                s_valid = pl.min(CACHE_TILE, s_len - s_c0)
                s_entry = s_b * IDX_CACHE_MAX_BLOCKS + s_c0 // BLOCK_SIZE
                s_page = pl.cast(pl.read(idx_block_table_flat, [s_entry]), pl.INDEX)
                s_k0 = s_page * BLOCK_SIZE + s_c0 % BLOCK_SIZE
                # The keys of this tile, quantised by rows.
                s_max = pl.full([1, CACHE_TILE], dtype=pl.FP32, value=INT8_AMAX_EPS)
                for s_h0 in pl.range(0, HEAD_DIM, HEAD_DIM_TILE):
                    s_part = pl.cast(keys[s_k0 : s_k0 + CACHE_TILE, s_h0 : s_h0 + HEAD_DIM_TILE], target_type=pl.FP32)
                    s_abs = pl.maximum(s_part, pl.neg(s_part))
                    s_max = pl.maximum(s_max, pl.reshape(pl.row_max(s_abs), [1, CACHE_TILE]))
                s_scale_row = pl.div(pl.full([1, CACHE_TILE], dtype=pl.FP32, value=INT8_SCALE_MAX), s_max)
                s_factor = pl.reshape(pl.recip(s_scale_row), [CACHE_TILE, 1])
                s_scale = pl.reshape(s_scale_row, [CACHE_TILE, 1])
                s_keys = pl.cast(keys[s_k0 : s_k0 + CACHE_TILE, 0:HEAD_DIM], target_type=pl.FP32)
                s_keys_i32 = pl.cast(pl.row_expand_mul(s_keys, s_scale), target_type=pl.INT32, mode="rint")
                s_keys_half = pl.cast(s_keys_i32, target_type=pl.FP16, mode="round")
                s_keys_i8 = pl.cast(s_keys_half, target_type=pl.INT8, mode="trunc")
                for s_s in pl.range(S):
                    s_t = s_b * S + s_s
                    s_q = qr_hadamard_i8[s_t * HEADS : (s_t + 1) * HEADS, 0:HEAD_DIM]
                    s_product = pl.matmul(s_keys_i8, s_q, out_dtype=pl.INT32, b_trans=True)
                    s_q_factor = pl.reshape(qr_hadamard_scale_dq[s_t * HEADS : (s_t + 1) * HEADS, :], [1, HEADS])
                    s_dots = pl.cast(s_product, target_type=pl.FP32, mode="none")
                    s_dots = pl.col_expand_mul(pl.row_expand_mul(s_dots, s_factor), s_q_factor)
                    s_relu = pl.maximum(s_dots, pl.mul(s_dots, 0.0))
                    s_weights = pl.reshape(weights[s_t : s_t + 1, :], [1, HEADS])
                    s_score = pl.row_sum(pl.col_expand_mul(s_relu, s_weights))
                    # Rows past the batch's last one: padded with -inf, which becomes the most negative finite value.
                    s_score = pl.set_validshape(pl.reshape(s_score, [1, CACHE_TILE]), 1, s_valid)
                    s_score = pl.fillpad(s_score, pad_value=pl.PadValue.min)
                    s_floor = pl.full([1, CACHE_TILE], dtype=pl.FP32, value=FP32_NEG_INF)
                    score_flat[s_t : s_t + 1, s_c0 : s_c0 + CACHE_TILE] = pl.maximum(s_score, s_floor)

    topk_idxs_flat = pl.reshape(topk_idxs, [T, SCORE_LEN])
    for k_block in pl.spmd(T // TOPK_TILE, name_hint="topk"):
        for k_i in pl.range(0, TOPK_TILE):
            k_t = k_block * TOPK_TILE + k_i
            topk_idxs_flat[k_t : k_t + 1, :] = pl.full([1, SCORE_LEN], dtype=pl.INT32, value=-1)
            k_len = pl.read(kv_seq_lens, [k_t // S]) // COMPRESS_RATIO
            if k_len > 0:
                k_offset = pl.cast(offset, target_type=pl.INT32)
                k_pairs = pl.sort32(score_flat[k_t : k_t + 1, :], pl.arange(0, [1, SCORE_LEN], dtype=pl.UINT32))
                k_pairs = pl.mrgsort(k_pairs, block_len=64)
                k_pairs = pl.mrgsort(k_pairs, block_len=256)
                k_pairs = pl.mrgsort(k_pairs, block_len=1024)
                k_best = k_pairs[:, 0 : 2 * IDX_TOPK]
                if SCORE_LEN > SORT_LEN:
                    # Two halves, each in order, of pairs of a score and its row: the best of each are merged.
                    k_second = k_pairs[:, 2 * SORT_LEN : 2 * SORT_LEN + 2 * IDX_TOPK]
                    k_best = pl.mrgsort(k_best, k_second)[:, 0 : 2 * IDX_TOPK]
                k_idx = pl.gather(k_best, mask_pattern=pl.tile.MaskPattern.P1010, output_dtype=pl.INT32)
                k_idx = pl.set_validshape(k_idx, 1, pl.min(IDX_TOPK, k_len))
                topk_idxs_flat[k_t : k_t + 1, 0:IDX_TOPK] = pl.add(k_idx, k_offset)
    return score, topk_idxs


@pl.jit
def indexer_test(
    x: pl.Tensor[[B, S, D], pl.BF16],
    qr: pl.Tensor[[T, Q_LORA], pl.INT8],
    qr_scale: pl.Tensor[[T, 1], pl.FP32],
    wq_b: pl.Tensor[[Q_LORA, HEADS * HEAD_DIM], pl.INT8],
    wq_b_scale: pl.Tensor[[HEADS * HEAD_DIM], pl.FP32],
    weights_proj: pl.Tensor[[D, HEADS], pl.BF16],
    cos: pl.Tensor[[B, HALF_ROPE], pl.FP32],
    sin: pl.Tensor[[B, HALF_ROPE], pl.FP32],
    hadamard: pl.Tensor[[HEAD_DIM, HEAD_DIM], pl.BF16],
    inner_kv: pl.InOut[pl.Tensor[[B, S, HEAD_DIM], pl.FP32]],
    inner_compress_state: pl.InOut[pl.Tensor[[INNER_STATE_BLOCK_NUM, INNER_STATE_PAGE, INNER_STATE_DIM], pl.FP32]],
    inner_compress_state_block_table: pl.Tensor[[B, INNER_STATE_MAX_BLOCKS], pl.INT32],
    inner_wkv: pl.Tensor[[D, INNER_OUT_DIM], pl.BF16],
    inner_wgate: pl.Tensor[[D, INNER_OUT_DIM], pl.BF16],
    inner_ape: pl.Tensor[[COMPRESS_RATIO, INNER_OUT_DIM], pl.FP32],
    inner_norm_w: pl.Tensor[[HEAD_DIM], pl.BF16],
    idx_kv_cache: pl.InOut[pl.Tensor[[IDX_CACHE_BLOCK_NUM, BLOCK_SIZE, 1, HEAD_DIM], pl.BF16]],
    idx_block_table: pl.Tensor[[B, IDX_CACHE_MAX_BLOCKS], pl.INT32],
    score: pl.Out[pl.Tensor[[B, S, SCORE_LEN], pl.FP32]],
    topk_idxs: pl.Out[pl.Tensor[[B, S, SCORE_LEN], pl.INT32]],
    position_ids: pl.Tensor[[B, S], pl.INT32],
    idx_slot_mapping: pl.Tensor[[B, S], pl.INT64],
    inner_state_slot_mapping: pl.Tensor[[B, S], pl.INT64],
    kv_seq_lens: pl.Tensor[[B], pl.INT32],
    offset: pl.Scalar[pl.INT32],
):
    """`indexer` on its own."""
    # fmt: off
    indexer(
        x, qr, qr_scale, wq_b, wq_b_scale, weights_proj, cos, sin, hadamard, inner_kv, inner_compress_state,
        inner_compress_state_block_table, inner_wkv, inner_wgate, inner_ape, inner_norm_w, idx_kv_cache,
        idx_block_table, score, topk_idxs, position_ids, idx_slot_mapping, inner_state_slot_mapping, kv_seq_lens,
        offset,
    )
    # fmt: on
    return score, idx_kv_cache, topk_idxs


if __name__ == "__main__":
    from decode_indexer_script import indexer_main

    indexer_main(indexer_test)
