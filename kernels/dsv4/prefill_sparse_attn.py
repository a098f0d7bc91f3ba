"""Prefill sparse attention of one request: attention over selected rows, inverse RoPE and output projection.

Each of the request's T tokens attends to the rows of its own list: rows of the window before this run (the ring), rows
of the run itself, and compressed rows. All three kinds of layers use it; a layer without compression names no
compressed row. Tokens from `num_tokens` on are padding and come out as zero.

Each phase has its own `pl.scope()`, so its scratch is freed before the next one runs; the four buffers that carry
values from phase to phase are declared in front of the first scope that writes them.
"""

from config import BLOCK_SIZE, FLASH, FP32_NEG_INF, INT8_AMAX_EPS, INT8_SCALE_MAX, PREFILL_BATCH, PREFILL_SEQ

import pto_sim.language as pl

# model
T = PREFILL_BATCH * PREFILL_SEQ
D = FLASH.hidden_size
H = FLASH.num_attention_heads
HEAD_DIM = FLASH.head_dim
ROPE_DIM = FLASH.qk_rope_head_dim
HALF_ROPE = ROPE_DIM // 2
NOPE_DIM = FLASH.nope_head_dim
WIN = FLASH.sliding_window
TOPK = WIN + FLASH.index_topk
SOFTMAX_SCALE = FLASH.softmax_scale
O_LORA = FLASH.o_lora_rank
O_GROUPS = FLASH.o_groups
HEADS_PER_GROUP = H // O_GROUPS
O_GROUP_IN = HEADS_PER_GROUP * HEAD_DIM
O_RANK = O_GROUPS * O_LORA

# caches: pages of the request. So many compressed rows are kept, and so many rows of a list are looked at.
PREFILL_MAX_COMPRESSED = max(1, min(FLASH.index_topk, WIN + WIN // 2))
PREFILL_SPARSE_TOPK = min(TOPK, min(WIN, PREFILL_SEQ) + PREFILL_MAX_COMPRESSED)
ORI_MAX_BLOCKS = (PREFILL_SEQ + BLOCK_SIZE - 1) // BLOCK_SIZE
CMP_MAX_BLOCKS = (PREFILL_MAX_COMPRESSED + BLOCK_SIZE - 1) // BLOCK_SIZE
DEFAULT_COMPRESS_RATIO = 4

# tiles
GATHER_TOKEN_TILE = 4
BIAS_TOKEN_TILE = 16
ATTN_K_TILE = 128
H_TILE = 16
QK_M_TILE = 32
ROPE_TILE = 16
ROPE_INTERLEAVE_TILE = 2 * ROPE_TILE
ROPE_OUT_TOK_TILE = T // 2
ROPE_HEAD_TILE = 4
A_T_TILE = 32
A_K_TILE = 128
A_N_TILE = 128
QUANT_TOKEN_TILE = 8
QUANT_TILE = 512
QUANT_K_TILE = O_RANK // 2
B_T_TILE = 32
B_K_TILE = 256
B_N_TILE = 128

ATTN_BLOCKS = (PREFILL_SPARSE_TOPK + ATTN_K_TILE - 1) // ATTN_K_TILE
PADDED_TOPK = ATTN_BLOCKS * ATTN_K_TILE
LISTED = min(TOPK, PADDED_TOPK)  # columns of a list that have a place among the padded ones
HEAD_TILES = H // H_TILE
TOKEN_STATS = HEAD_TILES * ATTN_BLOCKS * H_TILE
A_N_BLOCKS = O_LORA // A_N_TILE
QUANT_K_BLOCKS = O_RANK // QUANT_K_TILE
ROPE_TOK_BLOCKS = T // ROPE_OUT_TOK_TILE

assert WIN == BLOCK_SIZE and T <= ORI_MAX_BLOCKS * BLOCK_SIZE
assert (T // GATHER_TOKEN_TILE) * ATTN_BLOCKS <= ORI_MAX_BLOCKS * BLOCK_SIZE, "each gather block touches its own row"
assert T % GATHER_TOKEN_TILE == 0 and T % BIAS_TOKEN_TILE == 0 and T % QUANT_TOKEN_TILE == 0 and T % A_T_TILE == 0
assert H % QK_M_TILE == 0 and QK_M_TILE % H_TILE == 0 and H % O_GROUPS == 0 and H % ROPE_HEAD_TILE == 0
assert O_RANK % B_K_TILE == 0 and QUANT_K_TILE % QUANT_TILE == 0 and O_LORA % A_N_TILE == 0 and D % B_N_TILE == 0


@pl.jit.inline(auto_scope=False)
def prefill_sparse_attn(
    q: pl.Tensor[[T, H, HEAD_DIM], pl.BF16],
    ori_kv: pl.Tensor[[ORI_MAX_BLOCKS, BLOCK_SIZE, 1, HEAD_DIM], pl.BF16],
    ori_block_table: pl.Tensor[[ORI_MAX_BLOCKS], pl.INT32],
    kv_overlay: pl.Tensor[[T, HEAD_DIM], pl.BF16],
    cmp_kv: pl.Tensor[[CMP_MAX_BLOCKS, BLOCK_SIZE, 1, HEAD_DIM], pl.BF16],
    cmp_block_table: pl.Tensor[[CMP_MAX_BLOCKS], pl.INT32],
    cmp_sparse_indices: pl.Tensor[[T, TOPK], pl.INT32],
    cmp_sparse_lens: pl.Tensor[[T], pl.INT32],
    attn_sink: pl.Tensor[[H], pl.FP32],
    num_tokens: pl.Scalar[pl.INT32],
    freqs_cos: pl.Tensor[[T, ROPE_DIM], pl.BF16],
    freqs_sin: pl.Tensor[[T, ROPE_DIM], pl.BF16],
    wo_a: pl.Tensor[[O_GROUPS, O_LORA, O_GROUP_IN], pl.BF16],
    wo_b: pl.Tensor[[D, O_RANK], pl.INT8],
    wo_b_scale: pl.Tensor[[D], pl.FP32],
    attn_out: pl.Tensor[[T, D], pl.BF16],
):
    """Attention over selected rows, then the output projection.

    q: heads of every token. ori_kv: the window, pages found by ori_block_table. kv_overlay: rows of the tokens of this
    run, which are not in the ring yet. cmp_kv: compressed rows in pages, found by cmp_block_table.
    cmp_sparse_indices: a token's rows, where -1 is none, [0, WIN) a ring row, [WIN, WIN + T) a row of this run, and
    WIN + T onwards a compressed row. cmp_sparse_lens: how many of them count. attn_sink: a logit for each head that
    takes part in the softmax and has no value. num_tokens: tokens that are not padding. freqs_cos, freqs_sin: the
    rotation at each token's position, the 32 frequencies twice. wo_a: first projection, one matrix for each group of
    heads. wo_b, wo_b_scale: second one, with a scale for each output. attn_out: written, [T, D].
    """
    sparse_kv = pl.create_tensor([T * PADDED_TOPK, HEAD_DIM], dtype=pl.BF16)
    sparse_bias = pl.create_tensor([T, PADDED_TOPK], dtype=pl.FP32)

    # S1: gather
    with pl.scope():
        ori_kv_flat = pl.reshape(ori_kv, [ORI_MAX_BLOCKS * BLOCK_SIZE, HEAD_DIM])
        cmp_kv_flat = pl.reshape(cmp_kv, [CMP_MAX_BLOCKS * BLOCK_SIZE, HEAD_DIM])
        # A tile of rows is put together on chip and stored at once. A place without a row is zero: its weight is
        # zero as well, but memory that nobody wrote could hold NaN.
        for g_block in pl.spmd((T // GATHER_TOKEN_TILE) * ATTN_BLOCKS, name_hint="gather_kv"):
            # Writing a row back unchanged makes the ring an output of this task: a later task that commits the run's
            # rows to the ring then waits for it. The runtime does not order a write behind a read by itself.
            g_touch = ori_kv_flat[g_block : g_block + 1, :]
            ori_kv_flat[g_block : g_block + 1, :] = g_touch
            g_tokens = g_block // ATTN_BLOCKS
            g_k0 = (g_block - g_tokens * ATTN_BLOCKS) * ATTN_K_TILE
            for g_i in pl.range(GATHER_TOKEN_TILE):
                g_t = g_tokens * GATHER_TOKEN_TILE + g_i
                g_rows = pl.full([ATTN_K_TILE, HEAD_DIM], dtype=pl.BF16, value=0.0)
                if g_t < num_tokens:
                    g_len = pl.read(cmp_sparse_lens, [g_t])
                    for g_j in pl.range(ATTN_K_TILE):
                        g_k = g_k0 + g_j
                        g_raw = pl.cast(-1, pl.INT32)
                        if g_k < TOPK:
                            if g_k < g_len:
                                g_raw = pl.read(cmp_sparse_indices, [g_t, g_k])
                        if g_raw >= 0:
                            if g_raw < WIN:
                                g_ring_page = pl.cast(pl.read(ori_block_table, [g_raw // BLOCK_SIZE]), pl.INDEX)
                                g_ring = g_ring_page * BLOCK_SIZE + g_raw % BLOCK_SIZE
                                g_rows[g_j : g_j + 1, :] = ori_kv_flat[g_ring : g_ring + 1, :]
                            elif g_raw < WIN + T:
                                g_own = pl.cast(g_raw - WIN, pl.INDEX)
                                g_rows[g_j : g_j + 1, :] = kv_overlay[g_own : g_own + 1, :]
                            else:
                                g_slot = g_raw - (WIN + T)
                                g_cmp_page = pl.cast(pl.read(cmp_block_table, [g_slot // BLOCK_SIZE]), pl.INDEX)
                                g_cmp = g_cmp_page * BLOCK_SIZE + g_slot % BLOCK_SIZE
                                g_rows[g_j : g_j + 1, :] = cmp_kv_flat[g_cmp : g_cmp + 1, :]
                g_out = g_t * PADDED_TOPK + g_k0
                sparse_kv[g_out : g_out + ATTN_K_TILE, :] = g_rows

        # What is added to a score: 0 for a row, FP32_NEG_INF for none, so that exp() leaves nothing of it. A place
        # has a row if its index is one and it lies within the token's length.
        cmp_sparse_lens_2d = pl.reshape(cmp_sparse_lens, [T, 1])
        for v_block in pl.spmd(T // BIAS_TOKEN_TILE, name_hint="build_bias"):
            v_t0 = v_block * BIAS_TOKEN_TILE
            v_index = pl.cast(cmp_sparse_indices[v_t0 : v_t0 + BIAS_TOKEN_TILE, 0:LISTED], target_type=pl.FP32)
            v_named = pl.minimum(pl.maximum(pl.add(v_index, 1.0), 0.0), 1.0)
            v_col = pl.col_expand(
                pl.full([BIAS_TOKEN_TILE, LISTED], dtype=pl.FP32, value=0.0),
                pl.cast(pl.arange(0, [1, LISTED], dtype=pl.INT32), target_type=pl.FP32),
            )
            v_len = pl.cast(cmp_sparse_lens_2d[v_t0 : v_t0 + BIAS_TOKEN_TILE, 0:1], target_type=pl.FP32)
            v_within = pl.minimum(pl.maximum(pl.neg(pl.row_expand_sub(v_col, v_len)), 0.0), 1.0)
            v_bias = pl.mul(pl.sub(pl.mul(v_named, v_within), 1.0), -FP32_NEG_INF)
            sparse_bias[v_t0 : v_t0 + BIAS_TOKEN_TILE, 0:LISTED] = v_bias
            if PADDED_TOPK > LISTED:
                sparse_bias[v_t0 : v_t0 + BIAS_TOKEN_TILE, LISTED:PADDED_TOPK] = pl.full(
                    [BIAS_TOKEN_TILE, PADDED_TOPK - LISTED], dtype=pl.FP32, value=FP32_NEG_INF
                )

    attn_rope_stage = pl.create_tensor([T * H, ROPE_DIM], dtype=pl.FP32)
    o_packed = pl.create_tensor([O_GROUPS * T, O_GROUP_IN], dtype=pl.BF16)

    # S2: attention
    with pl.scope():
        q_flat = pl.reshape(q, [T * H, HEAD_DIM])
        sparse_blk_mi = pl.create_tensor([T * TOKEN_STATS, 1], dtype=pl.FP32)
        sparse_blk_li = pl.create_tensor([T * TOKEN_STATS, 1], dtype=pl.FP32)
        sparse_blk_oi = pl.create_tensor([T * TOKEN_STATS, HEAD_DIM], dtype=pl.FP32)
        # Each block of 128 rows on its own: maximum, sum of exponentials, and their product with the rows, which
        # are keys and values at once. Two head tiles share one product, so a row reaches the cube half as often.
        for a_t in pl.spmd(T, name_hint="qk_pv"):
            if a_t < num_tokens:
                for a_blk in pl.range(ATTN_BLOCKS):
                    a_col0 = a_blk * ATTN_K_TILE
                    a_row0 = a_t * PADDED_TOPK + a_col0
                    a_k = sparse_kv[a_row0 : a_row0 + ATTN_K_TILE, 0:HEAD_DIM]
                    a_v = sparse_kv[a_row0 : a_row0 + ATTN_K_TILE, 0:HEAD_DIM]
                    a_bias = sparse_bias[a_t : a_t + 1, a_col0 : a_col0 + ATTN_K_TILE]
                    for a_pair in pl.pipeline(H // QK_M_TILE, stage=2):
                        a_head = a_t * H + a_pair * QK_M_TILE
                        a_q = q_flat[a_head : a_head + QK_M_TILE, 0:HEAD_DIM]
                        a_raw = pl.matmul(a_q, a_k, b_trans=True, out_dtype=pl.FP32)
                        a_zero = pl.full([QK_M_TILE, ATTN_K_TILE], dtype=pl.FP32, value=0.0)
                        a_scores = pl.add(pl.mul(a_raw, SOFTMAX_SCALE), pl.col_expand(a_zero, a_bias))
                        a_max = pl.row_max(a_scores)
                        a_exp = pl.exp(pl.row_expand_sub(a_scores, a_max))
                        a_sum = pl.row_sum(a_exp)
                        a_prob = pl.cast(a_exp, target_type=pl.BF16, mode="rint")
                        a_out = pl.matmul(a_prob, a_v, out_dtype=pl.FP32)
                        for a_half in pl.unroll(QK_M_TILE // H_TILE):
                            a_tile = a_pair * (QK_M_TILE // H_TILE) + a_half
                            a_r0 = a_half * H_TILE
                            a_r1 = a_r0 + H_TILE
                            a_stat = a_t * TOKEN_STATS + (a_tile * ATTN_BLOCKS + a_blk) * H_TILE
                            sparse_blk_mi[a_stat : a_stat + H_TILE, 0:1] = a_max[a_r0:a_r1, 0:1]
                            sparse_blk_li[a_stat : a_stat + H_TILE, 0:1] = a_sum[a_r0:a_r1, 0:1]
                            sparse_blk_oi[a_stat : a_stat + H_TILE, 0:HEAD_DIM] = a_out[a_r0:a_r1, 0:HEAD_DIM]

        # Blocks are rescaled to their common maximum; a block without any row ends with the factor exp(-3e38) = 0.
        for m_t in pl.spmd(T, name_hint="merge_norm"):
            for m_tile in pl.range(HEAD_TILES):
                m_h0 = m_tile * H_TILE
                if m_t < num_tokens:
                    m_base = m_t * TOKEN_STATS + m_tile * ATTN_BLOCKS * H_TILE
                    m_max = sparse_blk_mi[m_base : m_base + H_TILE, 0:1]
                    m_sum = sparse_blk_li[m_base : m_base + H_TILE, 0:1]
                    m_out = sparse_blk_oi[m_base : m_base + H_TILE, 0:HEAD_DIM]
                    for m_blk in pl.range(1, ATTN_BLOCKS):
                        m_row = m_base + m_blk * H_TILE
                        m_next_max = sparse_blk_mi[m_row : m_row + H_TILE, 0:1]
                        m_next_sum = sparse_blk_li[m_row : m_row + H_TILE, 0:1]
                        m_next_out = sparse_blk_oi[m_row : m_row + H_TILE, 0:HEAD_DIM]
                        m_both_max = pl.maximum(m_max, m_next_max)
                        m_alpha = pl.exp(pl.sub(m_max, m_both_max))
                        m_beta = pl.exp(pl.sub(m_next_max, m_both_max))
                        m_sum = pl.add(pl.mul(m_alpha, m_sum), pl.mul(m_beta, m_next_sum))
                        m_out = pl.add(pl.row_expand_mul(m_out, m_alpha), pl.row_expand_mul(m_next_out, m_beta))
                        m_max = m_both_max
                    m_sink = pl.reshape(attn_sink[m_h0 : m_h0 + H_TILE], [H_TILE, 1])
                    # x - x + sink: gives the sink the layout of a column that was computed.
                    m_sink_col = pl.add(pl.sub(m_max, m_max), m_sink)
                    m_denom = pl.add(m_sum, pl.exp(pl.sub(m_sink_col, m_max)))
                    m_full = pl.row_expand_div(m_out, m_denom)[0:H_TILE, 0:HEAD_DIM]
                    m_bf16 = pl.cast(m_full, target_type=pl.BF16, mode="rint")
                else:
                    m_full = pl.full([H_TILE, HEAD_DIM], dtype=pl.FP32, value=0.0)
                    m_bf16 = pl.full([H_TILE, HEAD_DIM], dtype=pl.BF16, value=0.0)
                # Rotated columns stay FP32 until they are turned back; the others go where wo_a reads them.
                m_rope_row = m_t * H + m_h0
                attn_rope_stage[m_rope_row : m_rope_row + H_TILE, 0:ROPE_DIM] = m_full[0:H_TILE, NOPE_DIM:HEAD_DIM]
                for m_i in pl.range(H_TILE):
                    m_h = m_h0 + m_i
                    m_g = m_h // HEADS_PER_GROUP
                    m_pack_row = m_g * T + m_t
                    m_col = (m_h - m_g * HEADS_PER_GROUP) * HEAD_DIM
                    o_packed[m_pack_row : m_pack_row + 1, m_col : m_col + NOPE_DIM] = m_bf16[m_i : m_i + 1, 0:NOPE_DIM]

    # S3: inverse RoPE and output projection
    with pl.scope():
        # Pairs are neighbours (2i, 2i+1). With cos and signed sin spread to all columns, the inverse rotation is
        # out[j] = x[j] * cos[j >> 1] + x[j ^ 1] * sign[j] * sin[j >> 1], sign +1 for even j and -1 for odd j.
        rope_cos_il = pl.create_tensor([T, ROPE_DIM], dtype=pl.FP32)
        rope_sin_signed = pl.create_tensor([T, ROPE_DIM], dtype=pl.FP32)
        for s_block in pl.spmd(HALF_ROPE // ROPE_TILE, name_hint="rope_cs"):
            s_f0 = s_block * ROPE_TILE
            s_c0 = 2 * s_f0
            s_col = pl.col_expand_mul(
                pl.full([T, ROPE_INTERLEAVE_TILE], dtype=pl.FP32, value=1.0),
                pl.cast(pl.arange(0, [1, ROPE_INTERLEAVE_TILE], dtype=pl.INT32), target_type=pl.FP32),
            )
            s_pair = pl.cast(pl.cast(pl.mul(s_col, 0.5), target_type=pl.INT32, mode="trunc"), target_type=pl.FP32)
            s_pair_idx = pl.cast(s_pair, target_type=pl.INT32)
            s_lane = pl.sub(s_col, pl.mul(s_pair, 2.0))  # j & 1
            s_sign = pl.neg(pl.sub(pl.mul(s_lane, 2.0), 1.0))
            s_cos = pl.cast(freqs_cos[0:T, s_f0 : s_f0 + ROPE_TILE], target_type=pl.FP32)
            s_sin = pl.cast(freqs_sin[0:T, s_f0 : s_f0 + ROPE_TILE], target_type=pl.FP32)
            rope_cos_il[0:T, s_c0 : s_c0 + ROPE_INTERLEAVE_TILE] = pl.gather(s_cos, dim=-1, index=s_pair_idx)
            rope_sin_signed[0:T, s_c0 : s_c0 + ROPE_INTERLEAVE_TILE] = pl.mul(
                pl.gather(s_sin, dim=-1, index=s_pair_idx), s_sign
            )

        attn_rope_stage_3d = pl.reshape(attn_rope_stage, [T, H, ROPE_DIM])
        for r_block in pl.spmd((H // ROPE_HEAD_TILE) * ROPE_TOK_BLOCKS, name_hint="rope"):
            r_heads = r_block // ROPE_TOK_BLOCKS
            r_t0 = (r_block - r_heads * ROPE_TOK_BLOCKS) * ROPE_OUT_TOK_TILE
            r_col = pl.col_expand_mul(
                pl.full([ROPE_OUT_TOK_TILE, ROPE_INTERLEAVE_TILE], dtype=pl.FP32, value=1.0),
                pl.cast(pl.arange(0, [1, ROPE_INTERLEAVE_TILE], dtype=pl.INT32), target_type=pl.FP32),
            )
            r_pair = pl.cast(pl.cast(pl.mul(r_col, 0.5), target_type=pl.INT32, mode="trunc"), target_type=pl.FP32)
            r_lane = pl.sub(r_col, pl.mul(r_pair, 2.0))
            r_swap_idx = pl.cast(pl.sub(pl.add(r_col, 1.0), pl.mul(r_lane, 2.0)), target_type=pl.INT32)  # j ^ 1
            for r_i in pl.range(0, ROPE_HEAD_TILE):
                r_h = r_heads * ROPE_HEAD_TILE + r_i
                r_g = r_h // HEADS_PER_GROUP
                r_out_col = (r_h - r_g * HEADS_PER_GROUP) * HEAD_DIM + NOPE_DIM
                r_out_row = r_g * T + r_t0
                for r_f0 in pl.range(0, HALF_ROPE, ROPE_TILE):
                    r_c0 = 2 * r_f0
                    r_x = pl.reshape(
                        attn_rope_stage_3d[
                            r_t0 : r_t0 + ROPE_OUT_TOK_TILE, r_h : r_h + 1, r_c0 : r_c0 + ROPE_INTERLEAVE_TILE
                        ],
                        [ROPE_OUT_TOK_TILE, ROPE_INTERLEAVE_TILE],
                    )
                    r_cos = rope_cos_il[r_t0 : r_t0 + ROPE_OUT_TOK_TILE, r_c0 : r_c0 + ROPE_INTERLEAVE_TILE]
                    r_sin = rope_sin_signed[r_t0 : r_t0 + ROPE_OUT_TOK_TILE, r_c0 : r_c0 + ROPE_INTERLEAVE_TILE]
                    r_swapped = pl.gather(r_x, dim=-1, index=r_swap_idx)
                    r_turned = pl.add(pl.mul(r_x, r_cos), pl.mul(r_swapped, r_sin))
                    r_bf16 = pl.cast(r_turned, target_type=pl.BF16, mode="rint")
                    r_pc = r_out_col + r_c0
                    o_packed[r_out_row : r_out_row + ROPE_OUT_TOK_TILE, r_pc : r_pc + ROPE_INTERLEAVE_TILE] = r_bf16

        # First projection, by group of heads. Each block also leaves the largest magnitude of its part of a row.
        o_r = pl.create_tensor([T, O_RANK], dtype=pl.FP32)
        o_r_amax_parts = pl.create_tensor([O_GROUPS * A_N_BLOCKS, T], dtype=pl.FP32)
        for p_block in pl.spmd(O_GROUPS * A_N_BLOCKS, name_hint="proj_a"):
            p_g = p_block // A_N_BLOCKS
            p_n0 = (p_block - p_g * A_N_BLOCKS) * A_N_TILE
            p_row0 = p_g * T
            p_out_col = p_g * O_LORA + p_n0
            p_x0 = o_packed[p_row0 : p_row0 + T, 0:A_K_TILE]
            p_w0 = wo_a[p_g : p_g + 1, p_n0 : p_n0 + A_N_TILE, 0:A_K_TILE]
            p_acc = pl.matmul(p_x0, p_w0, b_trans=True, out_dtype=pl.FP32)
            for p_kb in pl.pipeline(1, O_GROUP_IN // A_K_TILE, stage=2):
                p_k0 = p_kb * A_K_TILE
                p_x = o_packed[p_row0 : p_row0 + T, p_k0 : p_k0 + A_K_TILE]
                p_w = wo_a[p_g : p_g + 1, p_n0 : p_n0 + A_N_TILE, p_k0 : p_k0 + A_K_TILE]
                p_acc = pl.matmul_acc(p_acc, p_x, p_w, b_trans=True)
            p_acc_2d = pl.reshape(p_acc, [T, A_N_TILE])
            for p_t in pl.range(0, T, A_T_TILE):
                p_part = p_acc_2d[p_t : p_t + A_T_TILE, 0:A_N_TILE]
                o_r[p_t : p_t + A_T_TILE, p_out_col : p_out_col + A_N_TILE] = p_part
                p_amax = pl.reshape(pl.row_max(pl.maximum(p_part, pl.neg(p_part))), [1, A_T_TILE])
                o_r_amax_parts[p_block : p_block + 1, p_t : p_t + A_T_TILE] = p_amax

        # INT8 with one scale for each row; both halves of a row compute the scale.
        o_r_i8 = pl.create_tensor([T, O_RANK], dtype=pl.INT8)
        o_r_scale_dq = pl.create_tensor([T, 1], dtype=pl.FP32)
        for i_block in pl.spmd((T // QUANT_TOKEN_TILE) * QUANT_K_BLOCKS, name_hint="quant"):
            i_tok = i_block // QUANT_K_BLOCKS
            i_t0 = i_tok * QUANT_TOKEN_TILE
            i_k0 = (i_block - i_tok * QUANT_K_BLOCKS) * QUANT_K_TILE
            i_amax = pl.full([1, QUANT_TOKEN_TILE], dtype=pl.FP32, value=INT8_AMAX_EPS)
            for i_part in pl.range(0, O_GROUPS * A_N_BLOCKS):
                i_amax = pl.maximum(i_amax, o_r_amax_parts[i_part : i_part + 1, i_t0 : i_t0 + QUANT_TOKEN_TILE])
            i_scale = pl.div(pl.full([1, QUANT_TOKEN_TILE], dtype=pl.FP32, value=INT8_SCALE_MAX), i_amax)
            o_r_scale_dq[i_t0 : i_t0 + QUANT_TOKEN_TILE, 0:1] = pl.reshape(pl.recip(i_scale), [QUANT_TOKEN_TILE, 1])
            i_scale_col = pl.reshape(i_scale, [QUANT_TOKEN_TILE, 1])
            for i_k in pl.range(i_k0, i_k0 + QUANT_K_TILE, QUANT_TILE):
                i_x = pl.row_expand_mul(o_r[i_t0 : i_t0 + QUANT_TOKEN_TILE, i_k : i_k + QUANT_TILE], i_scale_col)
                # FP32 has no direct way to INT8: through INT32, which rounds, and FP16, which holds it exactly.
                i_int = pl.cast(i_x, target_type=pl.INT32, mode="rint")
                i_half = pl.cast(i_int, target_type=pl.FP16, mode="round")
                i_i8 = pl.cast(i_half, target_type=pl.INT8, mode="trunc")
                o_r_i8[i_t0 : i_t0 + QUANT_TOKEN_TILE, i_k : i_k + QUANT_TILE] = i_i8

        # Second projection; both vector cores of a block take half of the rows of what the cube hands over.
        for b_block in pl.spmd(D // B_N_TILE, name_hint="proj_b", optimizations=[pl.split(pl.SplitMode.UP_DOWN)]):
            b_n0 = b_block * B_N_TILE
            b_x0 = o_r_i8[0:T, 0:B_K_TILE]
            b_w0 = wo_b[b_n0 : b_n0 + B_N_TILE, 0:B_K_TILE]
            b_acc = pl.matmul(b_x0, b_w0, b_trans=True, out_dtype=pl.INT32)
            for b_kb in pl.pipeline(1, O_RANK // B_K_TILE, stage=2):
                b_k0 = b_kb * B_K_TILE
                b_x = o_r_i8[0:T, b_k0 : b_k0 + B_K_TILE]
                b_w = wo_b[b_n0 : b_n0 + B_N_TILE, b_k0 : b_k0 + B_K_TILE]
                b_acc = pl.matmul_acc(b_acc, b_x, b_w, b_trans=True)
            b_acc_2d = pl.reshape(b_acc, [T, B_N_TILE])
            b_scale_n = pl.reshape(wo_b_scale[b_n0 : b_n0 + B_N_TILE], [1, B_N_TILE])
            for b_t in pl.range(0, T, B_T_TILE):
                b_part = b_acc_2d[b_t : b_t + B_T_TILE, 0:B_N_TILE]
                b_scale_t = o_r_scale_dq[b_t : b_t + B_T_TILE, 0:1]
                b_y = pl.cast(b_part, target_type=pl.FP32, mode="none")
                b_y = pl.col_expand_mul(pl.row_expand_mul(b_y, b_scale_t), b_scale_n)
                attn_out[b_t : b_t + B_T_TILE, b_n0 : b_n0 + B_N_TILE] = pl.cast(b_y, target_type=pl.BF16, mode="rint")

    return attn_out


@pl.jit(auto_scope=False)
def prefill_sparse_attn_test(
    q: pl.Tensor[[T, H, HEAD_DIM], pl.BF16],
    ori_kv: pl.Tensor[[ORI_MAX_BLOCKS, BLOCK_SIZE, 1, HEAD_DIM], pl.BF16],
    ori_block_table: pl.Tensor[[ORI_MAX_BLOCKS], pl.INT32],
    kv_overlay: pl.Tensor[[T, HEAD_DIM], pl.BF16],
    cmp_kv: pl.Tensor[[CMP_MAX_BLOCKS, BLOCK_SIZE, 1, HEAD_DIM], pl.BF16],
    cmp_block_table: pl.Tensor[[CMP_MAX_BLOCKS], pl.INT32],
    cmp_sparse_indices: pl.Tensor[[T, TOPK], pl.INT32],
    cmp_sparse_lens: pl.Tensor[[T], pl.INT32],
    attn_sink: pl.Tensor[[H], pl.FP32],
    num_tokens: pl.Scalar[pl.INT32],
    freqs_cos: pl.Tensor[[T, ROPE_DIM], pl.BF16],
    freqs_sin: pl.Tensor[[T, ROPE_DIM], pl.BF16],
    wo_a: pl.Tensor[[O_GROUPS, O_LORA, O_GROUP_IN], pl.BF16],
    wo_b: pl.Tensor[[D, O_RANK], pl.INT8],
    wo_b_scale: pl.Tensor[[D], pl.FP32],
    attn_out: pl.Out[pl.Tensor[[T, D], pl.BF16]],
):
    """`prefill_sparse_attn` on its own."""
    # fmt: off
    prefill_sparse_attn(
        q, ori_kv, ori_block_table, kv_overlay, cmp_kv, cmp_block_table, cmp_sparse_indices, cmp_sparse_lens, attn_sink,
        num_tokens, freqs_cos, freqs_sin, wo_a, wo_b, wo_b_scale, attn_out,
    )
    # fmt: on
    return attn_out


if __name__ == "__main__":
    from prefill_sparse_attn_script import main

    main(prefill_sparse_attn_test, default_compress_ratio=DEFAULT_COMPRESS_RATIO)
