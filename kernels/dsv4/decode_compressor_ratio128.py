"""Compressor of ratio 128: every 128 positions of a batch become one row of the compressed cache (decode).

Each token is projected to a value and a score of 512 columns, kept in the state by position. When a window of 128
positions is complete, its rows are pooled: channel by channel the scores are a softmax over them. The pooled row is
normalised and rotated. Batches, tokens of a batch and pages are dynamic.
"""

from config import BLOCK_SIZE, C128_COMPRESSOR_BLOCK_SIZE, DECODE_SEQ, FLASH

import pto_sim.language as pl

B_DYN = pl.dynamic("B_DYN")
S_DYN = pl.dynamic("S_DYN")
STATE_MAX_BLOCKS_DYN = pl.dynamic("STATE_MAX_BLOCKS_DYN")
STATE_BLOCK_NUM_DYN = pl.dynamic("STATE_BLOCK_NUM_DYN")
CMP_BLOCK_NUM_DYN = pl.dynamic("CMP_BLOCK_NUM_DYN")

# model
S = DECODE_SEQ
D = FLASH.hidden_size
HEAD_DIM = FLASH.head_dim
ROPE_DIM = FLASH.qk_rope_head_dim
HALF_ROPE = ROPE_DIM // 2
NOPE_DIM = FLASH.nope_head_dim
EPS = FLASH.rms_norm_eps

COMPRESS_RATIO = 128
OUT_DIM = HEAD_DIM
STATE_DIM = 2 * OUT_DIM  # values, then scores
STATE_PAGE = C128_COMPRESSOR_BLOCK_SIZE

# tiles
B_TILE = 64
OUT_TILE = 64
K_TILE = 512
HEAD_TILE = 64
RMS_TILE = 8

assert OUT_DIM % OUT_TILE == 0 and D % K_TILE == 0 and HEAD_DIM % HEAD_TILE == 0 and NOPE_DIM % HEAD_TILE == 0


@pl.jit.inline
def compressor_ratio128(
    x: pl.Tensor[[B_DYN, S_DYN, D], pl.BF16],
    kv: pl.Tensor[[B_DYN, S_DYN, HEAD_DIM], pl.FP32],
    compress_state: pl.Tensor[[STATE_BLOCK_NUM_DYN, STATE_PAGE, STATE_DIM], pl.FP32],
    compress_state_block_table: pl.Tensor[[B_DYN, STATE_MAX_BLOCKS_DYN], pl.INT32],
    wkv: pl.Tensor[[D, OUT_DIM], pl.BF16],
    wgate: pl.Tensor[[D, OUT_DIM], pl.BF16],
    ape: pl.Tensor[[COMPRESS_RATIO, OUT_DIM], pl.FP32],
    norm_w: pl.Tensor[[HEAD_DIM], pl.BF16],
    cos: pl.Tensor[[B_DYN, HALF_ROPE], pl.FP32],
    sin: pl.Tensor[[B_DYN, HALF_ROPE], pl.FP32],
    cmp_kv_cache: pl.Tensor[[CMP_BLOCK_NUM_DYN, BLOCK_SIZE, 1, HEAD_DIM], pl.BF16],
    position_ids: pl.Tensor[[B_DYN, S_DYN], pl.INT32],
    cmp_slot_mapping: pl.Tensor[[B_DYN, S_DYN], pl.INT64],
    state_slot_mapping: pl.Tensor[[B_DYN, S_DYN], pl.INT64],
):
    """Keep this step's projections, and write the row of each window that it completes.

    x: normalised activations. kv: written in row 0 of a batch that completes a window. compress_state: values and
    scores of every position, in pages; read through compress_state_block_table, written to the rows that
    state_slot_mapping names (-1: none). wkv, wgate: projections to value and score. ape: added to the score, by
    position in its window. norm_w: factors of the norm. cos, sin: rotation at each batch's window. cmp_kv_cache: the
    compressed rows, written where cmp_slot_mapping says for the window's last token. position_ids: of every token.
    """
    batches = pl.tensor.dim(x, 0)
    step = pl.tensor.dim(x, 1)
    tokens = batches * step
    kv_proj_scratch = pl.create_tensor([tokens, OUT_DIM], dtype=pl.FP32)
    score_proj_scratch = pl.create_tensor([tokens, OUT_DIM], dtype=pl.FP32)
    x_flat = pl.reshape(x, [tokens, D])
    for p_block in pl.spmd(tokens * OUT_DIM // (B_TILE * OUT_TILE), name_hint="kv_score_proj"):
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

    # A page of the state is one row, so that a slot is a group of columns.
    kv_by_batch = pl.reshape(kv_proj_scratch, [batches, step * OUT_DIM])
    score_by_batch = pl.reshape(score_proj_scratch, [batches, step * OUT_DIM])
    pages = pl.tensor.dim(compress_state, 0)
    state = pl.reshape(compress_state, [pages, STATE_PAGE * STATE_DIM])
    with pl.at(level=pl.Level.CORE_GROUP, name_hint="state_scatter_pre"):
        for s_b in pl.range(batches):
            for s_t in pl.pipeline(step, stage=2):
                s_n0 = s_t * OUT_DIM
                s_pos = pl.read(position_ids, [s_b, s_t])
                s_ape = pl.cast(s_pos % COMPRESS_RATIO, target_type=pl.INDEX)
                s_slot = pl.cast(pl.read(state_slot_mapping, [s_b, s_t]), target_type=pl.INDEX)
                if s_slot >= 0:
                    s_page = s_slot // STATE_PAGE
                    s_c0 = (s_slot % STATE_PAGE) * STATE_DIM
                    s_kv = kv_by_batch[s_b : s_b + 1, s_n0 : s_n0 + OUT_DIM]
                    s_score = score_by_batch[s_b : s_b + 1, s_n0 : s_n0 + OUT_DIM]
                    s_score = pl.add(s_score, ape[s_ape : s_ape + 1, 0:OUT_DIM])
                    state[s_page : s_page + 1, s_c0 : s_c0 + OUT_DIM] = s_kv
                    state[s_page : s_page + 1, s_c0 + OUT_DIM : s_c0 + STATE_DIM] = s_score

    # Rows of the window as columns of a tile: the softmax runs along rows.
    pooled_kv = pl.create_tensor([batches, HEAD_DIM], dtype=pl.FP32)
    for o_block in pl.spmd(batches * HEAD_DIM // HEAD_TILE, name_hint="softmax_pool"):
        o_b = o_block // (HEAD_DIM // HEAD_TILE)
        o_h0 = (o_block % (HEAD_DIM // HEAD_TILE)) * HEAD_TILE
        o_first = pl.read(position_ids, [o_b, 0])
        o_in_window = o_first % COMPRESS_RATIO
        if o_in_window + S >= COMPRESS_RATIO:
            o_scores = pl.create_tensor([COMPRESS_RATIO, HEAD_TILE], dtype=pl.FP32)
            o_values = pl.create_tensor([COMPRESS_RATIO, HEAD_TILE], dtype=pl.FP32)
            for o_i in pl.pipeline(COMPRESS_RATIO, stage=2):
                o_pos = o_first - o_in_window + o_i
                o_page = pl.cast(pl.read(compress_state_block_table, [o_b, o_pos // STATE_PAGE]), target_type=pl.INDEX)
                o_v0 = (o_pos % STATE_PAGE) * STATE_DIM + o_h0
                o_s0 = o_v0 + OUT_DIM
                o_scores[o_i : o_i + 1, :] = state[o_page : o_page + 1, o_s0 : o_s0 + HEAD_TILE]
                o_values[o_i : o_i + 1, :] = state[o_page : o_page + 1, o_v0 : o_v0 + HEAD_TILE]
            o_scores_t = pl.transpose(o_scores, axis1=0, axis2=1)
            o_values_t = pl.transpose(o_values, axis1=0, axis2=1)
            o_exp = pl.exp(pl.row_expand_sub(o_scores_t, pl.row_max(o_scores_t)))
            o_weights = pl.row_expand_div(o_exp, pl.row_sum(o_exp))
            o_pooled = pl.reshape(pl.row_sum(pl.mul(o_values_t, o_weights)), [1, HEAD_TILE])
            pooled_kv[o_b : o_b + 1, o_h0 : o_h0 + HEAD_TILE] = o_pooled

    # RMS norm, then rotation of the last columns, as FP32. The factors differ between the columns of a pair, so they
    # come before it.
    normed_kv = pl.create_tensor([batches, HEAD_DIM], dtype=pl.FP32)
    norm_row = pl.reshape(norm_w, [1, HEAD_DIM])
    for n_block in pl.spmd(batches // RMS_TILE, name_hint="rmsnorm_rope"):
        n_b0 = n_block * RMS_TILE
        n_sum = pl.full([1, RMS_TILE], dtype=pl.FP32, value=0.0)
        for n_s0 in pl.pipeline(0, HEAD_DIM, HEAD_TILE, stage=2):
            n_part = pooled_kv[n_b0 : n_b0 + RMS_TILE, n_s0 : n_s0 + HEAD_TILE]
            n_sum = pl.add(n_sum, pl.reshape(pl.row_sum(pl.mul(n_part, n_part)), [1, RMS_TILE]))
        n_var = pl.reshape(pl.add(pl.mul(n_sum, 1.0 / HEAD_DIM), EPS), [RMS_TILE, 1])
        n_inv = pl.recip(pl.sqrt(n_var))
        for n_k0 in pl.pipeline(0, NOPE_DIM, HEAD_TILE, stage=2):
            n_gamma = pl.cast(norm_row[:, n_k0 : n_k0 + HEAD_TILE], target_type=pl.FP32)
            n_x = pl.row_expand_mul(pooled_kv[n_b0 : n_b0 + RMS_TILE, n_k0 : n_k0 + HEAD_TILE], n_inv)
            normed_kv[n_b0 : n_b0 + RMS_TILE, n_k0 : n_k0 + HEAD_TILE] = pl.col_expand_mul(n_x, n_gamma)
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
        normed_kv[n_b0 : n_b0 + RMS_TILE, NOPE_DIM:HEAD_DIM] = n_turned

    kv_flat = pl.reshape(kv, [tokens, HEAD_DIM])
    cache_pages = pl.tensor.dim(cmp_kv_cache, 0)
    cache = pl.reshape(cmp_kv_cache, [cache_pages * BLOCK_SIZE, HEAD_DIM])
    for w_block in pl.spmd(batches // RMS_TILE, name_hint="kv_finalize"):
        for w_i in pl.range(RMS_TILE):
            w_b = w_block * RMS_TILE + w_i
            w_in_window = pl.read(position_ids, [w_b, 0]) % COMPRESS_RATIO
            if w_in_window + step >= COMPRESS_RATIO:
                w_kv = normed_kv[w_b : w_b + 1, 0:HEAD_DIM]
                kv_flat[w_b * step : w_b * step + 1, :] = w_kv
                w_last = COMPRESS_RATIO - 1 - w_in_window
                w_row = pl.cast(pl.read(cmp_slot_mapping, [w_b, w_last]), target_type=pl.INDEX)
                if w_row >= 0:
                    cache[w_row : w_row + 1, :] = pl.cast(w_kv, target_type=pl.BF16, mode="rint")
    return kv


@pl.jit
def compressor_test(
    x: pl.Tensor[[B_DYN, S_DYN, D], pl.BF16],
    kv: pl.Out[pl.Tensor[[B_DYN, S_DYN, HEAD_DIM], pl.FP32]],
    compress_state: pl.InOut[pl.Tensor[[STATE_BLOCK_NUM_DYN, STATE_PAGE, STATE_DIM], pl.FP32]],
    compress_state_block_table: pl.Tensor[[B_DYN, STATE_MAX_BLOCKS_DYN], pl.INT32],
    wkv: pl.Tensor[[D, OUT_DIM], pl.BF16],
    wgate: pl.Tensor[[D, OUT_DIM], pl.BF16],
    ape: pl.Tensor[[COMPRESS_RATIO, OUT_DIM], pl.FP32],
    norm_w: pl.Tensor[[HEAD_DIM], pl.BF16],
    cos: pl.Tensor[[B_DYN, HALF_ROPE], pl.FP32],
    sin: pl.Tensor[[B_DYN, HALF_ROPE], pl.FP32],
    cmp_kv_cache: pl.InOut[pl.Tensor[[CMP_BLOCK_NUM_DYN, BLOCK_SIZE, 1, HEAD_DIM], pl.BF16]],
    position_ids: pl.Tensor[[B_DYN, S_DYN], pl.INT32],
    cmp_slot_mapping: pl.Tensor[[B_DYN, S_DYN], pl.INT64],
    state_slot_mapping: pl.Tensor[[B_DYN, S_DYN], pl.INT64],
):
    """`compressor_ratio128` on its own."""
    x.bind_dynamic(0, B_DYN)
    x.bind_dynamic(1, S_DYN)
    kv.bind_dynamic(0, B_DYN)
    kv.bind_dynamic(1, S_DYN)
    compress_state.bind_dynamic(0, STATE_BLOCK_NUM_DYN)
    compress_state_block_table.bind_dynamic(0, B_DYN)
    compress_state_block_table.bind_dynamic(1, STATE_MAX_BLOCKS_DYN)
    cos.bind_dynamic(0, B_DYN)
    sin.bind_dynamic(0, B_DYN)
    cmp_kv_cache.bind_dynamic(0, CMP_BLOCK_NUM_DYN)
    position_ids.bind_dynamic(0, B_DYN)
    position_ids.bind_dynamic(1, S_DYN)
    cmp_slot_mapping.bind_dynamic(0, B_DYN)
    cmp_slot_mapping.bind_dynamic(1, S_DYN)
    state_slot_mapping.bind_dynamic(0, B_DYN)
    state_slot_mapping.bind_dynamic(1, S_DYN)
    # fmt: off
    compressor_ratio128(
        x, kv, compress_state, compress_state_block_table, wkv, wgate, ape, norm_w, cos, sin, cmp_kv_cache,
        position_ids, cmp_slot_mapping, state_slot_mapping,
    )
    # fmt: on
    return kv, compress_state, cmp_kv_cache


if __name__ == "__main__":
    from decode_compressor_script import main

    main(compressor_test, ratio=128)
