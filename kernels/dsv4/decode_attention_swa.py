"""Attention of a decode layer without compression (ratio 0, SWA), between the two halves of its hyper-connection.

Scopes: everything up to the list of rows lives in one scope, so the mixed and normalised activations and the quantised
query are freed before attention runs; `sparse_attn_swa` has scopes of its own. At the frame stays what is read after
the first scope: hc_post's weights, the rotations, q, kv and the list of rows.
"""

from config import BLOCK_SIZE, DECODE_BATCH, DECODE_SEQ, FLASH
from decode_sparse_attn_swa import sparse_attn_swa
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
Q_LORA = FLASH.q_lora_rank
WIN = FLASH.sliding_window
HC_MULT = FLASH.hc_mult
MIX_HC = FLASH.mix_hc
HC_DIM = FLASH.hc_dim
MAX_SEQ_LEN = FLASH.max_position_embeddings
O_LORA = FLASH.o_lora_rank
O_GROUPS = FLASH.o_groups
O_GROUP_IN = H * HEAD_DIM // O_GROUPS

# caches: pages of one batch
ORI_MAX_BLOCKS = 1
CMP_MAX_BLOCKS = 8


@pl.jit.inline(auto_scope=False)
def attention_swa(
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
    kv_cache: pl.Tensor[[B * ORI_MAX_BLOCKS, BLOCK_SIZE, 1, HEAD_DIM], pl.BF16],
    block_table: pl.Tensor[[B, ORI_MAX_BLOCKS], pl.INT32],
    ori_slot_mapping: pl.Tensor[[T], pl.INT64],
    position_ids: pl.Tensor[[T], pl.INT32],
    cmp_kv: pl.Tensor[[B * CMP_MAX_BLOCKS, BLOCK_SIZE, 1, HEAD_DIM], pl.BF16],
    cmp_block_table: pl.Tensor[[B, CMP_MAX_BLOCKS], pl.INT32],
    attn_sink: pl.Tensor[[H], pl.FP32],
    wo_a: pl.Tensor[[O_GROUPS, O_LORA, O_GROUP_IN], pl.BF16],
    wo_b: pl.Tensor[[D, O_GROUPS * O_LORA], pl.INT8],
    wo_b_scale: pl.Tensor[[D], pl.FP32],
    x_out: pl.Tensor[[T, HC_MULT, D], pl.BF16],
):
    """One attention layer of a decode step.

    x_hc: the residual streams. hc_attn_*: the layer's gate, see `hc_pre`. attn_norm_w, wq_*, wkv, gamma_*: see
    `rms_norm` and `qkv_proj_rope`. freqs_cos, freqs_sin: rotations of every position. kv_cache: the window, a ring of
    one page for each batch, found by block_table; the step's rows are written to it at the end, to the rows that
    ori_slot_mapping names (-1: none). position_ids: of every token. cmp_kv, cmp_block_table: not read, as this layer
    compresses nothing; `sparse_attn_swa` has them as parameters. attn_sink, wo_*: see there. x_out: written, the next
    streams.
    """
    post_t = pl.create_tensor([T, HC_MULT], dtype=pl.FP32)
    comb_t = pl.create_tensor([T, HC_MULT * HC_MULT], dtype=pl.FP32)
    rope_cos_t = pl.create_tensor([T, ROPE_DIM], dtype=pl.BF16)
    rope_sin_t = pl.create_tensor([T, ROPE_DIM], dtype=pl.BF16)
    q = pl.create_tensor([T, H, HEAD_DIM], dtype=pl.BF16)
    kv = pl.create_tensor([T, HEAD_DIM], dtype=pl.BF16)
    sparse_topk = pl.create_tensor([T, WIN], dtype=pl.INT32)

    with pl.scope():
        x_mixed = pl.create_tensor([T, D], dtype=pl.BF16)
        hc_pre(x_hc, hc_attn_fn, hc_attn_scale, hc_attn_base, x_mixed, post_t, comb_t)

        with pl.at(level=pl.Level.CORE_GROUP, name_hint="swa_rope_step"):
            for r_b in pl.parallel(B):
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

        # A full window lists the ring's rows from the oldest on; before that, the rows so far. A row that a token of
        # this step is about to overwrite is taken from the step instead: it is not in the ring yet.
        with pl.at(level=pl.Level.CORE_GROUP, name_hint="swa_overlay_topk"):
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
                            pl.write(sparse_topk, [o_t, o_k], pl.cast(o_out, pl.INT32))
                    else:
                        for o_k in pl.range(WIN):
                            if o_k <= o_pos:
                                o_out = o_k
                                for o_own in pl.range(S):
                                    if o_own <= o_s:
                                        o_own_pos = pl.read(position_ids, [o_b * S + o_own])
                                        if o_k == o_own_pos % WIN:
                                            o_out = WIN + o_own
                                pl.write(sparse_topk, [o_t, o_k], pl.cast(o_out, pl.INT32))
                            else:
                                pl.write(sparse_topk, [o_t, o_k], pl.cast(-1, pl.INT32))

    attn_out = pl.create_tensor([T, D], dtype=pl.BF16)
    # fmt: off
    sparse_attn_swa(
        q, kv_cache, block_table, kv, cmp_kv, cmp_block_table, sparse_topk, attn_sink, rope_cos_t, rope_sin_t,
        wo_a, wo_b, wo_b_scale, attn_out,
    )
    # fmt: on

    kv_cache_flat = pl.reshape(kv_cache, [B * ORI_MAX_BLOCKS * BLOCK_SIZE, HEAD_DIM])
    with pl.at(level=pl.Level.CORE_GROUP, name_hint="swa_cache_writeback"):
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
def attention_swa_test(
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
    kv_cache: pl.InOut[pl.Tensor[[B * ORI_MAX_BLOCKS, BLOCK_SIZE, 1, HEAD_DIM], pl.BF16]],
    block_table: pl.Tensor[[B, ORI_MAX_BLOCKS], pl.INT32],
    ori_slot_mapping: pl.Tensor[[T], pl.INT64],
    position_ids: pl.Tensor[[T], pl.INT32],
    cmp_kv: pl.Tensor[[B * CMP_MAX_BLOCKS, BLOCK_SIZE, 1, HEAD_DIM], pl.BF16],
    cmp_block_table: pl.Tensor[[B, CMP_MAX_BLOCKS], pl.INT32],
    attn_sink: pl.Tensor[[H], pl.FP32],
    wo_a: pl.Tensor[[O_GROUPS, O_LORA, O_GROUP_IN], pl.BF16],
    wo_b: pl.Tensor[[D, O_GROUPS * O_LORA], pl.INT8],
    wo_b_scale: pl.Tensor[[D], pl.FP32],
    x_out: pl.Out[pl.Tensor[[T, HC_MULT, D], pl.BF16]],
):
    """`attention_swa` on its own."""
    # fmt: off
    attention_swa(
        x_hc, hc_attn_fn, hc_attn_scale, hc_attn_base, attn_norm_w, wq_a, wq_b, wq_b_scale, wkv, gamma_cq, gamma_ckv,
        freqs_cos, freqs_sin, kv_cache, block_table, ori_slot_mapping, position_ids, cmp_kv, cmp_block_table, attn_sink,
        wo_a, wo_b, wo_b_scale, x_out,
    )
    # fmt: on
    return x_out


if __name__ == "__main__":
    from decode_attention_script import main

    main(attention_swa_test, kind="swa")
