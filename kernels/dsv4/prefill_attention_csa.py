"""Attention of a prefill layer that compresses by 4 (CSA), between the two halves of its hyper-connection.

One run at the start of a request: its tokens attend to the window before the run, which is in the ring, to one another,
and to the compressed rows that the indexer chooses for each of them.

Scopes: what leads to the projections lives in one scope, and in it a scope of its own frees the mixed streams as soon
as they are normalised. Compressor and indexer stay at the frame, because they write caches and states that this
function returns; with them what they read: the normalised activations and the quantised query. `prefill_sparse_attn`
has scopes of its own.
"""

from config import BLOCK_SIZE, C4A_COMPRESSOR_BLOCK_SIZE, FLASH, PREFILL_BATCH, PREFILL_SEQ
from hc_post import hc_post
from hc_pre import hc_pre
from prefill_compressor_ratio4 import prefill_compressor_ratio4
from prefill_indexer import prefill_indexer
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

# compressors: two windows take part in a row
COMPRESS_RATIO = 4
OUT_DIM = 2 * HEAD_DIM
INNER_OUT_DIM = 2 * IDX_DIM

# caches and states: pages of the request, and the width of a token's list of rows
SPARSE_TOPK = WIN + IDX_TOPK
ORI_BLOCKS = (PREFILL_SEQ + BLOCK_SIZE - 1) // BLOCK_SIZE
PREFILL_MAX_COMPRESSED = max(1, min(IDX_TOPK, WIN + WIN // 2))
CMP_BLOCKS = (PREFILL_MAX_COMPRESSED + BLOCK_SIZE - 1) // BLOCK_SIZE
INDEXER_SCORE_CAP = CMP_BLOCKS * BLOCK_SIZE
STATE_PAGE = C4A_COMPRESSOR_BLOCK_SIZE
STATE_BLOCKS = (MAX_SEQ_LEN + STATE_PAGE - 1) // STATE_PAGE

# tiles
LIST_TILE = 2

assert WIN == ORI_BLOCKS * BLOCK_SIZE and T <= WIN, "the ring is one page, and a run does not overtake itself in it"
assert T % LIST_TILE == 0 and INDEXER_SCORE_CAP <= IDX_TOPK


@pl.jit.inline(auto_scope=False)
def prefill_attention_csa(
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
    cmp_kv_state: pl.Tensor[[STATE_BLOCKS, STATE_PAGE, OUT_DIM], pl.FP32],
    cmp_score_state: pl.Tensor[[STATE_BLOCKS, STATE_PAGE, OUT_DIM], pl.FP32],
    compress_state_block_table: pl.Tensor[[STATE_BLOCKS], pl.INT32],
    hadamard_idx: pl.Tensor[[IDX_DIM, IDX_DIM], pl.BF16],
    idx_wq_b: pl.Tensor[[Q_LORA, IDX_HEADS * IDX_DIM], pl.INT8],
    idx_wq_b_scale: pl.Tensor[[IDX_HEADS * IDX_DIM], pl.FP32],
    idx_weights_proj: pl.Tensor[[D, IDX_HEADS], pl.BF16],
    inner_wkv: pl.Tensor[[D, INNER_OUT_DIM], pl.BF16],
    inner_wgate: pl.Tensor[[D, INNER_OUT_DIM], pl.BF16],
    inner_ape: pl.Tensor[[COMPRESS_RATIO, INNER_OUT_DIM], pl.FP32],
    inner_norm_w: pl.Tensor[[IDX_DIM], pl.BF16],
    inner_kv_state: pl.Tensor[[STATE_BLOCKS, STATE_PAGE, INNER_OUT_DIM], pl.FP32],
    inner_score_state: pl.Tensor[[STATE_BLOCKS, STATE_PAGE, INNER_OUT_DIM], pl.FP32],
    inner_compress_state_block_table: pl.Tensor[[STATE_BLOCKS], pl.INT32],
    kv_cache: pl.Tensor[[ORI_BLOCKS, BLOCK_SIZE, 1, HEAD_DIM], pl.BF16],
    ori_block_table: pl.Tensor[[ORI_BLOCKS], pl.INT32],
    ori_slot_mapping: pl.Tensor[[T], pl.INT64],
    cmp_kv: pl.Tensor[[CMP_BLOCKS, BLOCK_SIZE, 1, HEAD_DIM], pl.BF16],
    cmp_block_table: pl.Tensor[[CMP_BLOCKS], pl.INT32],
    idx_kv_cache: pl.Tensor[[CMP_BLOCKS, BLOCK_SIZE, 1, IDX_DIM], pl.BF16],
    idx_block_table: pl.Tensor[[CMP_BLOCKS], pl.INT32],
    position_ids: pl.Tensor[[T], pl.INT32],
    cmp_slot_mapping: pl.Tensor[[T], pl.INT64],
    idx_slot_mapping: pl.Tensor[[T], pl.INT64],
    state_slot_mapping: pl.Tensor[[T], pl.INT64],
    inner_state_slot_mapping: pl.Tensor[[T], pl.INT64],
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
    cmp_*_state, compress_state_block_table, cmp_slot_mapping, state_slot_mapping: see `prefill_compressor_ratio4`.
    idx_*, hadamard_idx, inner_*: see `prefill_indexer`. kv_cache: the window, a ring of one page, found by
    ori_block_table; the run's rows are written to it at the end, to the rows that ori_slot_mapping names (-1: none).
    cmp_kv: compressed rows, found by cmp_block_table; the run's own are written before attention reads them.
    position_ids: of every token, rising. attn_sink, wo_*: see `prefill_sparse_attn`. x_out: written, the next streams.
    num_tokens: tokens that are not padding.
    """
    post = pl.create_tensor([T, HC_MULT], dtype=pl.FP32)
    comb = pl.create_tensor([T, HC_MULT * HC_MULT], dtype=pl.FP32)
    rope_cos_t = pl.create_tensor([T, ROPE_DIM], dtype=pl.BF16)
    rope_sin_t = pl.create_tensor([T, ROPE_DIM], dtype=pl.BF16)
    x_normed = pl.create_tensor([T, D], dtype=pl.BF16)
    q = pl.create_tensor([T, H, HEAD_DIM], dtype=pl.BF16)
    kv = pl.create_tensor([T, HEAD_DIM], dtype=pl.BF16)
    qr = pl.create_tensor([T, Q_LORA], dtype=pl.INT8)
    qr_scale = pl.create_tensor([T, 1], dtype=pl.FP32)

    with pl.scope():
        with pl.scope():
            x_mixed = pl.create_tensor([T, D], dtype=pl.BF16)
            hc_pre(x_hc, hc_attn_fn, hc_attn_scale, hc_attn_base, x_mixed, post, comb)
            rms_norm(x_mixed, attn_norm_w, x_normed)
        materialize_rope_rows(freqs_cos, freqs_sin, position_ids, num_tokens, rope_cos_t, rope_sin_t)
        # fmt: off
        qkv_proj_rope(
            x_normed, wq_a, wq_b, wq_b_scale, wkv, rope_cos_t, rope_sin_t, gamma_cq, gamma_ckv, q, kv, qr, qr_scale,
        )
        # fmt: on

    # fmt: off
    prefill_compressor_ratio4(
        x_normed, cmp_kv_state, cmp_score_state, compress_state_block_table, cmp_wkv, cmp_wgate, cmp_ape, cmp_norm_w,
        freqs_cos, freqs_sin, cmp_kv, position_ids, num_tokens, cmp_slot_mapping, state_slot_mapping,
    )
    # fmt: on

    # The indexer turns its queries in FP32 and reads each angle once.
    idx_cos = pl.create_tensor([T, HALF_ROPE], dtype=pl.FP32)
    idx_sin = pl.create_tensor([T, HALF_ROPE], dtype=pl.FP32)
    with pl.at(level=pl.Level.CORE_GROUP, name_hint="prefill_csa_idx_halfrope"):
        for r_t in pl.range(T):
            r_pos = pl.cast(pl.read(position_ids, [r_t]), pl.INDEX)
            r_cos = freqs_cos[r_pos : r_pos + 1, 0:HALF_ROPE]
            r_sin = freqs_sin[r_pos : r_pos + 1, 0:HALF_ROPE]
            idx_cos[r_t : r_t + 1, 0:HALF_ROPE] = pl.cast(r_cos, target_type=pl.FP32)
            idx_sin[r_t : r_t + 1, 0:HALF_ROPE] = pl.cast(r_sin, target_type=pl.FP32)

    cmp_topk_indices = pl.create_tensor([T, IDX_TOPK], dtype=pl.INT32)
    # The scores, which the indexer alone reads.
    idx_score_unused = pl.create_tensor(  # pto-sim: ignore[PTO406] of the indexer
        [T, INDEXER_SCORE_CAP], dtype=pl.FP32
    )
    # fmt: off
    prefill_indexer(
        x_normed, qr, qr_scale, idx_wq_b, idx_wq_b_scale, idx_weights_proj, idx_cos, idx_sin, freqs_cos, freqs_sin,
        hadamard_idx, inner_kv_state, inner_score_state, inner_compress_state_block_table, inner_wkv, inner_wgate,
        inner_ape, inner_norm_w, idx_kv_cache, idx_block_table, idx_score_unused, cmp_topk_indices, position_ids,
        num_tokens, idx_slot_mapping, inner_state_slot_mapping,
    )
    # fmt: on

    # Every list is padded with -1, so its whole width can count as its length.
    cmp_sparse_lens_2d = pl.create_tensor([1, T], dtype=pl.INT32)
    with pl.at(level=pl.Level.CORE_GROUP, name_hint="prefill_csa_sparse_lens"):
        cmp_sparse_lens_2d[0:1, 0:T] = pl.full([1, T], dtype=pl.INT32, value=SPARSE_TOPK)
    cmp_sparse_lens = pl.reshape(cmp_sparse_lens_2d, [T])

    # A list has the rows of the last WIN positions, oldest first, then the indexer's. A position is a row of the ring,
    # but those of this run are not in it yet: they are taken from the run.
    cmp_sparse_work = pl.create_tensor([T, SPARSE_TOPK], dtype=pl.INT32)
    for o_block in pl.spmd(T // LIST_TILE, name_hint="prefill_csa_sparse_idx_tile"):
        for o_i in pl.range(LIST_TILE):
            o_t = o_block * LIST_TILE + o_i
            o_list = pl.full([1, SPARSE_TOPK], dtype=pl.INT32, value=-1)
            if o_t < num_tokens:
                o_pos = pl.read(position_ids, [o_t])
                o_count = pl.min(WIN, o_pos + 1)
                o_oldest = o_pos + 1 - o_count
                for o_k in pl.range(o_count):
                    pl.write(o_list, [0, o_k], pl.cast((o_oldest + o_k) % WIN, pl.INT32))
                for o_own in pl.range(o_t + 1):
                    o_own_pos = pl.read(position_ids, [o_own])
                    if o_own_pos >= o_oldest:
                        pl.write(o_list, [0, pl.cast(o_own_pos - o_oldest, pl.INDEX)], pl.cast(WIN + o_own, pl.INT32))
                o_seen = pl.min(INDEXER_SCORE_CAP, (o_pos + 1) // COMPRESS_RATIO)
                for o_c in pl.range(o_seen):
                    o_raw = pl.read(cmp_topk_indices, [o_t, o_c])
                    if o_raw >= WIN + T:
                        pl.write(o_list, [0, o_count + o_c], o_raw)
            cmp_sparse_work[o_t : o_t + 1, 0:SPARSE_TOPK] = o_list

    attn_out = pl.create_tensor([T, D], dtype=pl.BF16)
    # fmt: off
    prefill_sparse_attn(
        q, kv_cache, ori_block_table, kv, cmp_kv, cmp_block_table, cmp_sparse_work, cmp_sparse_lens, attn_sink,
        num_tokens, rope_cos_t, rope_sin_t, wo_a, wo_b, wo_b_scale, attn_out,
    )
    # fmt: on

    kv_cache_flat = pl.reshape(kv_cache, [ORI_BLOCKS * BLOCK_SIZE, HEAD_DIM])
    with pl.at(level=pl.Level.CORE_GROUP, name_hint="prefill_csa_cache_writeback"):
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
    return kv_cache, cmp_kv, cmp_kv_state, cmp_score_state, idx_kv_cache, inner_kv_state, inner_score_state, x_out


@pl.jit(auto_scope=False)
def prefill_attention_csa_test(
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
    cmp_kv_state: pl.InOut[pl.Tensor[[STATE_BLOCKS, STATE_PAGE, OUT_DIM], pl.FP32]],
    cmp_score_state: pl.InOut[pl.Tensor[[STATE_BLOCKS, STATE_PAGE, OUT_DIM], pl.FP32]],
    compress_state_block_table: pl.Tensor[[STATE_BLOCKS], pl.INT32],
    hadamard_idx: pl.Tensor[[IDX_DIM, IDX_DIM], pl.BF16],
    idx_wq_b: pl.Tensor[[Q_LORA, IDX_HEADS * IDX_DIM], pl.INT8],
    idx_wq_b_scale: pl.Tensor[[IDX_HEADS * IDX_DIM], pl.FP32],
    idx_weights_proj: pl.Tensor[[D, IDX_HEADS], pl.BF16],
    inner_wkv: pl.Tensor[[D, INNER_OUT_DIM], pl.BF16],
    inner_wgate: pl.Tensor[[D, INNER_OUT_DIM], pl.BF16],
    inner_ape: pl.Tensor[[COMPRESS_RATIO, INNER_OUT_DIM], pl.FP32],
    inner_norm_w: pl.Tensor[[IDX_DIM], pl.BF16],
    inner_kv_state: pl.InOut[pl.Tensor[[STATE_BLOCKS, STATE_PAGE, INNER_OUT_DIM], pl.FP32]],
    inner_score_state: pl.InOut[pl.Tensor[[STATE_BLOCKS, STATE_PAGE, INNER_OUT_DIM], pl.FP32]],
    inner_compress_state_block_table: pl.Tensor[[STATE_BLOCKS], pl.INT32],
    kv_cache: pl.InOut[pl.Tensor[[ORI_BLOCKS, BLOCK_SIZE, 1, HEAD_DIM], pl.BF16]],
    ori_block_table: pl.Tensor[[ORI_BLOCKS], pl.INT32],
    ori_slot_mapping: pl.Tensor[[T], pl.INT64],
    cmp_kv: pl.InOut[pl.Tensor[[CMP_BLOCKS, BLOCK_SIZE, 1, HEAD_DIM], pl.BF16]],
    cmp_block_table: pl.Tensor[[CMP_BLOCKS], pl.INT32],
    idx_kv_cache: pl.InOut[pl.Tensor[[CMP_BLOCKS, BLOCK_SIZE, 1, IDX_DIM], pl.BF16]],
    idx_block_table: pl.Tensor[[CMP_BLOCKS], pl.INT32],
    position_ids: pl.Tensor[[T], pl.INT32],
    cmp_slot_mapping: pl.Tensor[[T], pl.INT64],
    idx_slot_mapping: pl.Tensor[[T], pl.INT64],
    state_slot_mapping: pl.Tensor[[T], pl.INT64],
    inner_state_slot_mapping: pl.Tensor[[T], pl.INT64],
    attn_sink: pl.Tensor[[H], pl.FP32],
    wo_a: pl.Tensor[[O_GROUPS, O_LORA, O_GROUP_IN], pl.BF16],
    wo_b: pl.Tensor[[D, O_GROUPS * O_LORA], pl.INT8],
    wo_b_scale: pl.Tensor[[D], pl.FP32],
    x_out: pl.Out[pl.Tensor[[T, HC_MULT, D], pl.BF16]],
    num_tokens: pl.Scalar[pl.INT32],
):
    """`prefill_attention_csa` on its own."""
    # fmt: off
    prefill_attention_csa(
        x_hc, hc_attn_fn, hc_attn_scale, hc_attn_base, attn_norm_w, wq_a, wq_b, wq_b_scale, wkv, gamma_cq, gamma_ckv,
        freqs_cos, freqs_sin, cmp_wkv, cmp_wgate, cmp_ape, cmp_norm_w, cmp_kv_state, cmp_score_state,
        compress_state_block_table, hadamard_idx, idx_wq_b, idx_wq_b_scale, idx_weights_proj, inner_wkv, inner_wgate,
        inner_ape, inner_norm_w, inner_kv_state, inner_score_state, inner_compress_state_block_table, kv_cache,
        ori_block_table, ori_slot_mapping, cmp_kv, cmp_block_table, idx_kv_cache, idx_block_table, position_ids,
        cmp_slot_mapping, idx_slot_mapping, state_slot_mapping, inner_state_slot_mapping, attn_sink, wo_a, wo_b,
        wo_b_scale, x_out, num_tokens,
    )
    # fmt: on
    return kv_cache, cmp_kv, cmp_kv_state, cmp_score_state, idx_kv_cache, inner_kv_state, inner_score_state, x_out


if __name__ == "__main__":
    from prefill_attention_script import main

    main(prefill_attention_csa_test, kind="csa")
