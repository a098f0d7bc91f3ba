"""Attention of a prefill layer without compression (ratio 0, SWA), between the two halves of its hyper-connection.

One run of one request: its tokens attend to the window before the run, which is in the ring, and to one another. The
rows are given by the caller.

Scopes: everything up to the projections lives in one scope, so the mixed and normalised activations and the quantised
query are freed before attention runs; `prefill_sparse_attn` has scopes of its own. At the frame stays what is read
after the first scope: hc_post's weights, the rotations, q and kv.
"""

from config import BLOCK_SIZE, FLASH, PREFILL_BATCH, PREFILL_SEQ
from hc_post import hc_post
from hc_pre import hc_pre
from prefill_sparse_attn import prefill_sparse_attn
from qkv_proj_rope import materialize_rope_rows, qkv_proj_rope
from rmsnorm import rms_norm

import pto_sim.language as pl

# model
T = PREFILL_BATCH * PREFILL_SEQ
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

# caches: pages of the request, and the width of a token's list of rows
SPARSE_TOPK = WIN + FLASH.index_topk
ORI_BLOCKS = (PREFILL_SEQ + BLOCK_SIZE - 1) // BLOCK_SIZE
PREFILL_MAX_COMPRESSED = max(1, min(FLASH.index_topk, WIN + WIN // 2))
CMP_BLOCKS = (PREFILL_MAX_COMPRESSED + BLOCK_SIZE - 1) // BLOCK_SIZE

assert WIN == ORI_BLOCKS * BLOCK_SIZE and T <= WIN, "the ring is one page, and a run does not overtake itself in it"


@pl.jit.inline(auto_scope=False)
def prefill_attention_swa(
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
    kv_cache: pl.Tensor[[ORI_BLOCKS, BLOCK_SIZE, 1, HEAD_DIM], pl.BF16],
    block_table: pl.Tensor[[ORI_BLOCKS], pl.INT32],
    ori_slot_mapping: pl.Tensor[[T], pl.INT64],
    cmp_sparse_indices: pl.Tensor[[T, SPARSE_TOPK], pl.INT32],
    cmp_sparse_lens: pl.Tensor[[T], pl.INT32],
    position_ids: pl.Tensor[[T], pl.INT32],
    attn_sink: pl.Tensor[[H], pl.FP32],
    wo_a: pl.Tensor[[O_GROUPS, O_LORA, O_GROUP_IN], pl.BF16],
    wo_b: pl.Tensor[[D, O_GROUPS * O_LORA], pl.INT8],
    wo_b_scale: pl.Tensor[[D], pl.FP32],
    x_out: pl.Tensor[[T, HC_MULT, D], pl.BF16],
    num_tokens: pl.Scalar[pl.INT32],
):
    """One attention layer of a prefill run.

    x_hc: the residual streams. hc_attn_*: the layer's gate, see `hc_pre`. attn_norm_w, wq_*, wkv, gamma_*: see
    `rms_norm` and `qkv_proj_rope`. freqs_cos, freqs_sin: rotations of every position. kv_cache: the window, a ring of
    one page, found by block_table; the run's rows are written to it at the end, to the rows that ori_slot_mapping
    names (-1: none). cmp_sparse_indices, cmp_sparse_lens: rows that each token attends to, see `prefill_sparse_attn`;
    none of them is a compressed row. position_ids: of every token. attn_sink, wo_*: see there. x_out: written, the
    next streams. num_tokens: tokens that are not padding.
    """
    post = pl.create_tensor([T, HC_MULT], dtype=pl.FP32)
    comb = pl.create_tensor([T, HC_MULT * HC_MULT], dtype=pl.FP32)
    rope_cos_t = pl.create_tensor([T, ROPE_DIM], dtype=pl.BF16)
    rope_sin_t = pl.create_tensor([T, ROPE_DIM], dtype=pl.BF16)
    q = pl.create_tensor([T, H, HEAD_DIM], dtype=pl.BF16)
    kv = pl.create_tensor([T, HEAD_DIM], dtype=pl.BF16)

    with pl.scope():
        x_mixed = pl.create_tensor([T, D], dtype=pl.BF16)
        hc_pre(x_hc, hc_attn_fn, hc_attn_scale, hc_attn_base, x_mixed, post, comb)
        x_normed = pl.create_tensor([T, D], dtype=pl.BF16)
        rms_norm(x_mixed, attn_norm_w, x_normed)
        materialize_rope_rows(freqs_cos, freqs_sin, position_ids, num_tokens, rope_cos_t, rope_sin_t)
        qr = pl.create_tensor([T, Q_LORA], dtype=pl.INT8)
        qr_scale = pl.create_tensor([T, 1], dtype=pl.FP32)
        # fmt: off
        qkv_proj_rope(
            x_normed, wq_a, wq_b, wq_b_scale, wkv, rope_cos_t, rope_sin_t, gamma_cq, gamma_ckv, q, kv, qr, qr_scale,
        )
        # fmt: on

    # This layer compresses nothing. The attention has compressed rows and their table as parameters all the same.
    cmp_block_table_dummy = pl.create_tensor(  # pto-sim: ignore[PTO406] no list names a compressed row
        [CMP_BLOCKS], dtype=pl.INT32
    )
    with pl.at(level=pl.Level.CORE_GROUP, name_hint="prefill_swa_dummy_cmp_table"):
        for d_page in pl.range(CMP_BLOCKS):
            pl.write(cmp_block_table_dummy, [d_page], pl.cast(0, pl.INT32))
    cmp_kv_dummy = pl.create_tensor(  # pto-sim: ignore[PTO405] no list names a compressed row
        [CMP_BLOCKS, BLOCK_SIZE, 1, HEAD_DIM], dtype=pl.BF16
    )
    attn_out = pl.create_tensor([T, D], dtype=pl.BF16)
    # fmt: off
    prefill_sparse_attn(
        q, kv_cache, block_table, kv, cmp_kv_dummy, cmp_block_table_dummy, cmp_sparse_indices, cmp_sparse_lens,
        attn_sink, num_tokens, rope_cos_t, rope_sin_t, wo_a, wo_b, wo_b_scale, attn_out,
    )
    # fmt: on

    kv_cache_flat = pl.reshape(kv_cache, [ORI_BLOCKS * BLOCK_SIZE, HEAD_DIM])
    with pl.at(level=pl.Level.CORE_GROUP, name_hint="prefill_swa_cache_writeback"):
        # Writing a row back unchanged makes the ring an input too: the runtime then orders this task behind the
        # gather, which reads the ring and, for the same reason, writes rows of it.
        w_touch = kv_cache_flat[0:1, 0:HEAD_DIM]
        kv_cache_flat[0:1, 0:HEAD_DIM] = w_touch
        for w_t in pl.range(T):
            if w_t < num_tokens:
                w_row = pl.cast(pl.read(ori_slot_mapping, [w_t]), pl.INDEX)
                if w_row >= 0:
                    kv_cache_flat[w_row : w_row + 1, 0:HEAD_DIM] = kv[w_t : w_t + 1, 0:HEAD_DIM]

    hc_post(attn_out, x_hc, post, comb, x_out)
    return kv_cache, x_out


@pl.jit(auto_scope=False)
def prefill_attention_swa_test(
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
    kv_cache: pl.InOut[pl.Tensor[[ORI_BLOCKS, BLOCK_SIZE, 1, HEAD_DIM], pl.BF16]],
    block_table: pl.Tensor[[ORI_BLOCKS], pl.INT32],
    ori_slot_mapping: pl.Tensor[[T], pl.INT64],
    cmp_sparse_indices: pl.Tensor[[T, SPARSE_TOPK], pl.INT32],
    cmp_sparse_lens: pl.Tensor[[T], pl.INT32],
    position_ids: pl.Tensor[[T], pl.INT32],
    attn_sink: pl.Tensor[[H], pl.FP32],
    wo_a: pl.Tensor[[O_GROUPS, O_LORA, O_GROUP_IN], pl.BF16],
    wo_b: pl.Tensor[[D, O_GROUPS * O_LORA], pl.INT8],
    wo_b_scale: pl.Tensor[[D], pl.FP32],
    x_out: pl.Out[pl.Tensor[[T, HC_MULT, D], pl.BF16]],
    num_tokens: pl.Scalar[pl.INT32],
):
    """`prefill_attention_swa` on its own."""
    # fmt: off
    prefill_attention_swa(
        x_hc, hc_attn_fn, hc_attn_scale, hc_attn_base, attn_norm_w, wq_a, wq_b, wq_b_scale, wkv, gamma_cq, gamma_ckv,
        freqs_cos, freqs_sin, kv_cache, block_table, ori_slot_mapping, cmp_sparse_indices, cmp_sparse_lens,
        position_ids, attn_sink, wo_a, wo_b, wo_b_scale, x_out, num_tokens,
    )
    # fmt: on
    return kv_cache, x_out


if __name__ == "__main__":
    from prefill_attention_script import main

    main(prefill_attention_swa_test, kind="swa")
