"""Attention of a decode layer with compression by 4 (CSA), between the two halves of its hyper-connection.

Besides the window a token sees the 512 compressed rows that the indexer scores highest.

Scopes: everything up to the list of rows lives in one scope, which holds what several of its parts read: the rotations
of the step, the normalised activations and the quantised query. Two scopes inside it free the mixed activations, and
the compressor's rotation and unused output. `sparse_attn` has scopes of its own. At the frame stays what is read after
the first scope: hc_post's weights, the rotations, q, kv and the list.
"""

from config import BLOCK_SIZE, C4A_COMPRESSOR_BLOCK_SIZE, DECODE_BATCH, DECODE_SEQ, FLASH
from decode_compressor_ratio4 import compressor_ratio4
from decode_indexer import indexer
from decode_sparse_attn import sparse_attn
from hc_post import hc_post
from hc_pre import hc_pre
from qkv_proj_rope import qkv_proj_rope
from rmsnorm import rms_norm

import pto_sim.language as pl

# model
B = DECODE_BATCH
S = DECODE_SEQ
T = B * S
D = FLASH.hidden_size
H = FLASH.num_attention_heads
HEAD_DIM = FLASH.head_dim
ROPE_DIM = FLASH.qk_rope_head_dim
HALF_ROPE = ROPE_DIM // 2
Q_LORA = FLASH.q_lora_rank
WIN = FLASH.sliding_window
HC_MULT = FLASH.hc_mult
MIX_HC = FLASH.mix_hc
HC_DIM = FLASH.hc_dim
MAX_SEQ_LEN = FLASH.max_position_embeddings
O_LORA = FLASH.o_lora_rank
O_GROUPS = FLASH.o_groups
O_GROUP_IN = H * HEAD_DIM // O_GROUPS
IDX_HEADS = FLASH.index_n_heads
IDX_DIM = FLASH.index_head_dim
IDX_TOPK = FLASH.index_topk

COMPRESS_RATIO = 4
SCORE_LEN = MAX_SEQ_LEN // COMPRESS_RATIO
SPARSE_TOPK = WIN + IDX_TOPK

# caches and states: pages of one batch
ORI_MAX_BLOCKS = 1
CMP_MAX_BLOCKS = 8
IDX_CACHE_MAX_BLOCKS = 64
STATE_MAX_BLOCKS = 65
STATE_PAGE = C4A_COMPRESSOR_BLOCK_SIZE
OUT_DIM = 2 * HEAD_DIM
STATE_DIM = 2 * OUT_DIM
INNER_OUT_DIM = 2 * IDX_DIM
INNER_STATE_DIM = 2 * INNER_OUT_DIM

# tiles
LIST_TILE = 2
GUARD_TILE = 16

assert T % LIST_TILE == 0


@pl.jit.inline(auto_scope=False)
def attention_csa(
    x_hc: pl.Tensor[[T, HC_MULT, D], pl.BF16],
    hc_attn_fn: pl.Tensor[[MIX_HC, HC_DIM], pl.FP32],
    hc_attn_scale: pl.Tensor[[3], pl.FP32],
    hc_attn_base: pl.Tensor[[MIX_HC], pl.FP32],
    attn_norm_w: pl.Tensor[[D], pl.BF16],
    wq_a: pl.Tensor[[D, Q_LORA], pl.BF16],
    wq_b: pl.Tensor[[Q_LORA, H * HEAD_DIM], pl.INT8],
    wq_b_scale: pl.Tensor[[H * HEAD_DIM], pl.FP32],
    wkv: pl.Tensor[[D, HEAD_DIM], pl.BF16],
    gamma_cq: pl.Tensor[[Q_LORA], pl.BF16],
    gamma_ckv: pl.Tensor[[HEAD_DIM], pl.BF16],
    freqs_cos: pl.Tensor[[MAX_SEQ_LEN, ROPE_DIM], pl.BF16],
    freqs_sin: pl.Tensor[[MAX_SEQ_LEN, ROPE_DIM], pl.BF16],
    cmp_wkv: pl.Tensor[[D, OUT_DIM], pl.BF16],
    cmp_wgate: pl.Tensor[[D, OUT_DIM], pl.BF16],
    cmp_ape: pl.Tensor[[COMPRESS_RATIO, OUT_DIM], pl.FP32],
    cmp_norm_w: pl.Tensor[[HEAD_DIM], pl.BF16],
    compress_state: pl.Tensor[[B * STATE_MAX_BLOCKS, STATE_PAGE, STATE_DIM], pl.FP32],
    compress_state_block_table: pl.Tensor[[B, STATE_MAX_BLOCKS], pl.INT32],
    idx_wq_b: pl.Tensor[[Q_LORA, IDX_HEADS * IDX_DIM], pl.INT8],
    idx_wq_b_scale: pl.Tensor[[IDX_HEADS * IDX_DIM], pl.FP32],
    weights_proj: pl.Tensor[[D, IDX_HEADS], pl.BF16],
    hadamard_idx: pl.Tensor[[IDX_DIM, IDX_DIM], pl.BF16],
    inner_wkv: pl.Tensor[[D, INNER_OUT_DIM], pl.BF16],
    inner_wgate: pl.Tensor[[D, INNER_OUT_DIM], pl.BF16],
    inner_ape: pl.Tensor[[COMPRESS_RATIO, INNER_OUT_DIM], pl.FP32],
    inner_norm_w: pl.Tensor[[IDX_DIM], pl.BF16],
    inner_compress_state: pl.Tensor[[B * STATE_MAX_BLOCKS, STATE_PAGE, INNER_STATE_DIM], pl.FP32],
    inner_compress_state_block_table: pl.Tensor[[B, STATE_MAX_BLOCKS], pl.INT32],
    kv_cache: pl.Tensor[[B * ORI_MAX_BLOCKS, BLOCK_SIZE, 1, HEAD_DIM], pl.BF16],
    ori_block_table: pl.Tensor[[B, ORI_MAX_BLOCKS], pl.INT32],
    cmp_kv: pl.Tensor[[B * CMP_MAX_BLOCKS, BLOCK_SIZE, 1, HEAD_DIM], pl.BF16],
    cmp_block_table: pl.Tensor[[B, CMP_MAX_BLOCKS], pl.INT32],
    idx_kv_cache: pl.Tensor[[B * IDX_CACHE_MAX_BLOCKS, BLOCK_SIZE, 1, IDX_DIM], pl.BF16],
    idx_block_table: pl.Tensor[[B, IDX_CACHE_MAX_BLOCKS], pl.INT32],
    ori_slot_mapping: pl.Tensor[[T], pl.INT64],
    cmp_slot_mapping: pl.Tensor[[T], pl.INT64],
    idx_slot_mapping: pl.Tensor[[T], pl.INT64],
    state_slot_mapping: pl.Tensor[[T], pl.INT64],
    inner_state_slot_mapping: pl.Tensor[[T], pl.INT64],
    position_ids: pl.Tensor[[T], pl.INT32],
    kv_seq_lens: pl.Tensor[[B], pl.INT32],
    attn_sink: pl.Tensor[[H], pl.FP32],
    wo_a: pl.Tensor[[O_GROUPS, O_LORA, O_GROUP_IN], pl.BF16],
    wo_b: pl.Tensor[[D, O_GROUPS * O_LORA], pl.INT8],
    wo_b_scale: pl.Tensor[[D], pl.FP32],
    x_out: pl.Tensor[[T, HC_MULT, D], pl.BF16],
):
    """One attention layer of a decode step.

    x_hc: the residual streams. hc_attn_*: the layer's gate, see `hc_pre`. attn_norm_w, wq_*, wkv, gamma_*: see
    `rms_norm` and `qkv_proj_rope`. freqs_cos, freqs_sin: rotations of every position. cmp_w*, cmp_ape, cmp_norm_w,
    compress_state, cmp_slot_mapping, state_slot_mapping: see `compressor_ratio4`. idx_wq_b, weights_proj, hadamard_idx,
    inner_*, idx_*: see `indexer`. kv_cache: the window, a ring of one page for each batch, found by ori_block_table;
    the step's rows are written to it at the end, to the rows that ori_slot_mapping names (-1: none). cmp_kv: compressed
    rows, found by cmp_block_table. position_ids: of every token. kv_seq_lens: tokens of each batch, this step included.
    attn_sink, wo_*: see `sparse_attn`. x_out: written.
    """
    post_t = pl.create_tensor([T, HC_MULT], dtype=pl.FP32)
    comb_t = pl.create_tensor([T, HC_MULT * HC_MULT], dtype=pl.FP32)
    rope_cos_t = pl.create_tensor([T, ROPE_DIM], dtype=pl.BF16)
    rope_sin_t = pl.create_tensor([T, ROPE_DIM], dtype=pl.BF16)
    q = pl.create_tensor([T, H, HEAD_DIM], dtype=pl.BF16)
    kv = pl.create_tensor([T, HEAD_DIM], dtype=pl.BF16)
    cmp_sparse_indices = pl.create_tensor([T, SPARSE_TOPK], dtype=pl.INT32)

    with pl.scope():
        x_normed_t = pl.create_tensor([T, D], dtype=pl.BF16)
        with pl.scope():
            x_mixed = pl.create_tensor([T, D], dtype=pl.BF16)
            hc_pre(x_hc, hc_attn_fn, hc_attn_scale, hc_attn_base, x_mixed, post_t, comb_t)
            rms_norm(x_mixed, attn_norm_w, x_normed_t)

        step_cos = pl.create_tensor([B, HALF_ROPE], dtype=pl.FP32)
        step_sin = pl.create_tensor([B, HALF_ROPE], dtype=pl.FP32)
        with pl.at(level=pl.Level.CORE_GROUP, name_hint="csa_rope_step"):
            for r_b in pl.range(B):
                r_first = pl.cast(pl.read(position_ids, [r_b * S]), pl.INDEX)
                for r_s in pl.range(S):
                    r_t = r_b * S + r_s
                    r_pos = pl.cast(pl.read(position_ids, [r_t]), pl.INDEX)
                    r_cos = pl.cast(freqs_cos[r_pos : r_pos + 1, 0:ROPE_DIM], target_type=pl.FP32)
                    r_sin = pl.cast(freqs_sin[r_pos : r_pos + 1, 0:ROPE_DIM], target_type=pl.FP32)
                    rope_cos_t[r_t : r_t + 1, 0:ROPE_DIM] = pl.cast(r_cos, target_type=pl.BF16, mode="rint")
                    rope_sin_t[r_t : r_t + 1, 0:ROPE_DIM] = pl.cast(r_sin, target_type=pl.BF16, mode="rint")
                r_step_cos = freqs_cos[r_first : r_first + 1, 0:HALF_ROPE]
                r_step_sin = freqs_sin[r_first : r_first + 1, 0:HALF_ROPE]
                step_cos[r_b : r_b + 1, 0:HALF_ROPE] = pl.cast(r_step_cos, target_type=pl.FP32)
                step_sin[r_b : r_b + 1, 0:HALF_ROPE] = pl.cast(r_step_sin, target_type=pl.FP32)

        qr = pl.create_tensor([T, Q_LORA], dtype=pl.INT8)
        qr_scale = pl.create_tensor([T, 1], dtype=pl.FP32)
        # fmt: off
        qkv_proj_rope(
            x_normed_t, wq_a, wq_b, wq_b_scale, wkv, rope_cos_t, rope_sin_t, gamma_cq, gamma_ckv, q, kv, qr, qr_scale,
        )
        # fmt: on

        x_normed_bsd = pl.reshape(x_normed_t, [B, S, D])
        position_ids_bsd = pl.reshape(position_ids, [B, S])
        with pl.scope():
            cmp_cos = pl.create_tensor([B, HALF_ROPE], dtype=pl.FP32)
            cmp_sin = pl.create_tensor([B, HALF_ROPE], dtype=pl.FP32)
            with pl.at(level=pl.Level.CORE_GROUP, name_hint="csa_cmp_rope"):
                for c_b in pl.range(B):
                    c_first = pl.read(position_ids, [c_b * S])
                    c_window = pl.cast(c_first - c_first % COMPRESS_RATIO, pl.INDEX)
                    c_cos = freqs_cos[c_window : c_window + 1, 0:HALF_ROPE]
                    c_sin = freqs_sin[c_window : c_window + 1, 0:HALF_ROPE]
                    cmp_cos[c_b : c_b + 1, 0:HALF_ROPE] = pl.cast(c_cos, target_type=pl.FP32)
                    cmp_sin[c_b : c_b + 1, 0:HALF_ROPE] = pl.cast(c_sin, target_type=pl.FP32)

            # The compressor's own output; attention reads the compressed cache.
            cmp_out = pl.create_tensor([B, S, HEAD_DIM], dtype=pl.FP32)  # pto-sim: ignore[PTO406] of the compressor
            cmp_slot_mapping_bsd = pl.reshape(cmp_slot_mapping, [B, S])
            state_slot_mapping_bsd = pl.reshape(state_slot_mapping, [B, S])
            # fmt: off
            compressor_ratio4(
                x_normed_bsd, cmp_out, compress_state, compress_state_block_table, cmp_wkv, cmp_wgate, cmp_ape,
                cmp_norm_w, cmp_cos, cmp_sin, cmp_kv, position_ids_bsd, cmp_slot_mapping_bsd, state_slot_mapping_bsd,
            )
            # fmt: on

        # The key as FP32, which nothing reads, and the scores, which the indexer alone reads.
        idx_kv_unused = pl.create_tensor([B, S, IDX_DIM], dtype=pl.FP32)  # pto-sim: ignore[PTO406] of the compressor
        idx_score_unused = pl.create_tensor([B, S, SCORE_LEN], dtype=pl.FP32)
        idx_topk_full = pl.create_tensor([B, S, SCORE_LEN], dtype=pl.INT32)
        idx_slot_mapping_bsd = pl.reshape(idx_slot_mapping, [B, S])
        inner_state_slot_mapping_bsd = pl.reshape(inner_state_slot_mapping, [B, S])
        # fmt: off
        indexer(
            x_normed_bsd, qr, qr_scale, idx_wq_b, idx_wq_b_scale, weights_proj, step_cos, step_sin, hadamard_idx,
            idx_kv_unused, inner_compress_state, inner_compress_state_block_table, inner_wkv, inner_wgate, inner_ape,
            inner_norm_w, idx_kv_cache, idx_block_table, idx_score_unused, idx_topk_full, position_ids_bsd,
            idx_slot_mapping_bsd, inner_state_slot_mapping_bsd, kv_seq_lens, WIN + S,
        )
        # fmt: on

        # A full window lists the ring's rows from the oldest on; before that, the rows so far. A row that a token of
        # this step is about to overwrite is taken from the step instead: it is not in the ring yet. The indexer scores
        # the rows of its batch for every token alike; those whose window a token has not reached are dropped here.
        idx_topk_flat = pl.reshape(idx_topk_full, [T, SCORE_LEN])
        for o_block in pl.spmd(T // LIST_TILE, name_hint="csa_sparse_idx_tile"):
            for o_i in pl.range(LIST_TILE):
                o_t = o_block * LIST_TILE + o_i
                o_b = o_t // S
                o_s = o_t - o_b * S
                o_pos = pl.read(position_ids, [o_t])
                if o_pos >= WIN - 1:
                    o_oldest = (o_pos % WIN) + 1
                    for o_k in pl.range(WIN):
                        o_row = (o_oldest + o_k) % WIN
                        o_out = o_row
                        for o_own in pl.range(S):
                            if o_own <= o_s:
                                o_own_pos = pl.read(position_ids, [o_b * S + o_own])
                                if o_row == o_own_pos % WIN:
                                    o_out = WIN + o_own
                        pl.write(cmp_sparse_indices, [o_t, o_k], pl.cast(o_out, pl.INT32))
                else:
                    for o_k in pl.range(WIN):
                        if o_k <= o_pos:
                            o_out = o_k
                            for o_own in pl.range(S):
                                if o_own <= o_s:
                                    o_own_pos = pl.read(position_ids, [o_b * S + o_own])
                                    if o_k == o_own_pos % WIN:
                                        o_out = WIN + o_own
                            pl.write(cmp_sparse_indices, [o_t, o_k], pl.cast(o_out, pl.INT32))
                        else:
                            pl.write(cmp_sparse_indices, [o_t, o_k], pl.cast(-1, pl.INT32))
                o_seen = pl.min((o_pos + 1) // COMPRESS_RATIO, pl.read(kv_seq_lens, [o_b]) // COMPRESS_RATIO)
                for o_c in pl.range(IDX_TOPK):
                    o_raw = pl.read(idx_topk_flat, [o_t, o_c])
                    if o_raw >= WIN + S:
                        if o_raw - (WIN + S) < o_seen:
                            pl.write(cmp_sparse_indices, [o_t, WIN + o_c], pl.cast(o_raw, pl.INT32))
                        else:
                            pl.write(cmp_sparse_indices, [o_t, WIN + o_c], pl.cast(-1, pl.INT32))
                    else:
                        pl.write(cmp_sparse_indices, [o_t, WIN + o_c], pl.cast(-1, pl.INT32))

    attn_out = pl.create_tensor([T, D], dtype=pl.BF16)
    # fmt: off
    sparse_attn(
        q, kv_cache, ori_block_table, kv, cmp_kv, cmp_block_table, cmp_sparse_indices, attn_sink, rope_cos_t,
        rope_sin_t, wo_a, wo_b, wo_b_scale, attn_out,
    )
    # fmt: on

    kv_cache_flat = pl.reshape(kv_cache, [B * ORI_MAX_BLOCKS * BLOCK_SIZE, HEAD_DIM])
    with pl.at(level=pl.Level.CORE_GROUP, name_hint="csa_cache_writeback"):
        # Writing a row back unchanged makes the ring an input too: the runtime then orders this task behind the
        # gather, which reads the ring and, for the same reason, writes one of its rows. Adding nothing of attn_out
        # orders it behind the whole of attention.
        w_touch = kv_cache_flat[0:1, 0:HEAD_DIM]
        kv_cache_flat[0:1, 0:HEAD_DIM] = w_touch
        for w_t in pl.range(T):
            w_row = pl.cast(pl.read(ori_slot_mapping, [w_t]), pl.INDEX)
            if w_row >= 0:
                w_guard = pl.cast(attn_out[w_t : w_t + 1, 0:GUARD_TILE], target_type=pl.FP32)
                w_head = pl.cast(kv[w_t : w_t + 1, 0:GUARD_TILE], target_type=pl.FP32)
                w_sum = pl.add(w_head, pl.mul(w_guard, 0.0))
                kv_cache_flat[w_row : w_row + 1, 0:GUARD_TILE] = pl.cast(w_sum, target_type=pl.BF16, mode="rint")
                kv_cache_flat[w_row : w_row + 1, GUARD_TILE:HEAD_DIM] = kv[w_t : w_t + 1, GUARD_TILE:HEAD_DIM]

    hc_post(attn_out, x_hc, post_t, comb_t, x_out)
    return x_out


@pl.jit(auto_scope=False)
def attention_csa_test(
    x_hc: pl.Tensor[[T, HC_MULT, D], pl.BF16],
    hc_attn_fn: pl.Tensor[[MIX_HC, HC_DIM], pl.FP32],
    hc_attn_scale: pl.Tensor[[3], pl.FP32],
    hc_attn_base: pl.Tensor[[MIX_HC], pl.FP32],
    attn_norm_w: pl.Tensor[[D], pl.BF16],
    wq_a: pl.Tensor[[D, Q_LORA], pl.BF16],
    wq_b: pl.Tensor[[Q_LORA, H * HEAD_DIM], pl.INT8],
    wq_b_scale: pl.Tensor[[H * HEAD_DIM], pl.FP32],
    wkv: pl.Tensor[[D, HEAD_DIM], pl.BF16],
    gamma_cq: pl.Tensor[[Q_LORA], pl.BF16],
    gamma_ckv: pl.Tensor[[HEAD_DIM], pl.BF16],
    freqs_cos: pl.Tensor[[MAX_SEQ_LEN, ROPE_DIM], pl.BF16],
    freqs_sin: pl.Tensor[[MAX_SEQ_LEN, ROPE_DIM], pl.BF16],
    cmp_wkv: pl.Tensor[[D, OUT_DIM], pl.BF16],
    cmp_wgate: pl.Tensor[[D, OUT_DIM], pl.BF16],
    cmp_ape: pl.Tensor[[COMPRESS_RATIO, OUT_DIM], pl.FP32],
    cmp_norm_w: pl.Tensor[[HEAD_DIM], pl.BF16],
    compress_state: pl.InOut[pl.Tensor[[B * STATE_MAX_BLOCKS, STATE_PAGE, STATE_DIM], pl.FP32]],
    compress_state_block_table: pl.Tensor[[B, STATE_MAX_BLOCKS], pl.INT32],
    idx_wq_b: pl.Tensor[[Q_LORA, IDX_HEADS * IDX_DIM], pl.INT8],
    idx_wq_b_scale: pl.Tensor[[IDX_HEADS * IDX_DIM], pl.FP32],
    weights_proj: pl.Tensor[[D, IDX_HEADS], pl.BF16],
    hadamard_idx: pl.Tensor[[IDX_DIM, IDX_DIM], pl.BF16],
    inner_wkv: pl.Tensor[[D, INNER_OUT_DIM], pl.BF16],
    inner_wgate: pl.Tensor[[D, INNER_OUT_DIM], pl.BF16],
    inner_ape: pl.Tensor[[COMPRESS_RATIO, INNER_OUT_DIM], pl.FP32],
    inner_norm_w: pl.Tensor[[IDX_DIM], pl.BF16],
    inner_compress_state: pl.InOut[pl.Tensor[[B * STATE_MAX_BLOCKS, STATE_PAGE, INNER_STATE_DIM], pl.FP32]],
    inner_compress_state_block_table: pl.Tensor[[B, STATE_MAX_BLOCKS], pl.INT32],
    kv_cache: pl.InOut[pl.Tensor[[B * ORI_MAX_BLOCKS, BLOCK_SIZE, 1, HEAD_DIM], pl.BF16]],
    ori_block_table: pl.Tensor[[B, ORI_MAX_BLOCKS], pl.INT32],
    cmp_kv: pl.InOut[pl.Tensor[[B * CMP_MAX_BLOCKS, BLOCK_SIZE, 1, HEAD_DIM], pl.BF16]],
    cmp_block_table: pl.Tensor[[B, CMP_MAX_BLOCKS], pl.INT32],
    idx_kv_cache: pl.InOut[pl.Tensor[[B * IDX_CACHE_MAX_BLOCKS, BLOCK_SIZE, 1, IDX_DIM], pl.BF16]],
    idx_block_table: pl.Tensor[[B, IDX_CACHE_MAX_BLOCKS], pl.INT32],
    ori_slot_mapping: pl.Tensor[[T], pl.INT64],
    cmp_slot_mapping: pl.Tensor[[T], pl.INT64],
    idx_slot_mapping: pl.Tensor[[T], pl.INT64],
    state_slot_mapping: pl.Tensor[[T], pl.INT64],
    inner_state_slot_mapping: pl.Tensor[[T], pl.INT64],
    position_ids: pl.Tensor[[T], pl.INT32],
    kv_seq_lens: pl.Tensor[[B], pl.INT32],
    attn_sink: pl.Tensor[[H], pl.FP32],
    wo_a: pl.Tensor[[O_GROUPS, O_LORA, O_GROUP_IN], pl.BF16],
    wo_b: pl.Tensor[[D, O_GROUPS * O_LORA], pl.INT8],
    wo_b_scale: pl.Tensor[[D], pl.FP32],
    x_out: pl.Out[pl.Tensor[[T, HC_MULT, D], pl.BF16]],
):
    """`attention_csa` on its own."""
    # fmt: off
    attention_csa(
        x_hc, hc_attn_fn, hc_attn_scale, hc_attn_base, attn_norm_w, wq_a, wq_b, wq_b_scale, wkv, gamma_cq,
        gamma_ckv, freqs_cos, freqs_sin, cmp_wkv, cmp_wgate, cmp_ape, cmp_norm_w, compress_state,
        compress_state_block_table, idx_wq_b, idx_wq_b_scale, weights_proj, hadamard_idx, inner_wkv,
        inner_wgate, inner_ape, inner_norm_w, inner_compress_state, inner_compress_state_block_table, kv_cache,
        ori_block_table, cmp_kv, cmp_block_table, idx_kv_cache, idx_block_table, ori_slot_mapping,
        cmp_slot_mapping, idx_slot_mapping, state_slot_mapping, inner_state_slot_mapping, position_ids,
        kv_seq_lens, attn_sink, wo_a, wo_b, wo_b_scale, x_out,
    )
    # fmt: on
    return x_out


if __name__ == "__main__":
    from decode_attention_script import main

    main(attention_csa_test, kind="csa")
