"""Compressor of ratio 4 in prefill: every 4 positions of the request become one row of the compressed cache.

Each token is projected to a value and a score of two halves. A complete window is pooled with the one before it: the
window takes part with its second half of 512 columns, the one before with its first. Channel by channel the scores are
a softmax over these eight rows. The pooled row is normalised and rotated. Rows of an earlier run come from the state,
those of this one from its projections; the state is updated at the end.
"""

from config import BLOCK_SIZE, C4A_COMPRESSOR_BLOCK_SIZE, FLASH, FP32_NEG_INF, PREFILL_BATCH, PREFILL_SEQ

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

COMPRESS_RATIO = 4
OUT_DIM = 2 * HEAD_DIM
POOLED_ROWS = 2 * COMPRESS_RATIO
MAX_CMP_WRITES = T // COMPRESS_RATIO

# caches: the state has a place for every position
STATE_PAGE = C4A_COMPRESSOR_BLOCK_SIZE
STATE_BLOCKS = (MAX_SEQ_LEN + STATE_PAGE - 1) // STATE_PAGE
PREFILL_MAX_COMPRESSED = max(1, min(FLASH.index_topk, FLASH.sliding_window + FLASH.sliding_window // 2))
CMP_BLOCKS = (PREFILL_MAX_COMPRESSED + BLOCK_SIZE - 1) // BLOCK_SIZE
CMP_ROWS = CMP_BLOCKS * BLOCK_SIZE

# tiles
K_TILE = 512
OUT_TILE = 32
HEAD_CHUNK = 256
HEAD_TILE = 64
RMS_TILE = 16

HEAD_CHUNKS = HEAD_DIM // HEAD_CHUNK

assert T % COMPRESS_RATIO == 0 and MAX_CMP_WRITES % RMS_TILE == 0 and CMP_ROWS >= MAX_CMP_WRITES
assert D % K_TILE == 0 and OUT_DIM % OUT_TILE == 0 and HEAD_DIM % HEAD_CHUNK == 0 and NOPE_DIM % HEAD_TILE == 0


@pl.jit.inline
def prefill_compressor_ratio4(
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
    cmp4_kv_proj_scratch = pl.create_tensor([T, OUT_DIM], dtype=pl.FP32)
    cmp4_score_proj_scratch = pl.create_tensor([T, OUT_DIM], dtype=pl.FP32)
    for p_block in pl.spmd(OUT_DIM // OUT_TILE, name_hint="prefill_c4_kv_score_proj"):
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
        cmp4_kv_proj_scratch[0:T, p_n0 : p_n0 + OUT_TILE] = p_kv
        cmp4_score_proj_scratch[0:T, p_n0 : p_n0 + OUT_TILE] = p_score

    # Tokens that complete a window, in order: their position, and the cache row of the window. The others are -1.
    write_pos_map = pl.create_tensor([1, MAX_CMP_WRITES], dtype=pl.INT32)
    write_dst_map = pl.create_tensor([1, MAX_CMP_WRITES], dtype=pl.INT32)
    with pl.at(level=pl.Level.CORE_GROUP, name_hint="prefill_c4_write_map"):
        write_pos_map[0:1, 0:MAX_CMP_WRITES] = pl.full([1, MAX_CMP_WRITES], dtype=pl.INT32, value=0)
        write_dst_map[0:1, 0:MAX_CMP_WRITES] = pl.full([1, MAX_CMP_WRITES], dtype=pl.INT32, value=-1)
        m_count = pl.cast(0, pl.INDEX)
        for m_t in pl.range(T):
            if m_t < num_tokens:
                m_row = pl.read(cmp_slot_mapping, [m_t])
                if m_row >= 0:
                    pl.write(write_pos_map, [0, m_count], pl.read(position_ids, [m_t]))
                    pl.write(write_dst_map, [0, m_count], pl.cast(m_row, pl.INT32))
                    m_count = m_count + 1

    # Eight rows of a tile: the window before, then the window. First what the state has of them, then what this run
    # adds. The running softmax starts from the window's last row, which always exists.
    kv_state_flat = pl.reshape(kv_state, [STATE_BLOCKS * STATE_PAGE, OUT_DIM])
    score_state_flat = pl.reshape(score_state, [STATE_BLOCKS * STATE_PAGE, OUT_DIM])
    pooled_kv = pl.create_tensor([MAX_CMP_WRITES, HEAD_DIM], dtype=pl.FP32)
    for o_block in pl.spmd(MAX_CMP_WRITES * HEAD_CHUNKS, name_hint="prefill_c4_softmax_pool"):
        o_i = o_block // HEAD_CHUNKS
        o_h0 = (o_block - o_i * HEAD_CHUNKS) * HEAD_CHUNK
        if pl.read(write_dst_map, [0, o_i]) >= 0:
            o_last = pl.read(write_pos_map, [0, o_i])
            o_start = o_last + 1 - COMPRESS_RATIO
            o_before = o_start - COMPRESS_RATIO
            o_values = pl.full([POOLED_ROWS, HEAD_CHUNK], dtype=pl.FP32, value=0.0)
            o_scores = pl.full([POOLED_ROWS, HEAD_CHUNK], dtype=pl.FP32, value=FP32_NEG_INF)
            for o_j in pl.range(COMPRESS_RATIO):
                if o_before >= 0:
                    o_pos = o_before + o_j
                    o_page = pl.cast(pl.read(compress_state_block_table, [o_pos // STATE_PAGE]), pl.INDEX)
                    if o_page >= 0:
                        o_row = o_page * STATE_PAGE + o_pos % STATE_PAGE
                        o_values[o_j : o_j + 1, :] = kv_state_flat[o_row : o_row + 1, o_h0 : o_h0 + HEAD_CHUNK]
                        o_scores[o_j : o_j + 1, :] = score_state_flat[o_row : o_row + 1, o_h0 : o_h0 + HEAD_CHUNK]
                o_now = o_start + o_j
                o_now_page = pl.cast(pl.read(compress_state_block_table, [o_now // STATE_PAGE]), pl.INDEX)
                if o_now_page >= 0:
                    o_now_row = o_now_page * STATE_PAGE + o_now % STATE_PAGE
                    o_k = COMPRESS_RATIO + o_j
                    o_c0 = HEAD_DIM + o_h0
                    o_values[o_k : o_k + 1, :] = kv_state_flat[o_now_row : o_now_row + 1, o_c0 : o_c0 + HEAD_CHUNK]
                    o_scores[o_k : o_k + 1, :] = score_state_flat[o_now_row : o_now_row + 1, o_c0 : o_c0 + HEAD_CHUNK]
            for o_t in pl.range(T):
                if o_t < num_tokens:
                    o_own = pl.read(position_ids, [o_t])
                    if o_own <= o_last:
                        if o_own >= o_before:
                            # A row of the window before has its first half here, one of the window its second.
                            o_slot = pl.cast(o_own - o_before, pl.INDEX)
                            o_n0 = (o_slot // COMPRESS_RATIO) * HEAD_DIM + o_h0
                            o_ape = pl.cast(o_own % COMPRESS_RATIO, pl.INDEX)
                            o_values[o_slot : o_slot + 1, :] = cmp4_kv_proj_scratch[
                                o_t : o_t + 1, o_n0 : o_n0 + HEAD_CHUNK
                            ]
                            o_scores[o_slot : o_slot + 1, :] = pl.add(
                                cmp4_score_proj_scratch[o_t : o_t + 1, o_n0 : o_n0 + HEAD_CHUNK],
                                ape[o_ape : o_ape + 1, o_n0 : o_n0 + HEAD_CHUNK],
                            )
            o_max = o_scores[POOLED_ROWS - 1 : POOLED_ROWS, :]
            o_sum = pl.exp(pl.sub(o_max, o_max))
            o_out = o_values[POOLED_ROWS - 1 : POOLED_ROWS, :]
            for o_r in pl.range(POOLED_ROWS - 1):
                if o_r >= COMPRESS_RATIO or o_before >= 0:
                    o_score = o_scores[o_r : o_r + 1, :]
                    o_next = pl.maximum(o_max, o_score)
                    o_alpha = pl.exp(pl.sub(o_max, o_next))
                    o_beta = pl.exp(pl.sub(o_score, o_next))
                    o_sum = pl.add(pl.mul(o_alpha, o_sum), o_beta)
                    o_out = pl.add(pl.mul(o_out, o_alpha), pl.mul(o_values[o_r : o_r + 1, :], o_beta))
                    o_max = o_next
            pooled_kv[o_i : o_i + 1, o_h0 : o_h0 + HEAD_CHUNK] = pl.div(o_out, o_sum)
        else:
            pooled_kv[o_i : o_i + 1, o_h0 : o_h0 + HEAD_CHUNK] = pl.full([1, HEAD_CHUNK], dtype=pl.FP32, value=0.0)

    # RMS norm, then rotation of the last columns, as FP32. The factors differ between the columns of a pair, so they
    # come before it.
    normed_kv = pl.create_tensor([MAX_CMP_WRITES, HEAD_DIM], dtype=pl.FP32)
    norm_row = pl.reshape(norm_w, [1, HEAD_DIM])
    for n_block in pl.spmd(MAX_CMP_WRITES // RMS_TILE, name_hint="prefill_c4_rmsnorm_rope"):
        n_r0 = n_block * RMS_TILE
        n_cos_rows = pl.full([RMS_TILE, HALF_ROPE], dtype=pl.FP32, value=0.0)
        n_sin_rows = pl.full([RMS_TILE, HALF_ROPE], dtype=pl.FP32, value=0.0)
        for n_i in pl.range(RMS_TILE):
            if pl.read(write_dst_map, [0, n_r0 + n_i]) >= 0:
                n_start = pl.cast(pl.read(write_pos_map, [0, n_r0 + n_i]) + 1 - COMPRESS_RATIO, pl.INDEX)
                n_cos_row = pl.cast(freqs_cos[n_start : n_start + 1, 0:HALF_ROPE], target_type=pl.FP32)
                n_sin_row = pl.cast(freqs_sin[n_start : n_start + 1, 0:HALF_ROPE], target_type=pl.FP32)
                n_cos_rows[n_i : n_i + 1, 0:HALF_ROPE] = n_cos_row
                n_sin_rows[n_i : n_i + 1, 0:HALF_ROPE] = n_sin_row
        n_sum = pl.full([1, RMS_TILE], dtype=pl.FP32, value=0.0)
        for n_s0 in pl.range(0, HEAD_DIM, HEAD_TILE):
            n_part = pooled_kv[n_r0 : n_r0 + RMS_TILE, n_s0 : n_s0 + HEAD_TILE]
            n_sum = pl.add(n_sum, pl.reshape(pl.row_sum(pl.mul(n_part, n_part)), [1, RMS_TILE]))
        n_var = pl.reshape(pl.add(pl.mul(n_sum, 1.0 / HEAD_DIM), EPS), [RMS_TILE, 1])
        n_inv = pl.recip(pl.sqrt(n_var))
        for n_k0 in pl.range(0, NOPE_DIM, HEAD_TILE):
            n_gamma = pl.cast(norm_row[:, n_k0 : n_k0 + HEAD_TILE], target_type=pl.FP32)
            n_x = pl.row_expand_mul(pooled_kv[n_r0 : n_r0 + RMS_TILE, n_k0 : n_k0 + HEAD_TILE], n_inv)
            normed_kv[n_r0 : n_r0 + RMS_TILE, n_k0 : n_k0 + HEAD_TILE] = pl.col_expand_mul(n_x, n_gamma)
        n_factor = pl.cast(norm_row[:, NOPE_DIM:HEAD_DIM], target_type=pl.FP32)
        n_rope = pl.col_expand_mul(
            pl.row_expand_mul(pooled_kv[n_r0 : n_r0 + RMS_TILE, NOPE_DIM:HEAD_DIM], n_inv), n_factor
        )
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
        normed_kv[n_r0 : n_r0 + RMS_TILE, NOPE_DIM:HEAD_DIM] = n_turned

    cmp_kv_flat = pl.reshape(cmp_kv, [CMP_ROWS, HEAD_DIM])
    for w_block in pl.spmd(MAX_CMP_WRITES // RMS_TILE, name_hint="prefill_c4_cache_write"):
        for w_j in pl.range(RMS_TILE):
            w_i = w_block * RMS_TILE + w_j
            w_row = pl.cast(pl.read(write_dst_map, [0, w_i]), pl.INDEX)
            if w_row >= 0:
                w_kv = normed_kv[w_i : w_i + 1, 0:HEAD_DIM]
                cmp_kv_flat[w_row : w_row + 1, 0:HEAD_DIM] = pl.cast(w_kv, target_type=pl.BF16, mode="rint")

    # After the pooling, which reads the state as it was: adding nothing times a pooled value makes this task wait.
    for s_t in pl.spmd(T, name_hint="prefill_c4_state_update"):
        if s_t < num_tokens:
            s_row = pl.cast(pl.read(state_slot_mapping, [s_t]), pl.INDEX)
            if s_row >= 0:
                s_ape = pl.cast(pl.read(position_ids, [s_t]) % COMPRESS_RATIO, pl.INDEX)
                s_nothing = pl.mul(pooled_kv[0:1, 0:OUT_TILE], 0.0)
                for s_block in pl.range(OUT_DIM // OUT_TILE):
                    s_n0 = s_block * OUT_TILE
                    s_n1 = s_n0 + OUT_TILE
                    s_kv = cmp4_kv_proj_scratch[s_t : s_t + 1, s_n0:s_n1]
                    s_score = cmp4_score_proj_scratch[s_t : s_t + 1, s_n0:s_n1]
                    s_score = pl.add(s_score, ape[s_ape : s_ape + 1, s_n0:s_n1])
                    kv_state_flat[s_row : s_row + 1, s_n0:s_n1] = pl.add(s_kv, s_nothing)
                    score_state_flat[s_row : s_row + 1, s_n0:s_n1] = pl.add(s_score, s_nothing)
    return cmp_kv, kv_state, score_state


@pl.jit
def prefill_compressor_ratio4_test(
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
    """`prefill_compressor_ratio4` on its own."""
    # fmt: off
    prefill_compressor_ratio4(
        x, kv_state, score_state, compress_state_block_table, wkv, wgate, ape, norm_w, freqs_cos, freqs_sin, cmp_kv,
        position_ids, num_tokens, cmp_slot_mapping, state_slot_mapping,
    )
    # fmt: on
    return cmp_kv, kv_state, score_state


if __name__ == "__main__":
    from prefill_compressor_script import main

    main(prefill_compressor_ratio4_test, ratio=4)
