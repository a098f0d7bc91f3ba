"""Attention of a prefill layer that compresses by 128 (HCA), between the two halves of its hyper-connection.

One run of one request: its tokens attend to the window before the run, which is in the ring, to one another, and to
every compressed row whose window of 128 positions ends at or before them. The rows are given by the caller.

Scopes: everything up to the compressed rows lives in one scope, so the mixed and normalised activations, the quantised
query and the compressor's scratch are freed before attention runs; `prefill_sparse_attn` has scopes of its own. At the
frame stays what is read after the first scope: hc_post's weights, the rotations, q and kv.
"""

from config import BLOCK_SIZE, C128_COMPRESSOR_BLOCK_SIZE, FLASH, PREFILL_BATCH, PREFILL_SEQ
from hc_post import hc_post
from hc_pre import hc_pre
from prefill_compressor_ratio128 import prefill_compressor_ratio128
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
COMPRESS_RATIO = 128

# caches and state: pages of the request, and the width of a token's list of rows
SPARSE_TOPK = WIN + FLASH.index_topk
ORI_BLOCKS = (PREFILL_SEQ + BLOCK_SIZE - 1) // BLOCK_SIZE
PREFILL_MAX_COMPRESSED = max(1, min(FLASH.index_topk, WIN + WIN // 2))
CMP_BLOCKS = (PREFILL_MAX_COMPRESSED + BLOCK_SIZE - 1) // BLOCK_SIZE
STATE_PAGE = C128_COMPRESSOR_BLOCK_SIZE
STATE_BLOCKS = (MAX_SEQ_LEN + STATE_PAGE - 1) // STATE_PAGE

assert WIN == ORI_BLOCKS * BLOCK_SIZE and T <= WIN, "the ring is one page, and a run does not overtake itself in it"


@pl.jit.inline(auto_scope=False)
def prefill_attention_hca(
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
    cmp_kv_state: pl.Tensor[[STATE_BLOCKS, STATE_PAGE, HEAD_DIM], pl.FP32],
    cmp_score_state: pl.Tensor[[STATE_BLOCKS, STATE_PAGE, HEAD_DIM], pl.FP32],
    compress_state_block_table: pl.Tensor[[STATE_BLOCKS], pl.INT32],
    kv_cache: pl.Tensor[[ORI_BLOCKS, BLOCK_SIZE, 1, HEAD_DIM], pl.BF16],
    ori_slot_mapping: pl.Tensor[[T], pl.INT64],
    ori_block_table: pl.Tensor[[ORI_BLOCKS], pl.INT32],
    cmp_kv: pl.Tensor[[CMP_BLOCKS, BLOCK_SIZE, 1, HEAD_DIM], pl.BF16],
    cmp_block_table: pl.Tensor[[CMP_BLOCKS], pl.INT32],
    cmp_sparse_indices: pl.Tensor[[T, SPARSE_TOPK], pl.INT32],
    cmp_sparse_lens: pl.Tensor[[T], pl.INT32],
    position_ids: pl.Tensor[[T], pl.INT32],
    cmp_slot_mapping: pl.Tensor[[T], pl.INT64],
    state_slot_mapping: pl.Tensor[[T], pl.INT64],
    attn_sink: pl.Tensor[[H], pl.FP32],
    wo_a: pl.Tensor[[O_GROUPS, O_LORA, O_GROUP_IN], pl.BF16],
    wo_b: pl.Tensor[[D, O_GROUPS * O_LORA], pl.INT8],
    wo_b_scale: pl.Tensor[[D], pl.FP32],
    x_out: pl.Tensor[[T, HC_MULT, D], pl.BF16],
    num_tokens: pl.Scalar[pl.INT32],
):
    """One attention layer of a prefill run.

    x_hc: the residual streams. hc_attn_*: the layer's gate, see `hc_pre`. attn_norm_w, wq_*, wkv, gamma_*: see
    `rms_norm` and `qkv_proj_rope`. freqs_cos, freqs_sin: rotations of every position. cmp_w*, cmp_ape, cmp_norm_w,
    cmp_*_state, compress_state_block_table, cmp_slot_mapping, state_slot_mapping: see `prefill_compressor_ratio128`.
    kv_cache: the window, a ring of one page, found by ori_block_table; the run's rows are written to it at the end, to
    the rows that ori_slot_mapping names (-1: none). cmp_kv: compressed rows, found by cmp_block_table; the run's own
    are written before attention reads them. cmp_sparse_indices, cmp_sparse_lens: rows that each token attends to, see
    `prefill_sparse_attn`. position_ids: of every token. attn_sink, wo_*: see there. x_out: written, the next streams.
    num_tokens: tokens that are not padding.
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
        prefill_compressor_ratio128(
            x_normed, cmp_kv_state, cmp_score_state, compress_state_block_table, cmp_wkv, cmp_wgate, cmp_ape,
            cmp_norm_w, freqs_cos, freqs_sin, cmp_kv, position_ids, num_tokens, cmp_slot_mapping, state_slot_mapping,
        )
        # fmt: on

    attn_out = pl.create_tensor([T, D], dtype=pl.BF16)
    # fmt: off
    prefill_sparse_attn(
        q, kv_cache, ori_block_table, kv, cmp_kv, cmp_block_table, cmp_sparse_indices, cmp_sparse_lens, attn_sink,
        num_tokens, rope_cos_t, rope_sin_t, wo_a, wo_b, wo_b_scale, attn_out,
    )
    # fmt: on

    kv_cache_flat = pl.reshape(kv_cache, [ORI_BLOCKS * BLOCK_SIZE, HEAD_DIM])
    with pl.at(level=pl.Level.CORE_GROUP, name_hint="prefill_hca_cache_writeback"):
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
    return x_out


@pl.jit(auto_scope=False)
def prefill_attention_hca_test(
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
    cmp_kv_state: pl.InOut[pl.Tensor[[STATE_BLOCKS, STATE_PAGE, HEAD_DIM], pl.FP32]],
    cmp_score_state: pl.InOut[pl.Tensor[[STATE_BLOCKS, STATE_PAGE, HEAD_DIM], pl.FP32]],
    compress_state_block_table: pl.Tensor[[STATE_BLOCKS], pl.INT32],
    kv_cache: pl.InOut[pl.Tensor[[ORI_BLOCKS, BLOCK_SIZE, 1, HEAD_DIM], pl.BF16]],
    ori_slot_mapping: pl.Tensor[[T], pl.INT64],
    ori_block_table: pl.Tensor[[ORI_BLOCKS], pl.INT32],
    cmp_kv: pl.InOut[pl.Tensor[[CMP_BLOCKS, BLOCK_SIZE, 1, HEAD_DIM], pl.BF16]],
    cmp_block_table: pl.Tensor[[CMP_BLOCKS], pl.INT32],
    cmp_sparse_indices: pl.Tensor[[T, SPARSE_TOPK], pl.INT32],
    cmp_sparse_lens: pl.Tensor[[T], pl.INT32],
    position_ids: pl.Tensor[[T], pl.INT32],
    cmp_slot_mapping: pl.Tensor[[T], pl.INT64],
    state_slot_mapping: pl.Tensor[[T], pl.INT64],
    attn_sink: pl.Tensor[[H], pl.FP32],
    wo_a: pl.Tensor[[O_GROUPS, O_LORA, O_GROUP_IN], pl.BF16],
    wo_b: pl.Tensor[[D, O_GROUPS * O_LORA], pl.INT8],
    wo_b_scale: pl.Tensor[[D], pl.FP32],
    x_out: pl.Out[pl.Tensor[[T, HC_MULT, D], pl.BF16]],
    num_tokens: pl.Scalar[pl.INT32],
):
    """`prefill_attention_hca` on its own."""
    # fmt: off
    prefill_attention_hca(
        x_hc, hc_attn_fn, hc_attn_scale, hc_attn_base, attn_norm_w, wq_a, wq_b, wq_b_scale, wkv, gamma_cq, gamma_ckv,
        freqs_cos, freqs_sin, cmp_wkv, cmp_wgate, cmp_ape, cmp_norm_w, cmp_kv_state, cmp_score_state,
        compress_state_block_table, kv_cache, ori_slot_mapping, ori_block_table, cmp_kv, cmp_block_table,
        cmp_sparse_indices, cmp_sparse_lens, position_ids, cmp_slot_mapping, state_slot_mapping, attn_sink, wo_a, wo_b,
        wo_b_scale, x_out, num_tokens,
    )
    # fmt: on
    return x_out


if __name__ == "__main__":
    from prefill_attention_script import main

    main(prefill_attention_hca_test, kind="hca")
