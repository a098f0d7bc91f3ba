"""The indexer of a prefill layer with compression by 4: which compressed rows a token attends to.

Each token has 64 small query heads. A compressed row's score is the sum over the heads of the positive part of query
times key, each head weighted by the token. Queries and keys are turned by a Hadamard matrix and quantised by rows, so
the products are those of INT8. A token sees the rows whose window ends at or before it; the 512 best (of the larger
model 1024) are listed, best first. As many rows are scored as one run can complete, counted from the request's first:
an indexer for the start of a request.
"""

from config import (
    BLOCK_SIZE,
    C4A_COMPRESSOR_BLOCK_SIZE,
    FLASH,
    FP32_NEG_INF,
    INT8_AMAX_EPS,
    INT8_SCALE_MAX,
    PREFILL_BATCH,
    PREFILL_SEQ,
)
from prefill_indexer_compressor import prefill_indexer_compressor

import pto_sim.language as pl

# model
T = PREFILL_BATCH * PREFILL_SEQ
D = FLASH.hidden_size
Q_LORA = FLASH.q_lora_rank
ROPE_DIM = FLASH.qk_rope_head_dim
HALF_ROPE = ROPE_DIM // 2
HEADS = FLASH.index_n_heads
HEAD_DIM = FLASH.index_head_dim
NOPE_DIM = FLASH.index_nope_head_dim
WEIGHTS_SCALE = FLASH.index_weights_scale
IDX_TOPK = FLASH.index_topk
WIN = FLASH.sliding_window
MAX_SEQ_LEN = FLASH.max_position_embeddings

# compressor, cache and state: pages of the request
COMPRESS_RATIO = 4
INNER_OUT_DIM = 2 * HEAD_DIM
INNER_STATE_PAGE = C4A_COMPRESSOR_BLOCK_SIZE
INNER_STATE_BLOCKS = (MAX_SEQ_LEN + INNER_STATE_PAGE - 1) // INNER_STATE_PAGE
PREFILL_MAX_COMPRESSED = max(1, min(IDX_TOPK, WIN + WIN // 2))
IDX_BLOCKS = (PREFILL_MAX_COMPRESSED + BLOCK_SIZE - 1) // BLOCK_SIZE

# lists: rows that have a score, and the number of the first compressed row in attention's list
INDEXER_SCORE_CAP = IDX_BLOCKS * BLOCK_SIZE
INDEXER_OFFSET = WIN + T
SORT_LEN = 2048  # runs of 32, merged four at a time to 128, 512 and 2048

# tiles
Q_TILE = 128
Q_OUT_TILE = 256
Q_ROW_TILE = 16
ROPE_ROW_TILE = 32
QUANT_BLOCK = 256
QUANT_ROW_TILE = 64
HEAD_DIM_TILE = 32
WEIGHTS_ROW_TILE = 32
D_TILE = 32
CACHE_TILE = 32
SCORE_INIT_TILE = 16
TOPK_TILE = 16

CACHE_BLOCKS = max(1, (T // COMPRESS_RATIO + CACHE_TILE - 1) // CACHE_TILE)  # of the rows that one run can complete
SCORED = CACHE_BLOCKS * CACHE_TILE

assert Q_LORA % Q_TILE == 0 and (HEADS * HEAD_DIM) % Q_OUT_TILE == 0 and T % Q_ROW_TILE == 0
assert HEADS % ROPE_ROW_TILE == 0 and (T * HEADS) % QUANT_BLOCK == 0 and QUANT_BLOCK % QUANT_ROW_TILE == 0
assert T % WEIGHTS_ROW_TILE == 0 and D % D_TILE == 0 and T % SCORE_INIT_TILE == 0 and T % TOPK_TILE == 0
assert BLOCK_SIZE % CACHE_TILE == 0, "a tile of keys lies within one page"
assert SCORED <= INDEXER_SCORE_CAP <= IDX_TOPK < SORT_LEN, "the best rows are the first of the sorted ones"


@pl.jit.inline
def prefill_indexer(
    x: pl.Tensor[[T, D], pl.BF16],
    qr: pl.Tensor[[T, Q_LORA], pl.INT8],
    qr_scale: pl.Tensor[[T, 1], pl.FP32],
    wq_b: pl.Tensor[[Q_LORA, HEADS * HEAD_DIM], pl.INT8],
    wq_b_scale: pl.Tensor[[HEADS * HEAD_DIM], pl.FP32],
    weights_proj: pl.Tensor[[D, HEADS], pl.BF16],
    cos: pl.Tensor[[T, HALF_ROPE], pl.FP32],
    sin: pl.Tensor[[T, HALF_ROPE], pl.FP32],
    freqs_cos: pl.Tensor[[MAX_SEQ_LEN, ROPE_DIM], pl.BF16],
    freqs_sin: pl.Tensor[[MAX_SEQ_LEN, ROPE_DIM], pl.BF16],
    hadamard: pl.Tensor[[HEAD_DIM, HEAD_DIM], pl.BF16],
    inner_kv_state: pl.Tensor[[INNER_STATE_BLOCKS, INNER_STATE_PAGE, INNER_OUT_DIM], pl.FP32],
    inner_score_state: pl.Tensor[[INNER_STATE_BLOCKS, INNER_STATE_PAGE, INNER_OUT_DIM], pl.FP32],
    inner_compress_state_block_table: pl.Tensor[[INNER_STATE_BLOCKS], pl.INT32],
    inner_wkv: pl.Tensor[[D, INNER_OUT_DIM], pl.BF16],
    inner_wgate: pl.Tensor[[D, INNER_OUT_DIM], pl.BF16],
    inner_ape: pl.Tensor[[COMPRESS_RATIO, INNER_OUT_DIM], pl.FP32],
    inner_norm_w: pl.Tensor[[HEAD_DIM], pl.BF16],
    idx_kv_cache: pl.Tensor[[IDX_BLOCKS, BLOCK_SIZE, 1, HEAD_DIM], pl.BF16],
    idx_block_table: pl.Tensor[[IDX_BLOCKS], pl.INT32],
    score: pl.Tensor[[T, INDEXER_SCORE_CAP], pl.FP32],
    cmp_topk_indices: pl.Tensor[[T, IDX_TOPK], pl.INT32],
    position_ids: pl.Tensor[[T], pl.INT32],
    num_tokens: pl.Scalar[pl.INT32],
    idx_slot_mapping: pl.Tensor[[T], pl.INT64],
    inner_state_slot_mapping: pl.Tensor[[T], pl.INT64],
):
    """Score the compressed rows that each token sees, and list the best.

    x: normalised activations. qr, qr_scale: the low-rank query, quantised, and its factors. wq_b, wq_b_scale: to the
    heads. weights_proj: to one weight for each head. cos, sin: rotation of each token. freqs_cos, freqs_sin: rotations
    of every position. hadamard: turns queries and keys. inner_*, idx_slot_mapping: of `prefill_indexer_compressor`,
    which first appends to idx_kv_cache; keys are read through idx_block_table. score: of every row, the most negative
    FP32 where a token does not see it. cmp_topk_indices: rows by falling score plus WIN + T, then -1. position_ids: of
    every token. num_tokens: tokens that are not padding; the others see nothing.
    """
    qr_proj = pl.create_tensor([T, HEADS * HEAD_DIM], dtype=pl.FP32)
    for q_block in pl.spmd(HEADS * HEAD_DIM // Q_OUT_TILE, name_hint="prefill_idx_qr_proj"):
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

    # Pairs are neighbours: out[j] = x[j] * cos[j >> 1] + x[j ^ 1] * sign[j] * sin[j >> 1]. All heads of a token turn by
    # the same angles, so the indices and angles are made once for a block.
    qr_proj_flat = pl.reshape(qr_proj, [T * HEADS, HEAD_DIM])
    qr_rope_out = pl.create_tensor([T * HEADS, ROPE_DIM], dtype=pl.BF16)
    for r_t in pl.spmd(T, name_hint="prefill_idx_qr_rope"):
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
        r_cos = pl.gather(pl.col_expand_mul(r_ones, cos[r_t : r_t + 1, 0:HALF_ROPE]), dim=-1, index=r_pair_idx)
        r_sin = pl.gather(pl.col_expand_mul(r_ones, sin[r_t : r_t + 1, 0:HALF_ROPE]), dim=-1, index=r_pair_idx)
        for r_i in pl.range(0, HEADS, ROPE_ROW_TILE):
            r_row0 = r_t * HEADS + r_i
            r_x = qr_proj_flat[r_row0 : r_row0 + ROPE_ROW_TILE, NOPE_DIM:HEAD_DIM]
            r_swapped = pl.gather(r_x, dim=-1, index=r_swap_idx)
            r_turned = pl.add(pl.mul(r_x, r_cos), pl.mul(pl.mul(r_swapped, r_sign), r_sin))
            qr_rope_out[r_row0 : r_row0 + ROPE_ROW_TILE, :] = pl.cast(r_turned, target_type=pl.BF16, mode="rint")

    qr_hadamard_i8 = pl.create_tensor([T * HEADS, HEAD_DIM], dtype=pl.INT8)
    qr_hadamard_scale_dq = pl.create_tensor([T * HEADS, 1], dtype=pl.FP32)
    for h_block in pl.spmd(T * HEADS // QUANT_BLOCK, name_hint="prefill_idx_qr_hadamard_quant"):
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

    weights = pl.create_tensor([T, HEADS], dtype=pl.FP32)
    for w_block in pl.spmd(T // WEIGHTS_ROW_TILE, name_hint="prefill_idx_weights_proj"):
        w_t0 = w_block * WEIGHTS_ROW_TILE
        w_acc = pl.create_tensor([WEIGHTS_ROW_TILE, HEADS], dtype=pl.FP32)
        for w_kb in pl.pipeline(0, D // D_TILE, stage=2):
            w_k0 = w_kb * D_TILE
            w_x = x[w_t0 : w_t0 + WEIGHTS_ROW_TILE, w_k0 : w_k0 + D_TILE]
            w_w = weights_proj[w_k0 : w_k0 + D_TILE, :]
            if w_k0 == 0:
                w_acc = pl.matmul(w_x, w_w, out_dtype=pl.FP32)
            else:
                w_acc = pl.matmul_acc(w_acc, w_x, w_w)
        weights[w_t0 : w_t0 + WEIGHTS_ROW_TILE, :] = pl.mul(w_acc, WEIGHTS_SCALE)

    # fmt: off
    prefill_indexer_compressor(
        x, inner_kv_state, inner_score_state, inner_compress_state_block_table, inner_wkv, inner_wgate, inner_ape,
        inner_norm_w, freqs_cos, freqs_sin, hadamard, idx_kv_cache, idx_block_table, position_ids, num_tokens,
        idx_slot_mapping, inner_state_slot_mapping,
    )
    # fmt: on

    # As wide as the sort needs it; the rows that have a score come first.
    score_wide = pl.create_tensor([T, SORT_LEN], dtype=pl.FP32)
    for i_t in pl.parallel(0, T, SCORE_INIT_TILE):
        with pl.at(level=pl.Level.CORE_GROUP, name_hint="prefill_idx_score_init"):
            i_floor = pl.full([SCORE_INIT_TILE, SORT_LEN], dtype=pl.FP32, value=FP32_NEG_INF)
            score_wide[i_t : i_t + SCORE_INIT_TILE, :] = i_floor

    # Three tasks for each tile of keys: quantise them by rows, multiply with all queries, sum over the heads.
    keys = pl.reshape(idx_kv_cache, [IDX_BLOCKS * BLOCK_SIZE, HEAD_DIM])
    score_kv_scale = pl.create_tensor([SCORED, 1], dtype=pl.FP32)
    kv_tile_i8_g = pl.create_tensor([SCORED, HEAD_DIM], dtype=pl.INT8)
    score_acc_g = pl.create_tensor([CACHE_BLOCKS * T * CACHE_TILE, HEADS], dtype=pl.INT32)
    for c_block in pl.parallel(CACHE_BLOCKS):
        c_k0 = c_block * CACHE_TILE
        with pl.at(level=pl.Level.CORE_GROUP, name_hint="prefill_idx_score_quant"):
            k_page = pl.cast(pl.read(idx_block_table, [c_k0 // BLOCK_SIZE]), pl.INDEX)
            k_r0 = k_page * BLOCK_SIZE + c_k0 % BLOCK_SIZE
            k_max = pl.full([1, CACHE_TILE], dtype=pl.FP32, value=INT8_AMAX_EPS)
            for k_a0 in pl.range(0, HEAD_DIM, HEAD_DIM_TILE):
                k_part = pl.cast(keys[k_r0 : k_r0 + CACHE_TILE, k_a0 : k_a0 + HEAD_DIM_TILE], target_type=pl.FP32)
                k_abs = pl.maximum(k_part, pl.neg(k_part))
                k_max = pl.maximum(k_max, pl.reshape(pl.row_max(k_abs), [1, CACHE_TILE]))
            k_scale_row = pl.div(pl.full([1, CACHE_TILE], dtype=pl.FP32, value=INT8_SCALE_MAX), k_max)
            score_kv_scale[c_k0 : c_k0 + CACHE_TILE, :] = pl.reshape(pl.recip(k_scale_row), [CACHE_TILE, 1])
            k_scale = pl.reshape(k_scale_row, [CACHE_TILE, 1])
            for k_n0 in pl.range(0, HEAD_DIM, HEAD_DIM_TILE):
                k_y = pl.cast(keys[k_r0 : k_r0 + CACHE_TILE, k_n0 : k_n0 + HEAD_DIM_TILE], target_type=pl.FP32)
                k_y = pl.cast(pl.row_expand_mul(k_y, k_scale), target_type=pl.INT32, mode="rint")
                k_y = pl.cast(pl.cast(k_y, target_type=pl.FP16, mode="round"), target_type=pl.INT8, mode="trunc")
                kv_tile_i8_g[c_k0 : c_k0 + CACHE_TILE, k_n0 : k_n0 + HEAD_DIM_TILE] = k_y

        with pl.at(level=pl.Level.CORE_GROUP, name_hint="prefill_idx_score_accum"):
            for a_t in pl.range(T):
                a_r0 = (c_block * T + a_t) * CACHE_TILE
                a_keys = kv_tile_i8_g[c_k0 : c_k0 + CACHE_TILE, :]
                a_q = qr_hadamard_i8[a_t * HEADS : (a_t + 1) * HEADS, :]
                a_dots = pl.matmul(a_keys, a_q, out_dtype=pl.INT32, b_trans=True)
                score_acc_g[a_r0 : a_r0 + CACHE_TILE, :] = a_dots

        with pl.at(level=pl.Level.CORE_GROUP, name_hint="prefill_idx_score_reduce"):
            s_factor = score_kv_scale[c_k0 : c_k0 + CACHE_TILE, :]
            for s_t in pl.range(T):
                if s_t < num_tokens:
                    s_r0 = (c_block * T + s_t) * CACHE_TILE
                    s_dots = pl.cast(score_acc_g[s_r0 : s_r0 + CACHE_TILE, :], target_type=pl.FP32, mode="none")
                    s_q_factor = pl.reshape(qr_hadamard_scale_dq[s_t * HEADS : (s_t + 1) * HEADS, :], [1, HEADS])
                    s_dots = pl.col_expand_mul(pl.row_expand_mul(s_dots, s_factor), s_q_factor)
                    s_relu = pl.maximum(s_dots, pl.mul(s_dots, 0.0))
                    s_sum = pl.row_sum(pl.col_expand_mul(s_relu, weights[s_t : s_t + 1, :]))
                    # Rows whose window ends after the token: padded with -inf, which becomes the most negative finite
                    # value.
                    s_seen = (pl.read(position_ids, [s_t]) + 1) // COMPRESS_RATIO
                    s_valid = pl.min(CACHE_TILE, pl.max(s_seen - c_k0, 0))
                    s_row = pl.set_validshape(pl.reshape(s_sum, [1, CACHE_TILE]), 1, s_valid)
                    s_row = pl.fillpad(s_row, pad_value=pl.PadValue.min)
                    s_floor = pl.full([1, CACHE_TILE], dtype=pl.FP32, value=FP32_NEG_INF)
                    score_wide[s_t : s_t + 1, c_k0 : c_k0 + CACHE_TILE] = pl.maximum(s_row, s_floor)

    with pl.at(level=pl.Level.CORE_GROUP, name_hint="prefill_idx_score_out"):
        score[0:T, 0:INDEXER_SCORE_CAP] = score_wide[0:T, 0:INDEXER_SCORE_CAP]

    for b_block in pl.spmd(T // TOPK_TILE, name_hint="prefill_idx_topk"):
        for b_i in pl.range(TOPK_TILE):
            b_t = b_block * TOPK_TILE + b_i
            cmp_topk_indices[b_t : b_t + 1, 0:IDX_TOPK] = pl.full([1, IDX_TOPK], dtype=pl.INT32, value=-1)
            if b_t < num_tokens:
                b_seen = (pl.read(position_ids, [b_t]) + 1) // COMPRESS_RATIO
                if b_seen > 0:
                    b_pairs = pl.sort32(score_wide[b_t : b_t + 1, :], pl.arange(0, [1, SORT_LEN], dtype=pl.UINT32))
                    b_pairs = pl.mrgsort(b_pairs, block_len=64)
                    b_pairs = pl.mrgsort(b_pairs, block_len=256)
                    b_pairs = pl.mrgsort(b_pairs, block_len=1024)
                    b_best = b_pairs[:, 0 : 2 * IDX_TOPK]
                    b_idx = pl.gather(b_best, mask_pattern=pl.tile.MaskPattern.P1010, output_dtype=pl.INT32)
                    b_idx = pl.set_validshape(b_idx, 1, pl.min(IDX_TOPK, b_seen))
                    cmp_topk_indices[b_t : b_t + 1, 0:IDX_TOPK] = pl.add(b_idx, INDEXER_OFFSET)
    return idx_kv_cache, score, cmp_topk_indices


@pl.jit
def prefill_indexer_test(
    x: pl.Tensor[[T, D], pl.BF16],
    qr: pl.Tensor[[T, Q_LORA], pl.INT8],
    qr_scale: pl.Tensor[[T, 1], pl.FP32],
    wq_b: pl.Tensor[[Q_LORA, HEADS * HEAD_DIM], pl.INT8],
    wq_b_scale: pl.Tensor[[HEADS * HEAD_DIM], pl.FP32],
    weights_proj: pl.Tensor[[D, HEADS], pl.BF16],
    cos: pl.Tensor[[T, HALF_ROPE], pl.FP32],
    sin: pl.Tensor[[T, HALF_ROPE], pl.FP32],
    freqs_cos: pl.Tensor[[MAX_SEQ_LEN, ROPE_DIM], pl.BF16],
    freqs_sin: pl.Tensor[[MAX_SEQ_LEN, ROPE_DIM], pl.BF16],
    hadamard: pl.Tensor[[HEAD_DIM, HEAD_DIM], pl.BF16],
    inner_kv_state: pl.InOut[pl.Tensor[[INNER_STATE_BLOCKS, INNER_STATE_PAGE, INNER_OUT_DIM], pl.FP32]],
    inner_score_state: pl.InOut[pl.Tensor[[INNER_STATE_BLOCKS, INNER_STATE_PAGE, INNER_OUT_DIM], pl.FP32]],
    inner_compress_state_block_table: pl.Tensor[[INNER_STATE_BLOCKS], pl.INT32],
    inner_wkv: pl.Tensor[[D, INNER_OUT_DIM], pl.BF16],
    inner_wgate: pl.Tensor[[D, INNER_OUT_DIM], pl.BF16],
    inner_ape: pl.Tensor[[COMPRESS_RATIO, INNER_OUT_DIM], pl.FP32],
    inner_norm_w: pl.Tensor[[HEAD_DIM], pl.BF16],
    idx_kv_cache: pl.InOut[pl.Tensor[[IDX_BLOCKS, BLOCK_SIZE, 1, HEAD_DIM], pl.BF16]],
    idx_block_table: pl.Tensor[[IDX_BLOCKS], pl.INT32],
    score: pl.Out[pl.Tensor[[T, INDEXER_SCORE_CAP], pl.FP32]],
    topk_idxs: pl.Out[pl.Tensor[[T, INDEXER_SCORE_CAP], pl.INT32]],
    position_ids: pl.Tensor[[T], pl.INT32],
    num_tokens: pl.Scalar[pl.INT32],
    idx_slot_mapping: pl.Tensor[[T], pl.INT64],
    inner_state_slot_mapping: pl.Tensor[[T], pl.INT64],
):
    """`prefill_indexer` on its own. topk_idxs: written, the part of the list that can name a row."""
    cmp_topk_indices = pl.create_tensor([T, IDX_TOPK], dtype=pl.INT32)
    # fmt: off
    prefill_indexer(
        x, qr, qr_scale, wq_b, wq_b_scale, weights_proj, cos, sin, freqs_cos, freqs_sin, hadamard, inner_kv_state,
        inner_score_state, inner_compress_state_block_table, inner_wkv, inner_wgate, inner_ape, inner_norm_w,
        idx_kv_cache, idx_block_table, score, cmp_topk_indices, position_ids, num_tokens, idx_slot_mapping,
        inner_state_slot_mapping,
    )
    # fmt: on
    for e_block in pl.spmd(T // TOPK_TILE, name_hint="prefill_idx_topk_copy"):
        for e_i in pl.range(TOPK_TILE):
            e_t = e_block * TOPK_TILE + e_i
            topk_idxs[e_t : e_t + 1, :] = cmp_topk_indices[e_t : e_t + 1, 0:INDEXER_SCORE_CAP]
    return score, idx_kv_cache, topk_idxs


if __name__ == "__main__":
    from prefill_indexer_script import indexer_main

    indexer_main(prefill_indexer_test)
