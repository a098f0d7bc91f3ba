"""Compressor of ratio 128 in prefill: every 128 positions of the request become one row of the compressed cache.

Each token is projected to a value and a score of 512 columns, kept in the state by position. When a window of 128
positions is complete, its rows are pooled: channel by channel the scores are a softmax over them. The pooled row is
normalised and rotated. A run is one window long, so it completes one window at most.
"""

from config import BLOCK_SIZE, C128_COMPRESSOR_BLOCK_SIZE, FLASH, PREFILL_BATCH, PREFILL_SEQ

import pto_sim.language as pl

# model
T = PREFILL_BATCH * PREFILL_SEQ
D = FLASH.hidden_size
HEAD_DIM = FLASH.head_dim
ROPE_DIM = FLASH.qk_rope_head_dim
HALF_ROPE = ROPE_DIM // 2
NOPE_DIM = FLASH.nope_head_dim
EPS = FLASH.rms_norm_eps
MAX_SEQ_LEN = FLASH.max_position_embeddings

COMPRESS_RATIO = 128
OUT_DIM = HEAD_DIM
MAX_CMP_WRITES = max(1, T // COMPRESS_RATIO)

# caches: the state has a place for every position
STATE_PAGE = C128_COMPRESSOR_BLOCK_SIZE
STATE_BLOCKS = (MAX_SEQ_LEN + STATE_PAGE - 1) // STATE_PAGE
PREFILL_MAX_COMPRESSED = max(1, min(FLASH.index_topk, FLASH.sliding_window + FLASH.sliding_window // 2))
CMP_BLOCKS = (PREFILL_MAX_COMPRESSED + BLOCK_SIZE - 1) // BLOCK_SIZE

# tiles
K_TILE = 512
OUT_TILE = 32
HEAD_TILE = 64
RMS_TILE = 8  # rows of the padded buffers: a tile has eight rows at least

HEAD_BLOCKS = HEAD_DIM // HEAD_TILE

assert T <= COMPRESS_RATIO, "a run of more than a window would complete more than one"
assert D % K_TILE == 0 and OUT_DIM % OUT_TILE == 0 and HEAD_DIM % HEAD_TILE == 0 and NOPE_DIM % HEAD_TILE == 0
assert MAX_CMP_WRITES <= RMS_TILE


@pl.jit.inline
def prefill_compressor_ratio128(
    x: pl.Tensor[[T, D], pl.BF16],
    kv_state: pl.Tensor[[STATE_BLOCKS, STATE_PAGE, OUT_DIM], pl.FP32],
    score_state: pl.Tensor[[STATE_BLOCKS, STATE_PAGE, OUT_DIM], pl.FP32],
    compress_state_block_table: pl.Tensor[[STATE_BLOCKS], pl.INT32],
    wkv: pl.Tensor[[D, OUT_DIM], pl.BF16],
    wgate: pl.Tensor[[D, OUT_DIM], pl.BF16],
    ape: pl.Tensor[[COMPRESS_RATIO, OUT_DIM], pl.FP32],
    norm_w: pl.Tensor[[HEAD_DIM], pl.BF16],
    freqs_cos: pl.Tensor[[MAX_SEQ_LEN, ROPE_DIM], pl.BF16],
    freqs_sin: pl.Tensor[[MAX_SEQ_LEN, ROPE_DIM], pl.BF16],
    cmp_kv: pl.Tensor[[CMP_BLOCKS, BLOCK_SIZE, 1, HEAD_DIM], pl.BF16],
    position_ids: pl.Tensor[[T], pl.INT32],
    num_tokens: pl.Scalar[pl.INT32],
    cmp_slot_mapping: pl.Tensor[[T], pl.INT64],
    state_slot_mapping: pl.Tensor[[T], pl.INT64],
):
    """Keep the projections of this run's tokens, and write the row of each window that they complete.

    x: normalised activations. kv_state, score_state: values and scores of every position, in pages; read through
    compress_state_block_table (-1: no page), written to the rows that state_slot_mapping names (-1: none). wkv, wgate:
    projections to value and score. ape: added to the score, by position in its window. norm_w: factors of the norm.
    freqs_cos, freqs_sin: rotations of every position; a row is turned as at its window's first one. cmp_kv: the
    compressed rows, written where cmp_slot_mapping says for the window's last token. position_ids: of every token.
    num_tokens: tokens that are not padding.
    """
    # Rows that no window fills stay zero, so the norm of a whole tile is a number in every row.
    pooled_kv_pad = pl.create_tensor([RMS_TILE, HEAD_DIM], dtype=pl.FP32)
    normed_kv_pad = pl.create_tensor([RMS_TILE, HEAD_DIM], dtype=pl.FP32)
    with pl.at(level=pl.Level.CORE_GROUP, name_hint="prefill_hca_c128_norm_pad_init"):
        for z_block in pl.pipeline(HEAD_BLOCKS, stage=2):
            z_h0 = z_block * HEAD_TILE
            z_zero = pl.full([RMS_TILE, HEAD_TILE], dtype=pl.FP32, value=0.0)
            pooled_kv_pad[0:RMS_TILE, z_h0 : z_h0 + HEAD_TILE] = z_zero
            normed_kv_pad[0:RMS_TILE, z_h0 : z_h0 + HEAD_TILE] = z_zero

    kv_proj_scratch = pl.create_tensor([T, OUT_DIM], dtype=pl.FP32)
    score_proj_scratch = pl.create_tensor([T, OUT_DIM], dtype=pl.FP32)
    for p_block in pl.spmd(OUT_DIM // OUT_TILE, name_hint="prefill_hca_c128_kv_score_proj"):
        p_n0 = p_block * OUT_TILE
        p_kv = pl.create_tensor([T, OUT_TILE], dtype=pl.FP32)
        p_score = pl.create_tensor([T, OUT_TILE], dtype=pl.FP32)
        for p_kb in pl.pipeline(0, D // K_TILE, stage=2):
            p_k0 = p_kb * K_TILE
            p_x = x[0:T, p_k0 : p_k0 + K_TILE]
            p_wkv = wkv[p_k0 : p_k0 + K_TILE, p_n0 : p_n0 + OUT_TILE]
            p_wgate = wgate[p_k0 : p_k0 + K_TILE, p_n0 : p_n0 + OUT_TILE]
            if p_k0 == 0:
                p_kv = pl.matmul(p_x, p_wkv, out_dtype=pl.FP32)
                p_score = pl.matmul(p_x, p_wgate, out_dtype=pl.FP32)
            else:
                p_kv = pl.matmul_acc(p_kv, p_x, p_wkv)
                p_score = pl.matmul_acc(p_score, p_x, p_wgate)
        kv_proj_scratch[0:T, p_n0 : p_n0 + OUT_TILE] = p_kv
        score_proj_scratch[0:T, p_n0 : p_n0 + OUT_TILE] = p_score

    # Tokens that complete a window, in order: their position, and the cache row of the window. The others are -1.
    write_pos_map = pl.create_tensor([1, RMS_TILE], dtype=pl.INT32)
    write_dst_map = pl.create_tensor([1, RMS_TILE], dtype=pl.INT32)
    with pl.at(level=pl.Level.CORE_GROUP, name_hint="prefill_hca_c128_write_map"):
        write_pos_map[0:1, 0:RMS_TILE] = pl.full([1, RMS_TILE], dtype=pl.INT32, value=0)
        write_dst_map[0:1, 0:RMS_TILE] = pl.full([1, RMS_TILE], dtype=pl.INT32, value=-1)
        m_count = pl.cast(0, pl.INDEX)
        for m_t in pl.range(T):
            if m_t < num_tokens:
                m_row = pl.read(cmp_slot_mapping, [m_t])
                if m_row >= 0:
                    pl.write(write_pos_map, [0, m_count], pl.read(position_ids, [m_t]))
                    pl.write(write_dst_map, [0, m_count], pl.cast(m_row, pl.INT32))
                    m_count = m_count + 1

    # The run's tokens first, so that the pooling finds the whole window in the state.
    kv_state_flat = pl.reshape(kv_state, [STATE_BLOCKS * STATE_PAGE, OUT_DIM])
    score_state_flat = pl.reshape(score_state, [STATE_BLOCKS * STATE_PAGE, OUT_DIM])
    for s_t in pl.spmd(T, name_hint="prefill_hca_c128_state_scatter_pre"):
        if s_t < num_tokens:
            s_row = pl.cast(pl.read(state_slot_mapping, [s_t]), pl.INDEX)
            if s_row >= 0:
                s_ape = pl.cast(pl.read(position_ids, [s_t]) % COMPRESS_RATIO, pl.INDEX)
                kv_state_flat[s_row : s_row + 1, 0:OUT_DIM] = kv_proj_scratch[s_t : s_t + 1, 0:OUT_DIM]
                score_state_flat[s_row : s_row + 1, 0:OUT_DIM] = pl.add(
                    score_proj_scratch[s_t : s_t + 1, 0:OUT_DIM], ape[s_ape : s_ape + 1, 0:OUT_DIM]
                )

    # Rows of the window as columns of a tile: the softmax runs along rows. A position without a page counts as zero.
    for o_block in pl.spmd(MAX_CMP_WRITES * HEAD_BLOCKS, name_hint="prefill_hca_c128_softmax_pool"):
        o_i = o_block // HEAD_BLOCKS
        o_h0 = (o_block - o_i * HEAD_BLOCKS) * HEAD_TILE
        if pl.read(write_dst_map, [0, o_i]) >= 0:
            o_start = pl.read(write_pos_map, [0, o_i]) + 1 - COMPRESS_RATIO
            o_values = pl.full([COMPRESS_RATIO, HEAD_TILE], dtype=pl.FP32, value=0.0)
            o_scores = pl.full([COMPRESS_RATIO, HEAD_TILE], dtype=pl.FP32, value=0.0)
            for o_j in pl.range(COMPRESS_RATIO):
                o_pos = o_start + o_j
                o_page = pl.cast(pl.read(compress_state_block_table, [o_pos // STATE_PAGE]), pl.INDEX)
                if o_page >= 0:
                    o_row = o_page * STATE_PAGE + o_pos % STATE_PAGE
                    o_values[o_j : o_j + 1, :] = kv_state_flat[o_row : o_row + 1, o_h0 : o_h0 + HEAD_TILE]
                    o_scores[o_j : o_j + 1, :] = score_state_flat[o_row : o_row + 1, o_h0 : o_h0 + HEAD_TILE]
            o_scores_t = pl.transpose(o_scores, axis1=0, axis2=1)
            o_values_t = pl.transpose(o_values, axis1=0, axis2=1)
            o_exp = pl.exp(pl.row_expand_sub(o_scores_t, pl.row_max(o_scores_t)))
            o_weights = pl.row_expand_div(o_exp, pl.row_sum(o_exp))
            o_pooled = pl.reshape(pl.row_sum(pl.mul(o_values_t, o_weights)), [1, HEAD_TILE])
            pooled_kv_pad[o_i : o_i + 1, o_h0 : o_h0 + HEAD_TILE] = o_pooled

    # RMS norm, then rotation of the last columns, as FP32. The factors differ between the columns of a pair, so they
    # come before it.
    norm_row = pl.reshape(norm_w, [1, HEAD_DIM])
    with pl.at(level=pl.Level.CORE_GROUP, name_hint="prefill_hca_c128_rmsnorm_rope"):
        n_cos_rows = pl.full([RMS_TILE, HALF_ROPE], dtype=pl.FP32, value=0.0)
        n_sin_rows = pl.full([RMS_TILE, HALF_ROPE], dtype=pl.FP32, value=0.0)
        for n_i in pl.range(RMS_TILE):
            if pl.read(write_dst_map, [0, n_i]) >= 0:
                n_start = pl.cast(pl.read(write_pos_map, [0, n_i]) + 1 - COMPRESS_RATIO, pl.INDEX)
                n_cos_row = pl.cast(freqs_cos[n_start : n_start + 1, 0:HALF_ROPE], target_type=pl.FP32)
                n_sin_row = pl.cast(freqs_sin[n_start : n_start + 1, 0:HALF_ROPE], target_type=pl.FP32)
                n_cos_rows[n_i : n_i + 1, 0:HALF_ROPE] = n_cos_row
                n_sin_rows[n_i : n_i + 1, 0:HALF_ROPE] = n_sin_row
        n_sum = pl.full([1, RMS_TILE], dtype=pl.FP32, value=0.0)
        for n_s0 in pl.pipeline(0, HEAD_DIM, HEAD_TILE, stage=2):
            n_part = pooled_kv_pad[0:RMS_TILE, n_s0 : n_s0 + HEAD_TILE]
            n_sum = pl.add(n_sum, pl.reshape(pl.row_sum(pl.mul(n_part, n_part)), [1, RMS_TILE]))
        n_var = pl.reshape(pl.add(pl.mul(n_sum, 1.0 / HEAD_DIM), EPS), [RMS_TILE, 1])
        n_inv = pl.recip(pl.sqrt(n_var))
        for n_k0 in pl.pipeline(0, NOPE_DIM, HEAD_TILE, stage=2):
            n_gamma = pl.cast(norm_row[:, n_k0 : n_k0 + HEAD_TILE], target_type=pl.FP32)
            n_x = pl.row_expand_mul(pooled_kv_pad[0:RMS_TILE, n_k0 : n_k0 + HEAD_TILE], n_inv)
            normed_kv_pad[0:RMS_TILE, n_k0 : n_k0 + HEAD_TILE] = pl.col_expand_mul(n_x, n_gamma)
        n_factor = pl.cast(norm_row[:, NOPE_DIM:HEAD_DIM], target_type=pl.FP32)
        n_rope = pl.col_expand_mul(pl.row_expand_mul(pooled_kv_pad[0:RMS_TILE, NOPE_DIM:HEAD_DIM], n_inv), n_factor)
        # Pairs are neighbours: out[j] = x[j] * cos[j >> 1] + x[j ^ 1] * sign[j] * sin[j >> 1].
        n_col = pl.col_expand_mul(
            pl.full([RMS_TILE, ROPE_DIM], dtype=pl.FP32, value=1.0),
            pl.cast(pl.arange(0, [1, ROPE_DIM], dtype=pl.INT32), target_type=pl.FP32),
        )
        n_pair = pl.cast(pl.cast(pl.mul(n_col, 0.5), target_type=pl.INT32, mode="trunc"), target_type=pl.FP32)
        n_pair_idx = pl.cast(n_pair, target_type=pl.INT32)
        n_lane = pl.sub(n_col, pl.mul(n_pair, 2.0))
        n_swap_idx = pl.cast(pl.sub(pl.add(n_col, 1.0), pl.mul(n_lane, 2.0)), target_type=pl.INT32)
        n_sign = pl.sub(pl.mul(n_lane, 2.0), 1.0)
        n_cos = pl.gather(n_cos_rows, dim=-1, index=n_pair_idx)
        n_sin = pl.gather(n_sin_rows, dim=-1, index=n_pair_idx)
        n_swapped = pl.gather(n_rope, dim=-1, index=n_swap_idx)
        n_turned = pl.add(pl.mul(n_rope, n_cos), pl.mul(pl.mul(n_swapped, n_sign), n_sin))
        normed_kv_pad[0:RMS_TILE, NOPE_DIM:HEAD_DIM] = n_turned

    cmp_kv_flat = pl.reshape(cmp_kv, [CMP_BLOCKS * BLOCK_SIZE, HEAD_DIM])
    with pl.at(level=pl.Level.CORE_GROUP, name_hint="prefill_hca_c128_kv_finalize"):
        for w_i in pl.range(MAX_CMP_WRITES):
            w_row = pl.cast(pl.read(write_dst_map, [0, w_i]), pl.INDEX)
            if w_row >= 0:
                for w_block in pl.range(HEAD_BLOCKS):
                    w_h0 = w_block * HEAD_TILE
                    w_kv = normed_kv_pad[w_i : w_i + 1, w_h0 : w_h0 + HEAD_TILE]
                    w_bf16 = pl.cast(w_kv, target_type=pl.BF16, mode="rint")
                    cmp_kv_flat[w_row : w_row + 1, w_h0 : w_h0 + HEAD_TILE] = w_bf16
    return cmp_kv, kv_state, score_state


@pl.jit
def prefill_compressor_ratio128_test(
    x: pl.Tensor[[T, D], pl.BF16],
    kv_state: pl.InOut[pl.Tensor[[STATE_BLOCKS, STATE_PAGE, OUT_DIM], pl.FP32]],
    score_state: pl.InOut[pl.Tensor[[STATE_BLOCKS, STATE_PAGE, OUT_DIM], pl.FP32]],
    compress_state_block_table: pl.Tensor[[STATE_BLOCKS], pl.INT32],
    wkv: pl.Tensor[[D, OUT_DIM], pl.BF16],
    wgate: pl.Tensor[[D, OUT_DIM], pl.BF16],
    ape: pl.Tensor[[COMPRESS_RATIO, OUT_DIM], pl.FP32],
    norm_w: pl.Tensor[[HEAD_DIM], pl.BF16],
    freqs_cos: pl.Tensor[[MAX_SEQ_LEN, ROPE_DIM], pl.BF16],
    freqs_sin: pl.Tensor[[MAX_SEQ_LEN, ROPE_DIM], pl.BF16],
    cmp_kv: pl.InOut[pl.Tensor[[CMP_BLOCKS, BLOCK_SIZE, 1, HEAD_DIM], pl.BF16]],
    position_ids: pl.Tensor[[T], pl.INT32],
    num_tokens: pl.Scalar[pl.INT32],
    cmp_slot_mapping: pl.Tensor[[T], pl.INT64],
    state_slot_mapping: pl.Tensor[[T], pl.INT64],
):
    """`prefill_compressor_ratio128` on its own."""
    # fmt: off
    prefill_compressor_ratio128(
        x, kv_state, score_state, compress_state_block_table, wkv, wgate, ape, norm_w, freqs_cos, freqs_sin, cmp_kv,
        position_ids, num_tokens, cmp_slot_mapping, state_slot_mapping,
    )
    # fmt: on
    return cmp_kv, kv_state, score_state


if __name__ == "__main__":
    from prefill_compressor_script import main

    main(prefill_compressor_ratio128_test, ratio=128)
