"""The indexer's own compressor: every four positions of a batch become one key of the indexer's cache (decode).

The same pooling as `compressor_ratio4` at the width of an indexer head: values and scores of 256 columns are kept by
position; a complete window and the one before it are pooled channel by channel. The normalised and rotated row is
then turned by a Hadamard matrix, as the indexer's queries are: products stay as they were, outliers spread.
"""

from config import BLOCK_SIZE, C4A_COMPRESSOR_BLOCK_SIZE, DECODE_BATCH, DECODE_SEQ, FLASH

import pto_sim.language as pl

# model
B = DECODE_BATCH
S = DECODE_SEQ
D = FLASH.hidden_size
HEAD_DIM = FLASH.index_head_dim
ROPE_DIM = FLASH.qk_rope_head_dim
HALF_ROPE = ROPE_DIM // 2
NOPE_DIM = FLASH.index_nope_head_dim
EPS = FLASH.rms_norm_eps

COMPRESS_RATIO = 4
OUT_DIM = 2 * HEAD_DIM  # of the window before, and of the window itself
STATE_DIM = 2 * OUT_DIM  # values, then scores

# state and cache: pages of one batch
STATE_PAGE = C4A_COMPRESSOR_BLOCK_SIZE
STATE_MAX_BLOCKS = 65
STATE_BLOCK_NUM = B * STATE_MAX_BLOCKS
IDX_CACHE_MAX_BLOCKS = 64
IDX_CACHE_BLOCK_NUM = B * IDX_CACHE_MAX_BLOCKS

# tiles
B_TILE = 64
OUT_TILE = 64
K_TILE = 512
HEAD_TILE = 64
RMS_TILE = 16

assert (B * S) % B_TILE == 0 and OUT_DIM % OUT_TILE == 0 and D % K_TILE == 0
assert HEAD_DIM % HEAD_TILE == 0 and NOPE_DIM % HEAD_TILE == 0 and B % RMS_TILE == 0 and S <= COMPRESS_RATIO


@pl.jit.inline
def indexer_compressor(
    x: pl.Tensor[[B, S, D], pl.BF16],
    kv: pl.Tensor[[B, S, HEAD_DIM], pl.FP32],
    compress_state: pl.Tensor[[STATE_BLOCK_NUM, STATE_PAGE, STATE_DIM], pl.FP32],
    compress_state_block_table: pl.Tensor[[B, STATE_MAX_BLOCKS], pl.INT32],
    wkv: pl.Tensor[[D, OUT_DIM], pl.BF16],
    wgate: pl.Tensor[[D, OUT_DIM], pl.BF16],
    ape: pl.Tensor[[COMPRESS_RATIO, OUT_DIM], pl.FP32],
    norm_w: pl.Tensor[[HEAD_DIM], pl.BF16],
    cos: pl.Tensor[[B, HALF_ROPE], pl.FP32],
    sin: pl.Tensor[[B, HALF_ROPE], pl.FP32],
    hadamard: pl.Tensor[[HEAD_DIM, HEAD_DIM], pl.BF16],
    idx_kv_cache: pl.Tensor[[IDX_CACHE_BLOCK_NUM, BLOCK_SIZE, 1, HEAD_DIM], pl.BF16],
    position_ids: pl.Tensor[[B, S], pl.INT32],
    idx_slot_mapping: pl.Tensor[[B, S], pl.INT64],
    inner_state_slot_mapping: pl.Tensor[[B, S], pl.INT64],
):
    """Keep this step's projections, and write the key of each window that it completes.

    x: normalised activations. kv: the key as FP32, written in row 0 of a batch that completes a window.
    compress_state: values and scores of every position, in pages; read through compress_state_block_table, written to
    the rows that inner_state_slot_mapping names (-1: none). wkv, wgate: projections to value and score. ape: added to
    the score, by position in its window. norm_w: factors of the norm. cos, sin: rotation of each batch. hadamard: turns
    a normalised row. idx_kv_cache: the keys, written where idx_slot_mapping says for the window's last token.
    position_ids: of every token.
    """
    x_flat = pl.reshape(x, [B * S, D])
    kv_proj_scratch = pl.create_tensor([B * S, OUT_DIM], dtype=pl.FP32)
    score_proj_scratch = pl.create_tensor([B * S, OUT_DIM], dtype=pl.FP32)
    for p_block in pl.spmd(B * S * OUT_DIM // (B_TILE * OUT_TILE), name_hint="kv_score_proj"):
        p_row0 = (p_block // (OUT_DIM // OUT_TILE)) * B_TILE
        p_n0 = (p_block % (OUT_DIM // OUT_TILE)) * OUT_TILE
        p_kv = pl.create_tensor([B_TILE, OUT_TILE], dtype=pl.FP32)
        p_score = pl.create_tensor([B_TILE, OUT_TILE], dtype=pl.FP32)
        for p_kb in pl.pipeline(0, D // K_TILE, stage=2):
            p_k0 = p_kb * K_TILE
            p_x = x_flat[p_row0 : p_row0 + B_TILE, p_k0 : p_k0 + K_TILE]
            p_wkv = wkv[p_k0 : p_k0 + K_TILE, p_n0 : p_n0 + OUT_TILE]
            p_wgate = wgate[p_k0 : p_k0 + K_TILE, p_n0 : p_n0 + OUT_TILE]
            if p_k0 == 0:
                p_kv = pl.matmul(p_x, p_wkv, out_dtype=pl.FP32)
                p_score = pl.matmul(p_x, p_wgate, out_dtype=pl.FP32)
            else:
                p_kv = pl.matmul_acc(p_kv, p_x, p_wkv)
                p_score = pl.matmul_acc(p_score, p_x, p_wgate)
        kv_proj_scratch[p_row0 : p_row0 + B_TILE, p_n0 : p_n0 + OUT_TILE] = p_kv
        score_proj_scratch[p_row0 : p_row0 + B_TILE, p_n0 : p_n0 + OUT_TILE] = p_score

    state = pl.reshape(compress_state, [STATE_BLOCK_NUM * STATE_PAGE, STATE_DIM])
    kv_by_batch = pl.reshape(kv_proj_scratch, [B, S * OUT_DIM])
    score_by_batch = pl.reshape(score_proj_scratch, [B, S * OUT_DIM])
    with pl.at(level=pl.Level.CORE_GROUP, name_hint="state_scatter_paged"):
        for s_b in pl.range(B):
            for s_t in pl.pipeline(S, stage=2):
                s_pos = pl.read(position_ids, [s_b, s_t])
                s_row = pl.cast(pl.read(inner_state_slot_mapping, [s_b, s_t]), pl.INDEX)
                s_n0 = s_t * OUT_DIM
                s_ape = pl.cast(s_pos % COMPRESS_RATIO, target_type=pl.INDEX)
                if s_row >= 0:
                    s_kv = kv_by_batch[s_b : s_b + 1, s_n0 : s_n0 + OUT_DIM]
                    s_score = score_by_batch[s_b : s_b + 1, s_n0 : s_n0 + OUT_DIM]
                    s_score = pl.add(s_score, ape[s_ape : s_ape + 1, 0:OUT_DIM])
                    state[s_row : s_row + 1, 0:OUT_DIM] = s_kv
                    state[s_row : s_row + 1, OUT_DIM:STATE_DIM] = s_score

    # A running softmax: it starts from the window's last row, which always exists. Before the first window there is
    # nothing.
    pooled_kv = pl.create_tensor([B, HEAD_DIM], dtype=pl.FP32)
    for o_b in pl.spmd(B, name_hint="softmax_pool"):
        o_first = pl.read(position_ids, [o_b, 0])
        o_in_window = o_first % COMPRESS_RATIO
        o_start = o_first - o_in_window
        if o_in_window + S >= COMPRESS_RATIO:
            o_last = o_start + COMPRESS_RATIO - 1
            o_last_page = pl.cast(pl.read(compress_state_block_table, [o_b, o_last // STATE_PAGE]), pl.INDEX)
            o_last_row = o_last_page * STATE_PAGE + o_last % STATE_PAGE
            for o_hb in pl.range(HEAD_DIM // HEAD_TILE):
                o_h0 = o_hb * HEAD_TILE
                o_v0 = HEAD_DIM + o_h0
                o_s0 = OUT_DIM + HEAD_DIM + o_h0
                o_max = state[o_last_row : o_last_row + 1, o_s0 : o_s0 + HEAD_TILE]
                o_sum = pl.exp(pl.sub(o_max, o_max))
                o_out = state[o_last_row : o_last_row + 1, o_v0 : o_v0 + HEAD_TILE]
                for o_i in pl.range(0, COMPRESS_RATIO):
                    o_before = o_start - COMPRESS_RATIO + o_i
                    if o_before >= 0:
                        o_page = pl.cast(pl.read(compress_state_block_table, [o_b, o_before // STATE_PAGE]), pl.INDEX)
                        o_row = o_page * STATE_PAGE + o_before % STATE_PAGE
                        o_score = state[o_row : o_row + 1, OUT_DIM + o_h0 : OUT_DIM + o_h0 + HEAD_TILE]
                        o_value = state[o_row : o_row + 1, o_h0 : o_h0 + HEAD_TILE]
                        o_next = pl.maximum(o_max, o_score)
                        o_alpha = pl.exp(pl.sub(o_max, o_next))
                        o_beta = pl.exp(pl.sub(o_score, o_next))
                        o_sum = pl.add(pl.mul(o_alpha, o_sum), o_beta)
                        o_out = pl.add(pl.mul(o_out, o_alpha), pl.mul(o_value, o_beta))
                        o_max = o_next
                for o_j in pl.range(0, COMPRESS_RATIO - 1):
                    o_now = o_start + o_j
                    o_now_page = pl.cast(pl.read(compress_state_block_table, [o_b, o_now // STATE_PAGE]), pl.INDEX)
                    o_now_row = o_now_page * STATE_PAGE + o_now % STATE_PAGE
                    o_now_score = state[o_now_row : o_now_row + 1, o_s0 : o_s0 + HEAD_TILE]
                    o_now_value = state[o_now_row : o_now_row + 1, o_v0 : o_v0 + HEAD_TILE]
                    o_top = pl.maximum(o_max, o_now_score)
                    o_keep = pl.exp(pl.sub(o_max, o_top))
                    o_add = pl.exp(pl.sub(o_now_score, o_top))
                    o_sum = pl.add(pl.mul(o_keep, o_sum), o_add)
                    o_out = pl.add(pl.mul(o_out, o_keep), pl.mul(o_now_value, o_add))
                    o_max = o_top
                pooled_kv[o_b : o_b + 1, o_h0 : o_h0 + HEAD_TILE] = pl.div(o_out, o_sum)

    # RMS norm, then rotation of the last columns. The factors differ between the columns of a pair, so they come before
    # it.
    normed_kv = pl.create_tensor([B, HEAD_DIM], dtype=pl.BF16)
    norm_row = pl.reshape(norm_w, [1, HEAD_DIM])
    for n_block in pl.spmd(B // RMS_TILE, name_hint="rmsnorm_rope"):
        n_b0 = n_block * RMS_TILE
        n_sum = pl.full([1, RMS_TILE], dtype=pl.FP32, value=0.0)
        for n_s0 in pl.range(0, HEAD_DIM, HEAD_TILE):
            n_part = pooled_kv[n_b0 : n_b0 + RMS_TILE, n_s0 : n_s0 + HEAD_TILE]
            n_sum = pl.add(n_sum, pl.reshape(pl.row_sum(pl.mul(n_part, n_part)), [1, RMS_TILE]))
        n_var = pl.reshape(pl.add(pl.mul(n_sum, 1.0 / HEAD_DIM), EPS), [RMS_TILE, 1])
        n_inv = pl.recip(pl.sqrt(n_var))
        for n_k0 in pl.range(0, NOPE_DIM, HEAD_TILE):
            n_gamma = pl.cast(norm_row[:, n_k0 : n_k0 + HEAD_TILE], target_type=pl.FP32)
            n_x = pl.row_expand_mul(pooled_kv[n_b0 : n_b0 + RMS_TILE, n_k0 : n_k0 + HEAD_TILE], n_inv)
            n_y = pl.cast(pl.col_expand_mul(n_x, n_gamma), target_type=pl.BF16, mode="rint")
            normed_kv[n_b0 : n_b0 + RMS_TILE, n_k0 : n_k0 + HEAD_TILE] = n_y
        n_factor = pl.cast(norm_row[:, NOPE_DIM:HEAD_DIM], target_type=pl.FP32)
        n_rope = pl.row_expand_mul(pooled_kv[n_b0 : n_b0 + RMS_TILE, NOPE_DIM:HEAD_DIM], n_inv)
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
        n_cos = pl.gather(cos[n_b0 : n_b0 + RMS_TILE, 0:HALF_ROPE], dim=-1, index=n_pair_idx)
        n_sin = pl.gather(sin[n_b0 : n_b0 + RMS_TILE, 0:HALF_ROPE], dim=-1, index=n_pair_idx)
        n_swapped = pl.gather(n_rope, dim=-1, index=n_swap_idx)
        n_turned = pl.add(pl.mul(n_rope, n_cos), pl.mul(pl.mul(n_swapped, n_sign), n_sin))
        normed_kv[n_b0 : n_b0 + RMS_TILE, NOPE_DIM:HEAD_DIM] = pl.cast(n_turned, target_type=pl.BF16, mode="rint")

    kv_final = pl.create_tensor([B, HEAD_DIM], dtype=pl.FP32)
    for h_block in pl.spmd(B // RMS_TILE, name_hint="kv_hadamard"):
        h_b0 = h_block * RMS_TILE
        h_x = normed_kv[h_b0 : h_b0 + RMS_TILE, 0:HEAD_DIM]
        for h_n0 in pl.range(0, HEAD_DIM, OUT_TILE):
            h_w = hadamard[0:HEAD_DIM, h_n0 : h_n0 + OUT_TILE]
            kv_final[h_b0 : h_b0 + RMS_TILE, h_n0 : h_n0 + OUT_TILE] = pl.matmul(h_x, h_w, out_dtype=pl.FP32)

    kv_flat = pl.reshape(kv, [B * S, HEAD_DIM])
    cache = pl.reshape(idx_kv_cache, [IDX_CACHE_BLOCK_NUM * BLOCK_SIZE, HEAD_DIM])
    for w_block in pl.spmd(B // RMS_TILE, name_hint="kv_and_cache_write"):
        for w_i in pl.range(RMS_TILE):
            w_b = w_block * RMS_TILE + w_i
            w_in_window = pl.read(position_ids, [w_b, 0]) % COMPRESS_RATIO
            if w_in_window + S >= COMPRESS_RATIO:
                w_kv = kv_final[w_b : w_b + 1, 0:HEAD_DIM]
                kv_flat[w_b * S : w_b * S + 1, :] = w_kv
                w_row = pl.cast(pl.read(idx_slot_mapping, [w_b, COMPRESS_RATIO - 1 - w_in_window]), pl.INDEX)
                if w_row >= 0:
                    cache[w_row : w_row + 1, :] = pl.cast(w_kv, target_type=pl.BF16, mode="rint")
    return kv


@pl.jit
def compressor_test(
    x: pl.Tensor[[B, S, D], pl.BF16],
    kv: pl.Out[pl.Tensor[[B, S, HEAD_DIM], pl.FP32]],
    compress_state: pl.InOut[pl.Tensor[[STATE_BLOCK_NUM, STATE_PAGE, STATE_DIM], pl.FP32]],
    compress_state_block_table: pl.Tensor[[B, STATE_MAX_BLOCKS], pl.INT32],
    wkv: pl.Tensor[[D, OUT_DIM], pl.BF16],
    wgate: pl.Tensor[[D, OUT_DIM], pl.BF16],
    ape: pl.Tensor[[COMPRESS_RATIO, OUT_DIM], pl.FP32],
    norm_w: pl.Tensor[[HEAD_DIM], pl.BF16],
    cos: pl.Tensor[[B, HALF_ROPE], pl.FP32],
    sin: pl.Tensor[[B, HALF_ROPE], pl.FP32],
    hadamard: pl.Tensor[[HEAD_DIM, HEAD_DIM], pl.BF16],
    idx_kv_cache: pl.InOut[pl.Tensor[[IDX_CACHE_BLOCK_NUM, BLOCK_SIZE, 1, HEAD_DIM], pl.BF16]],
    position_ids: pl.Tensor[[B, S], pl.INT32],
    idx_slot_mapping: pl.Tensor[[B, S], pl.INT64],
    inner_state_slot_mapping: pl.Tensor[[B, S], pl.INT64],
):
    """`indexer_compressor` on its own."""
    # fmt: off
    indexer_compressor(
        x, kv, compress_state, compress_state_block_table, wkv, wgate, ape, norm_w, cos, sin, hadamard, idx_kv_cache,
        position_ids, idx_slot_mapping, inner_state_slot_mapping,
    )
    # fmt: on
    return kv, compress_state, idx_kv_cache


if __name__ == "__main__":
    from decode_indexer_script import compressor_main

    compressor_main(compressor_test)
