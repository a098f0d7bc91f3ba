"""Attention of a decode layer with compression by 128 (HCA), between the two halves of its hyper-connection.

Besides the window a token sees every compressed row before it: at most 64 of them, so nothing has to choose.

Scopes: everything up to the list of rows lives in one scope, so the mixed and normalised activations, the quantised
query, the compressor's rotation and its unused output are freed before attention runs; `sparse_attn_hca` has scopes of
its own. At the frame stays what is read after the first scope: hc_post's weights, the rotations, q, kv and the list.
"""

from config import BLOCK_SIZE, C128_COMPRESSOR_BLOCK_SIZE, DECODE_BATCH, DECODE_SEQ, FLASH
from decode_compressor_ratio128 import compressor_ratio128
from decode_sparse_attn_hca import sparse_attn_hca
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

COMPRESS_RATIO = 128
CMP_LIMIT = min(MAX_SEQ_LEN // COMPRESS_RATIO, FLASH.index_topk)  # compressed rows that a token may see
TOPK = WIN + CMP_LIMIT

# caches and state: pages of one batch
ORI_MAX_BLOCKS = 1
CMP_MAX_BLOCKS = 8
STATE_MAX_BLOCKS = 64
STATE_PAGE = C128_COMPRESSOR_BLOCK_SIZE
STATE_DIM = 2 * HEAD_DIM


@pl.jit.inline(auto_scope=False)
def attention_hca(
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
    cmp_wkv: pl.Tensor[[D, HEAD_DIM], pl.BF16],
    cmp_wgate: pl.Tensor[[D, HEAD_DIM], pl.BF16],
    cmp_ape: pl.Tensor[[COMPRESS_RATIO, HEAD_DIM], pl.FP32],
    cmp_norm_w: pl.Tensor[[HEAD_DIM], pl.BF16],
    compress_state: pl.Tensor[[B * STATE_MAX_BLOCKS, STATE_PAGE, STATE_DIM], pl.FP32],
    compress_state_block_table: pl.Tensor[[B, STATE_MAX_BLOCKS], pl.INT32],
    kv_cache: pl.Tensor[[B * ORI_MAX_BLOCKS, BLOCK_SIZE, 1, HEAD_DIM], pl.BF16],
    ori_block_table: pl.Tensor[[B, ORI_MAX_BLOCKS], pl.INT32],
    cmp_kv: pl.Tensor[[B * CMP_MAX_BLOCKS, BLOCK_SIZE, 1, HEAD_DIM], pl.BF16],
    cmp_block_table: pl.Tensor[[B, CMP_MAX_BLOCKS], pl.INT32],
    ori_slot_mapping: pl.Tensor[[T], pl.INT64],
    cmp_slot_mapping: pl.Tensor[[T], pl.INT64],
    state_slot_mapping: pl.Tensor[[T], pl.INT64],
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
    compress_state, cmp_slot_mapping, state_slot_mapping: see `compressor_ratio128`. kv_cache: the window, a ring of one
    page for each batch, found by ori_block_table; the step's rows are written to it at the end, to the rows that
    ori_slot_mapping names (-1: none). cmp_kv: compressed rows, found by cmp_block_table. position_ids: of every token.
    kv_seq_lens: tokens of each batch, this step included. attn_sink, wo_*: see `sparse_attn_hca`. x_out: written.
    """
    post_t = pl.create_tensor([T, HC_MULT], dtype=pl.FP32)
    comb_t = pl.create_tensor([T, HC_MULT * HC_MULT], dtype=pl.FP32)
    rope_cos_t = pl.create_tensor([T, ROPE_DIM], dtype=pl.BF16)
    rope_sin_t = pl.create_tensor([T, ROPE_DIM], dtype=pl.BF16)
    q = pl.create_tensor([T, H, HEAD_DIM], dtype=pl.BF16)
    kv = pl.create_tensor([T, HEAD_DIM], dtype=pl.BF16)
    topk_all = pl.create_tensor([T, TOPK], dtype=pl.INT32)

    with pl.scope():
        x_mixed = pl.create_tensor([T, D], dtype=pl.BF16)
        hc_pre(x_hc, hc_attn_fn, hc_attn_scale, hc_attn_base, x_mixed, post_t, comb_t)

        cmp_cos = pl.create_tensor([B, HALF_ROPE], dtype=pl.FP32)
        cmp_sin = pl.create_tensor([B, HALF_ROPE], dtype=pl.FP32)
        with pl.at(level=pl.Level.CORE_GROUP, name_hint="hca_rope"):
            for r_b in pl.range(B):
                r_first = pl.read(position_ids, [r_b * S])
                r_window = pl.cast(r_first - r_first % COMPRESS_RATIO, pl.INDEX)
                r_cmp_cos = freqs_cos[r_window : r_window + 1, 0:HALF_ROPE]
                r_cmp_sin = freqs_sin[r_window : r_window + 1, 0:HALF_ROPE]
                cmp_cos[r_b : r_b + 1, 0:HALF_ROPE] = pl.cast(r_cmp_cos, target_type=pl.FP32)
                cmp_sin[r_b : r_b + 1, 0:HALF_ROPE] = pl.cast(r_cmp_sin, target_type=pl.FP32)
                for r_s in pl.range(S):
                    r_t = r_b * S + r_s
                    r_pos = pl.cast(pl.read(position_ids, [r_t]), pl.INDEX)
                    r_cos = pl.cast(freqs_cos[r_pos : r_pos + 1, 0:ROPE_DIM], target_type=pl.FP32)
                    r_sin = pl.cast(freqs_sin[r_pos : r_pos + 1, 0:ROPE_DIM], target_type=pl.FP32)
                    rope_cos_t[r_t : r_t + 1, 0:ROPE_DIM] = pl.cast(r_cos, target_type=pl.BF16, mode="rint")
                    rope_sin_t[r_t : r_t + 1, 0:ROPE_DIM] = pl.cast(r_sin, target_type=pl.BF16, mode="rint")

        x_normed_t = pl.create_tensor([T, D], dtype=pl.BF16)
        rms_norm(x_mixed, attn_norm_w, x_normed_t)
        qr = pl.create_tensor([T, Q_LORA], dtype=pl.INT8)
        qr_scale = pl.create_tensor([T, 1], dtype=pl.FP32)
        # fmt: off
        qkv_proj_rope(
            x_normed_t, wq_a, wq_b, wq_b_scale, wkv, rope_cos_t, rope_sin_t, gamma_cq, gamma_ckv, q, kv, qr, qr_scale,
        )
        # fmt: on

        x_normed_bsd = pl.reshape(x_normed_t, [B, S, D])
        # The compressor's own output; attention reads the compressed cache.
        cmp_kv_proj = pl.create_tensor([B, S, HEAD_DIM], dtype=pl.FP32)  # pto-sim: ignore[PTO406] of the compressor
        position_ids_bsd = pl.reshape(position_ids, [B, S])
        cmp_slot_mapping_bsd = pl.reshape(cmp_slot_mapping, [B, S])
        state_slot_mapping_bsd = pl.reshape(state_slot_mapping, [B, S])
        # fmt: off
        compressor_ratio128(
            x_normed_bsd, cmp_kv_proj, compress_state, compress_state_block_table, cmp_wkv, cmp_wgate, cmp_ape,
            cmp_norm_w, cmp_cos, cmp_sin, cmp_kv, position_ids_bsd, cmp_slot_mapping_bsd, state_slot_mapping_bsd,
        )
        # fmt: on

        # A full window lists the ring's rows from the oldest on; before that, the rows so far. A row that a token of
        # this step is about to overwrite is taken from the step instead: it is not in the ring yet.
        with pl.at(level=pl.Level.CORE_GROUP, name_hint="hca_overlay_topk"):
            for o_b in pl.range(B):
                for o_s in pl.range(S):
                    o_t = o_b * S + o_s
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
                            pl.write(topk_all, [o_t, o_k], pl.cast(o_out, pl.INT32))
                    else:
                        for o_k in pl.range(WIN):
                            if o_k <= o_pos:
                                o_out = o_k
                                for o_own in pl.range(S):
                                    if o_own <= o_s:
                                        o_own_pos = pl.read(position_ids, [o_b * S + o_own])
                                        if o_k == o_own_pos % WIN:
                                            o_out = WIN + o_own
                                pl.write(topk_all, [o_t, o_k], pl.cast(o_out, pl.INT32))
                            else:
                                pl.write(topk_all, [o_t, o_k], pl.cast(-1, pl.INT32))
                    o_seen = pl.min((o_pos + 1) // COMPRESS_RATIO, pl.read(kv_seq_lens, [o_b]) // COMPRESS_RATIO)
                    o_count = pl.min(CMP_LIMIT, o_seen)
                    for o_c in pl.range(CMP_LIMIT):
                        if o_c < o_count:
                            pl.write(topk_all, [o_t, WIN + o_c], pl.cast(WIN + S + o_c, pl.INT32))
                        else:
                            pl.write(topk_all, [o_t, WIN + o_c], pl.cast(-1, pl.INT32))

    attn_out = pl.create_tensor([T, D], dtype=pl.BF16)
    # fmt: off
    sparse_attn_hca(
        q, kv_cache, ori_block_table, kv, cmp_kv, cmp_block_table, topk_all, attn_sink, rope_cos_t, rope_sin_t,
        wo_a, wo_b, wo_b_scale, attn_out,
    )
    # fmt: on

    kv_cache_flat = pl.reshape(kv_cache, [B * ORI_MAX_BLOCKS * BLOCK_SIZE, HEAD_DIM])
    with pl.at(level=pl.Level.CORE_GROUP, name_hint="hca_cache_writeback"):
        # Writing a row back unchanged makes the ring an input too: the runtime then orders this task behind the
        # gather, which reads the ring and, for the same reason, writes one of its rows.
        w_touch = kv_cache_flat[0:1, 0:HEAD_DIM]
        kv_cache_flat[0:1, 0:HEAD_DIM] = w_touch
        for w_t in pl.range(T):
            w_row = pl.cast(pl.read(ori_slot_mapping, [w_t]), pl.INDEX)
            if w_row >= 0:
                kv_cache_flat[w_row : w_row + 1, 0:HEAD_DIM] = kv[w_t : w_t + 1, 0:HEAD_DIM]

    hc_post(attn_out, x_hc, post_t, comb_t, x_out)
    return x_out


@pl.jit(auto_scope=False)
def attention_hca_test(
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
    cmp_wkv: pl.Tensor[[D, HEAD_DIM], pl.BF16],
    cmp_wgate: pl.Tensor[[D, HEAD_DIM], pl.BF16],
    cmp_ape: pl.Tensor[[COMPRESS_RATIO, HEAD_DIM], pl.FP32],
    cmp_norm_w: pl.Tensor[[HEAD_DIM], pl.BF16],
    compress_state: pl.InOut[pl.Tensor[[B * STATE_MAX_BLOCKS, STATE_PAGE, STATE_DIM], pl.FP32]],
    compress_state_block_table: pl.Tensor[[B, STATE_MAX_BLOCKS], pl.INT32],
    kv_cache: pl.InOut[pl.Tensor[[B * ORI_MAX_BLOCKS, BLOCK_SIZE, 1, HEAD_DIM], pl.BF16]],
    ori_block_table: pl.Tensor[[B, ORI_MAX_BLOCKS], pl.INT32],
    cmp_kv: pl.InOut[pl.Tensor[[B * CMP_MAX_BLOCKS, BLOCK_SIZE, 1, HEAD_DIM], pl.BF16]],
    cmp_block_table: pl.Tensor[[B, CMP_MAX_BLOCKS], pl.INT32],
    ori_slot_mapping: pl.Tensor[[T], pl.INT64],
    cmp_slot_mapping: pl.Tensor[[T], pl.INT64],
    state_slot_mapping: pl.Tensor[[T], pl.INT64],
    position_ids: pl.Tensor[[T], pl.INT32],
    kv_seq_lens: pl.Tensor[[B], pl.INT32],
    attn_sink: pl.Tensor[[H], pl.FP32],
    wo_a: pl.Tensor[[O_GROUPS, O_LORA, O_GROUP_IN], pl.BF16],
    wo_b: pl.Tensor[[D, O_GROUPS * O_LORA], pl.INT8],
    wo_b_scale: pl.Tensor[[D], pl.FP32],
    x_out: pl.Out[pl.Tensor[[T, HC_MULT, D], pl.BF16]],
):
    """`attention_hca` on its own."""
    # fmt: off
    attention_hca(
        x_hc, hc_attn_fn, hc_attn_scale, hc_attn_base, attn_norm_w, wq_a, wq_b, wq_b_scale, wkv, gamma_cq, gamma_ckv,
        freqs_cos, freqs_sin, cmp_wkv, cmp_wgate, cmp_ape, cmp_norm_w, compress_state, compress_state_block_table,
        kv_cache, ori_block_table, cmp_kv, cmp_block_table, ori_slot_mapping, cmp_slot_mapping, state_slot_mapping,
        position_ids, kv_seq_lens, attn_sink, wo_a, wo_b, wo_b_scale, x_out,
    )
    # fmt: on
    return x_out


if __name__ == "__main__":
    from decode_attention_script import main

    main(attention_hca_test, kind="hca")
