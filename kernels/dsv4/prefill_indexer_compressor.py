"""The indexer's own compressor in prefill: every four positions of the request become one key of the indexer's cache.

The same pooling as `prefill_compressor_ratio4` at the width of an indexer head: a complete window is pooled with the
one before it, channel by channel. The normalised and rotated row is then turned by a Hadamard matrix, as the indexer's
queries are: products stay as they were, outliers spread. Rows of an earlier run come from the state, those of this one
from its projections; the state is updated at the end.
"""

from config import BLOCK_SIZE, C4A_COMPRESSOR_BLOCK_SIZE, FLASH, FP32_NEG_INF, PREFILL_BATCH, PREFILL_SEQ

import pto_sim.language as pl

# model
T = PREFILL_BATCH * PREFILL_SEQ
D = FLASH.hidden_size
HEAD_DIM = FLASH.index_head_dim
ROPE_DIM = FLASH.qk_rope_head_dim
HALF_ROPE = ROPE_DIM // 2
NOPE_DIM = FLASH.index_nope_head_dim
EPS = FLASH.rms_norm_eps
MAX_SEQ_LEN = FLASH.max_position_embeddings

COMPRESS_RATIO = 4
OUT_DIM = 2 * HEAD_DIM  # of the window before, and of the window itself
POOLED_ROWS = 2 * COMPRESS_RATIO
MAX_CMP_WRITES = max(1, T // COMPRESS_RATIO)

# caches: the state has a place for every position
STATE_PAGE = C4A_COMPRESSOR_BLOCK_SIZE
STATE_BLOCKS = (MAX_SEQ_LEN + STATE_PAGE - 1) // STATE_PAGE
PREFILL_MAX_COMPRESSED = max(1, min(FLASH.index_topk, FLASH.sliding_window + FLASH.sliding_window // 2))
IDX_BLOCKS = (PREFILL_MAX_COMPRESSED + BLOCK_SIZE - 1) // BLOCK_SIZE

# tiles
K_TILE = 512
OUT_TILE = 64
HEAD_CHUNK = 32
HEAD_TILE = 64
RMS_TILE = 16

OUT_BLOCKS = OUT_DIM // OUT_TILE
HEAD_CHUNKS = HEAD_DIM // HEAD_CHUNK

assert T % COMPRESS_RATIO == 0 and MAX_CMP_WRITES % RMS_TILE == 0 and IDX_BLOCKS * BLOCK_SIZE >= MAX_CMP_WRITES
assert D % K_TILE == 0 and OUT_DIM % OUT_TILE == 0 and HEAD_DIM % HEAD_CHUNK == 0 and HEAD_DIM % OUT_TILE == 0
assert HEAD_DIM % HEAD_TILE == 0 and NOPE_DIM % HEAD_TILE == 0


@pl.jit.inline
def prefill_indexer_compressor(
    x: pl.Tensor[[T, D], pl.BF16],
    kv_state: pl.Tensor[[STATE_BLOCKS, STATE_PAGE, OUT_DIM], pl.FP32],
    score_state: pl.Tensor[[STATE_BLOCKS, STATE_PAGE, OUT_DIM], pl.FP32],
    inner_compress_state_block_table: pl.Tensor[[STATE_BLOCKS], pl.INT32],
    wkv: pl.Tensor[[D, OUT_DIM], pl.BF16],
    wgate: pl.Tensor[[D, OUT_DIM], pl.BF16],
    ape: pl.Tensor[[COMPRESS_RATIO, OUT_DIM], pl.FP32],
    norm_w: pl.Tensor[[HEAD_DIM], pl.BF16],
    freqs_cos: pl.Tensor[[MAX_SEQ_LEN, ROPE_DIM], pl.BF16],
    freqs_sin: pl.Tensor[[MAX_SEQ_LEN, ROPE_DIM], pl.BF16],
    hadamard: pl.Tensor[[HEAD_DIM, HEAD_DIM], pl.BF16],
    idx_kv_cache: pl.Tensor[[IDX_BLOCKS, BLOCK_SIZE, 1, HEAD_DIM], pl.BF16],
    idx_block_table: pl.Tensor[[IDX_BLOCKS], pl.INT32],
    position_ids: pl.Tensor[[T], pl.INT32],
    num_tokens: pl.Scalar[pl.INT32],
    idx_slot_mapping: pl.Tensor[[T], pl.INT64],
    inner_state_slot_mapping: pl.Tensor[[T], pl.INT64],
):
    """Keep the projections of this run's tokens, and write the key of each window that they complete.

    x: normalised activations. kv_state, score_state: values and scores of every position, in pages; read through
    inner_compress_state_block_table (-1: no page), written to the rows that inner_state_slot_mapping names (-1: none).
    wkv, wgate: projections to value and score. ape: added to the score, by position in its window. norm_w: factors of
    the norm. freqs_cos, freqs_sin: rotations of every position; a key is turned as at its window's first one. hadamard:
    turns a normalised row. idx_kv_cache: the keys, written where idx_slot_mapping says for the window's last token.
    idx_block_table: pages of the cache, for those who read it; slots name its rows directly. position_ids: of every
    token. num_tokens: tokens that are not padding.
    """
    kv_proj_scratch = pl.create_tensor([T, OUT_DIM], dtype=pl.FP32)
    score_proj_scratch = pl.create_tensor([T, OUT_DIM], dtype=pl.FP32)
    for p_block in pl.spmd(OUT_BLOCKS, name_hint="prefill_idx_c4_kv_score_proj"):
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

    # Tokens that complete a window, in order: their position, and the cache row of the key. The others are -1.
    write_pos_map = pl.create_tensor([1, MAX_CMP_WRITES], dtype=pl.INT32)
    write_dst_map = pl.create_tensor([1, MAX_CMP_WRITES], dtype=pl.INT32)
    with pl.at(level=pl.Level.CORE_GROUP, name_hint="prefill_idx_c4_write_map"):
        write_pos_map[0:1, 0:MAX_CMP_WRITES] = pl.full([1, MAX_CMP_WRITES], dtype=pl.INT32, value=0)
        write_dst_map[0:1, 0:MAX_CMP_WRITES] = pl.full([1, MAX_CMP_WRITES], dtype=pl.INT32, value=-1)
        m_count = pl.cast(0, pl.INDEX)
        for m_t in pl.range(T):
            if m_t < num_tokens:
                m_row = pl.read(idx_slot_mapping, [m_t])
                if m_row >= 0:
                    pl.write(write_pos_map, [0, m_count], pl.read(position_ids, [m_t]))
                    pl.write(write_dst_map, [0, m_count], pl.cast(m_row, pl.INT32))
                    m_count = m_count + 1

    # Eight rows of a tile: the window before, then the window. First what the state has of them, then what this run
    # adds. The running softmax starts from the window's last row, which always exists.
    kv_state_flat = pl.reshape(kv_state, [STATE_BLOCKS * STATE_PAGE, OUT_DIM])
    score_state_flat = pl.reshape(score_state, [STATE_BLOCKS * STATE_PAGE, OUT_DIM])
    pooled_kv = pl.create_tensor([MAX_CMP_WRITES, HEAD_DIM], dtype=pl.FP32)
    for o_block in pl.spmd(MAX_CMP_WRITES * HEAD_CHUNKS, name_hint="prefill_idx_c4_softmax_pool"):
        o_i = o_block // HEAD_CHUNKS
        o_h0 = (o_block - o_i * HEAD_CHUNKS) * HEAD_CHUNK
        if pl.read(write_dst_map, [0, o_i]) >= 0:
            o_last = pl.read(write_pos_map, [0, o_i])
            o_start = o_last + 1 - COMPRESS_RATIO
            o_before = o_start - COMPRESS_RATIO
            o_values = pl.full([POOLED_ROWS, HEAD_CHUNK], dtype=pl.FP32, value=0.0)
            o_scores = pl.full([POOLED_ROWS, HEAD_CHUNK], dtype=pl.FP32, value=FP32_NEG_INF)
            for o_j in pl.range(POOLED_ROWS):
                o_pos = o_before + o_j
                if o_pos >= 0:
                    o_page = pl.cast(pl.read(inner_compress_state_block_table, [o_pos // STATE_PAGE]), pl.INDEX)
                    if o_page >= 0:
                        # A row of the window before has its first half here, one of the window its second.
                        o_c0 = (o_j // COMPRESS_RATIO) * HEAD_DIM + o_h0
                        o_row = o_page * STATE_PAGE + o_pos % STATE_PAGE
                        o_values[o_j : o_j + 1, :] = kv_state_flat[o_row : o_row + 1, o_c0 : o_c0 + HEAD_CHUNK]
                        o_scores[o_j : o_j + 1, :] = score_state_flat[o_row : o_row + 1, o_c0 : o_c0 + HEAD_CHUNK]
            for o_t in pl.range(T):
                if o_t < num_tokens:
                    o_own = pl.read(position_ids, [o_t])
                    if o_own <= o_last:
                        if o_own >= o_before:
                            o_slot = pl.cast(o_own - o_before, pl.INDEX)
                            o_n0 = (o_slot // COMPRESS_RATIO) * HEAD_DIM + o_h0
                            o_n1 = o_n0 + HEAD_CHUNK
                            o_ape = pl.cast(o_own % COMPRESS_RATIO, pl.INDEX)
                            o_score_row = pl.add(
                                score_proj_scratch[o_t : o_t + 1, o_n0:o_n1], ape[o_ape : o_ape + 1, o_n0:o_n1]
                            )
                            o_values[o_slot : o_slot + 1, :] = kv_proj_scratch[o_t : o_t + 1, o_n0:o_n1]
                            o_scores[o_slot : o_slot + 1, :] = o_score_row
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

    # RMS norm, then rotation of the last columns. The factors differ between the columns of a pair, so they come before
    # it.
    normed_kv = pl.create_tensor([MAX_CMP_WRITES, HEAD_DIM], dtype=pl.BF16)
    norm_row = pl.reshape(norm_w, [1, HEAD_DIM])
    for n_block in pl.spmd(MAX_CMP_WRITES // RMS_TILE, name_hint="prefill_idx_c4_rmsnorm_rope"):
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
            n_y = pl.cast(pl.col_expand_mul(n_x, n_gamma), target_type=pl.BF16, mode="rint")
            normed_kv[n_r0 : n_r0 + RMS_TILE, n_k0 : n_k0 + HEAD_TILE] = n_y
        n_factor = pl.cast(norm_row[:, NOPE_DIM:HEAD_DIM], target_type=pl.FP32)
        n_rope = pl.row_expand_mul(pooled_kv[n_r0 : n_r0 + RMS_TILE, NOPE_DIM:HEAD_DIM], n_inv)
        n_rope = pl.col_expand_mul(n_rope, n_factor)
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
        normed_kv[n_r0 : n_r0 + RMS_TILE, NOPE_DIM:HEAD_DIM] = pl.cast(n_turned, target_type=pl.BF16, mode="rint")

    final_kv = pl.create_tensor([MAX_CMP_WRITES, HEAD_DIM], dtype=pl.FP32)
    for h_block in pl.spmd(MAX_CMP_WRITES // RMS_TILE, name_hint="prefill_idx_c4_kv_hadamard"):
        h_r0 = h_block * RMS_TILE
        h_x = normed_kv[h_r0 : h_r0 + RMS_TILE, 0:HEAD_DIM]
        for h_n0 in pl.range(0, HEAD_DIM, OUT_TILE):
            h_w = hadamard[0:HEAD_DIM, h_n0 : h_n0 + OUT_TILE]
            final_kv[h_r0 : h_r0 + RMS_TILE, h_n0 : h_n0 + OUT_TILE] = pl.matmul(h_x, h_w, out_dtype=pl.FP32)

    idx_kv_cache_flat = pl.reshape(idx_kv_cache, [IDX_BLOCKS * BLOCK_SIZE, HEAD_DIM])
    for w_block in pl.spmd(MAX_CMP_WRITES // RMS_TILE, name_hint="prefill_idx_c4_cache_write"):
        for w_j in pl.range(RMS_TILE):
            w_i = w_block * RMS_TILE + w_j
            w_row = pl.cast(pl.read(write_dst_map, [0, w_i]), pl.INDEX)
            if w_row >= 0:
                w_kv = final_kv[w_i : w_i + 1, 0:HEAD_DIM]
                idx_kv_cache_flat[w_row : w_row + 1, 0:HEAD_DIM] = pl.cast(w_kv, target_type=pl.BF16, mode="rint")

    # After the pooling, which reads the state as it was: adding nothing times a pooled value makes this task wait.
    for s_block in pl.spmd(T * OUT_BLOCKS, name_hint="prefill_idx_c4_state_update"):
        s_t = s_block // OUT_BLOCKS
        s_n0 = (s_block - s_t * OUT_BLOCKS) * OUT_TILE
        if s_t < num_tokens:
            s_row = pl.cast(pl.read(inner_state_slot_mapping, [s_t]), pl.INDEX)
            if s_row >= 0:
                s_ape = pl.cast(pl.read(position_ids, [s_t]) % COMPRESS_RATIO, pl.INDEX)
                s_nothing = pl.mul(pooled_kv[0:1, 0:OUT_TILE], 0.0)
                s_n1 = s_n0 + OUT_TILE
                s_kv = kv_proj_scratch[s_t : s_t + 1, s_n0:s_n1]
                s_score = pl.add(score_proj_scratch[s_t : s_t + 1, s_n0:s_n1], ape[s_ape : s_ape + 1, s_n0:s_n1])
                kv_state_flat[s_row : s_row + 1, s_n0:s_n1] = pl.add(s_kv, s_nothing)
                score_state_flat[s_row : s_row + 1, s_n0:s_n1] = pl.add(s_score, s_nothing)
    return idx_kv_cache, kv_state, score_state


@pl.jit
def prefill_indexer_compressor_test(
    x: pl.Tensor[[T, D], pl.BF16],
    kv: pl.Out[pl.Tensor[[MAX_CMP_WRITES, HEAD_DIM], pl.BF16]],
    kv_state: pl.InOut[pl.Tensor[[STATE_BLOCKS, STATE_PAGE, OUT_DIM], pl.FP32]],
    score_state: pl.InOut[pl.Tensor[[STATE_BLOCKS, STATE_PAGE, OUT_DIM], pl.FP32]],
    inner_compress_state_block_table: pl.Tensor[[STATE_BLOCKS], pl.INT32],
    wkv: pl.Tensor[[D, OUT_DIM], pl.BF16],
    wgate: pl.Tensor[[D, OUT_DIM], pl.BF16],
    ape: pl.Tensor[[COMPRESS_RATIO, OUT_DIM], pl.FP32],
    norm_w: pl.Tensor[[HEAD_DIM], pl.BF16],
    freqs_cos: pl.Tensor[[MAX_SEQ_LEN, ROPE_DIM], pl.BF16],
    freqs_sin: pl.Tensor[[MAX_SEQ_LEN, ROPE_DIM], pl.BF16],
    hadamard: pl.Tensor[[HEAD_DIM, HEAD_DIM], pl.BF16],
    idx_kv_cache: pl.InOut[pl.Tensor[[IDX_BLOCKS, BLOCK_SIZE, 1, HEAD_DIM], pl.BF16]],
    idx_block_table: pl.Tensor[[IDX_BLOCKS], pl.INT32],
    position_ids: pl.Tensor[[T], pl.INT32],
    num_tokens: pl.Scalar[pl.INT32],
    idx_slot_mapping: pl.Tensor[[T], pl.INT64],
    inner_state_slot_mapping: pl.Tensor[[T], pl.INT64],
):
    """`prefill_indexer_compressor` on its own. kv: written, the keys of this run in order, then zero."""
    # fmt: off
    prefill_indexer_compressor(
        x, kv_state, score_state, inner_compress_state_block_table, wkv, wgate, ape, norm_w, freqs_cos, freqs_sin,
        hadamard, idx_kv_cache, idx_block_table, position_ids, num_tokens, idx_slot_mapping, inner_state_slot_mapping,
    )
    # fmt: on
    keys = pl.reshape(idx_kv_cache, [IDX_BLOCKS * BLOCK_SIZE, HEAD_DIM])
    for e_block in pl.spmd(MAX_CMP_WRITES // RMS_TILE, name_hint="prefill_idx_c4_kv_test_extract"):
        e_r0 = e_block * RMS_TILE
        kv[e_r0 : e_r0 + RMS_TILE, :] = pl.full([RMS_TILE, HEAD_DIM], dtype=pl.BF16, value=0.0)
        e_count = pl.cast(0, pl.INDEX)
        for e_t in pl.range(T):
            if e_t < num_tokens:
                e_row = pl.cast(pl.read(idx_slot_mapping, [e_t]), pl.INDEX)
                if e_row >= 0:
                    if e_count // RMS_TILE == e_block:
                        kv[e_count : e_count + 1, :] = keys[e_row : e_row + 1, :]
                    e_count = e_count + 1
    return kv, kv_state, score_state, idx_kv_cache


if __name__ == "__main__":
    from prefill_indexer_script import compressor_main

    compressor_main(prefill_indexer_compressor_test)
