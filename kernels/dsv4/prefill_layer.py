"""One prefill layer on one card: attention of the kind that the layer has, then the mixture of experts.

Layers 0 and 1 attend to the window alone (SWA); later ones compress by 4 (even, CSA) or by 128 (odd, HCA). All kinds'
parameters are passed, and those of the others are not touched. Padding takes part in the experts: what it gets there is
nobody's, and no token sees it.

Scopes: attention and experts have one each, so that the scratch of one is freed before the other runs. At the frame
stays what passes between them.
"""

from config import (
    BLOCK_SIZE,
    C4A_COMPRESSOR_BLOCK_SIZE,
    C128_COMPRESSOR_BLOCK_SIZE,
    DECODE_TOKENS,
    EP_WORLD_SIZE,
    FLASH,
    PREFILL_BATCH,
    PREFILL_SEQ,
)
from moe import moe_ep1
from prefill_attention_csa import prefill_attention_csa
from prefill_attention_hca import prefill_attention_hca
from prefill_attention_swa import prefill_attention_swa

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
IDX_HEADS = FLASH.index_n_heads
IDX_DIM = FLASH.index_head_dim
IDX_TOPK = FLASH.index_topk
TOPK = FLASH.num_experts_per_tok
VOCAB = FLASH.vocab_size
MOE_INTER = FLASH.moe_intermediate_size
N_LOCAL = FLASH.n_routed_experts // EP_WORLD_SIZE

# caches and states: pages of the request, and the width of a token's list of rows
SPARSE_TOPK = WIN + IDX_TOPK
ORI_BLOCKS = (PREFILL_SEQ + BLOCK_SIZE - 1) // BLOCK_SIZE
PREFILL_MAX_COMPRESSED = max(1, min(IDX_TOPK, WIN + WIN // 2))
CMP_BLOCKS = (PREFILL_MAX_COMPRESSED + BLOCK_SIZE - 1) // BLOCK_SIZE
HCA_RATIO = 128
HCA_STATE_PAGE = C128_COMPRESSOR_BLOCK_SIZE
HCA_STATE_BLOCKS = (MAX_SEQ_LEN + HCA_STATE_PAGE - 1) // HCA_STATE_PAGE
CSA_RATIO = 4
CSA_STATE_PAGE = C4A_COMPRESSOR_BLOCK_SIZE
CSA_STATE_BLOCKS = (MAX_SEQ_LEN + CSA_STATE_PAGE - 1) // CSA_STATE_PAGE
CSA_OUT_DIM = 2 * HEAD_DIM
INNER_OUT_DIM = 2 * IDX_DIM

assert T == DECODE_TOKENS, "the experts take as many tokens as a decode step has"


@pl.jit(auto_scope=False)
def prefill_layer(
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
    hca_cmp_wkv: pl.Tensor[[D, HEAD_DIM], pl.BF16],
    hca_cmp_wgate: pl.Tensor[[D, HEAD_DIM], pl.BF16],
    hca_cmp_ape: pl.Tensor[[HCA_RATIO, HEAD_DIM], pl.FP32],
    hca_cmp_norm_w: pl.Tensor[[HEAD_DIM], pl.BF16],
    hca_cmp_kv_state: pl.InOut[pl.Tensor[[HCA_STATE_BLOCKS, HCA_STATE_PAGE, HEAD_DIM], pl.FP32]],
    hca_cmp_score_state: pl.InOut[pl.Tensor[[HCA_STATE_BLOCKS, HCA_STATE_PAGE, HEAD_DIM], pl.FP32]],
    hca_compress_state_block_table: pl.Tensor[[HCA_STATE_BLOCKS], pl.INT32],
    csa_cmp_wkv: pl.Tensor[[D, CSA_OUT_DIM], pl.BF16],
    csa_cmp_wgate: pl.Tensor[[D, CSA_OUT_DIM], pl.BF16],
    csa_cmp_ape: pl.Tensor[[CSA_RATIO, CSA_OUT_DIM], pl.FP32],
    csa_cmp_norm_w: pl.Tensor[[HEAD_DIM], pl.BF16],
    csa_cmp_kv_state: pl.InOut[pl.Tensor[[CSA_STATE_BLOCKS, CSA_STATE_PAGE, CSA_OUT_DIM], pl.FP32]],
    csa_cmp_score_state: pl.InOut[pl.Tensor[[CSA_STATE_BLOCKS, CSA_STATE_PAGE, CSA_OUT_DIM], pl.FP32]],
    csa_compress_state_block_table: pl.Tensor[[CSA_STATE_BLOCKS], pl.INT32],
    csa_hadamard_idx: pl.Tensor[[IDX_DIM, IDX_DIM], pl.BF16],
    csa_idx_wq_b: pl.Tensor[[Q_LORA, IDX_HEADS * IDX_DIM], pl.INT8],
    csa_idx_wq_b_scale: pl.Tensor[[IDX_HEADS * IDX_DIM], pl.FP32],
    csa_weights_proj: pl.Tensor[[D, IDX_HEADS], pl.BF16],
    csa_inner_wkv: pl.Tensor[[D, INNER_OUT_DIM], pl.BF16],
    csa_inner_wgate: pl.Tensor[[D, INNER_OUT_DIM], pl.BF16],
    csa_inner_ape: pl.Tensor[[CSA_RATIO, INNER_OUT_DIM], pl.FP32],
    csa_inner_norm_w: pl.Tensor[[IDX_DIM], pl.BF16],
    csa_inner_kv_state: pl.InOut[pl.Tensor[[CSA_STATE_BLOCKS, CSA_STATE_PAGE, INNER_OUT_DIM], pl.FP32]],
    csa_inner_score_state: pl.InOut[pl.Tensor[[CSA_STATE_BLOCKS, CSA_STATE_PAGE, INNER_OUT_DIM], pl.FP32]],
    csa_inner_compress_state_block_table: pl.Tensor[[CSA_STATE_BLOCKS], pl.INT32],
    kv_cache: pl.InOut[pl.Tensor[[ORI_BLOCKS, BLOCK_SIZE, 1, HEAD_DIM], pl.BF16]],
    ori_block_table: pl.Tensor[[ORI_BLOCKS], pl.INT32],
    ori_slot_mapping: pl.Tensor[[T], pl.INT64],
    cmp_kv: pl.InOut[pl.Tensor[[CMP_BLOCKS, BLOCK_SIZE, 1, HEAD_DIM], pl.BF16]],
    cmp_block_table: pl.Tensor[[CMP_BLOCKS], pl.INT32],
    cmp_sparse_indices: pl.Tensor[[T, SPARSE_TOPK], pl.INT32],
    cmp_sparse_lens: pl.Tensor[[T], pl.INT32],
    idx_kv_cache: pl.InOut[pl.Tensor[[CMP_BLOCKS, BLOCK_SIZE, 1, IDX_DIM], pl.BF16]],
    idx_block_table: pl.Tensor[[CMP_BLOCKS], pl.INT32],
    position_ids: pl.Tensor[[T], pl.INT32],
    hca_cmp_slot_mapping: pl.Tensor[[T], pl.INT64],
    hca_state_slot_mapping: pl.Tensor[[T], pl.INT64],
    csa_cmp_slot_mapping: pl.Tensor[[T], pl.INT64],
    csa_idx_slot_mapping: pl.Tensor[[T], pl.INT64],
    csa_state_slot_mapping: pl.Tensor[[T], pl.INT64],
    csa_inner_state_slot_mapping: pl.Tensor[[T], pl.INT64],
    attn_sink: pl.Tensor[[H], pl.FP32],
    wo_a: pl.Tensor[[O_GROUPS, O_LORA, O_GROUP_IN], pl.BF16],
    wo_b: pl.Tensor[[D, O_GROUPS * O_LORA], pl.INT8],
    wo_b_scale: pl.Tensor[[D], pl.FP32],
    hc_ffn_fn: pl.Tensor[[MIX_HC, HC_DIM], pl.FP32],
    hc_ffn_scale: pl.Tensor[[3], pl.FP32],
    hc_ffn_base: pl.Tensor[[MIX_HC], pl.FP32],
    norm_w: pl.Tensor[[D], pl.BF16],
    gate_w: pl.Tensor[[N_LOCAL, D], pl.FP32],
    gate_bias: pl.Tensor[[N_LOCAL], pl.FP32],
    tid2eid: pl.Tensor[[VOCAB, TOPK], pl.INT32],
    input_ids: pl.Tensor[[T], pl.INT64],
    routed_w1: pl.Tensor[[N_LOCAL, MOE_INTER, D], pl.INT8],
    routed_w1_scale: pl.Tensor[[N_LOCAL, MOE_INTER], pl.FP32],
    routed_w3: pl.Tensor[[N_LOCAL, MOE_INTER, D], pl.INT8],
    routed_w3_scale: pl.Tensor[[N_LOCAL, MOE_INTER], pl.FP32],
    routed_w2: pl.Tensor[[N_LOCAL, D, MOE_INTER], pl.INT8],
    routed_w2_scale: pl.Tensor[[N_LOCAL, D], pl.FP32],
    shared_w1: pl.Tensor[[MOE_INTER, D], pl.INT8],
    shared_w1_scale: pl.Tensor[[MOE_INTER], pl.FP32],
    shared_w3: pl.Tensor[[MOE_INTER, D], pl.INT8],
    shared_w3_scale: pl.Tensor[[MOE_INTER], pl.FP32],
    shared_w2: pl.Tensor[[D, MOE_INTER], pl.INT8],
    shared_w2_scale: pl.Tensor[[D], pl.FP32],
    x_next: pl.Out[pl.Tensor[[T, HC_MULT, D], pl.BF16]],
    num_tokens: pl.Scalar[pl.INT32],
    layer_id: pl.Scalar[pl.INT32],
):
    """x_next = experts(attention(x_hc)) for the tokens of one prefill run.

    hca_*, csa_*, idx_*: of the kind of attention that the name says, see `prefill_attention_hca` and
    `prefill_attention_csa`. kv_cache, ori_block_table, cmp_kv, cmp_block_table: the window and the compressed rows, of
    every kind. cmp_sparse_indices, cmp_sparse_lens: of SWA and HCA; CSA makes its own. hc_ffn_*, norm_w, gate_*,
    tid2eid, input_ids, routed_*, shared_*: see `moe_ep1`. x_next: written. num_tokens: tokens that are not padding.
    layer_id: decides the kind of attention and of routing. Other parameters: see `prefill_attention_swa`.
    """
    x_attn = pl.create_tensor([T, HC_MULT, D], dtype=pl.BF16)
    # fmt: off
    with pl.scope():
        if layer_id < 2:
            prefill_attention_swa(
                x_hc, hc_attn_fn, hc_attn_scale, hc_attn_base, attn_norm_w, wq_a, wq_b, wq_b_scale, wkv, gamma_cq,
                gamma_ckv, freqs_cos, freqs_sin, kv_cache, ori_block_table, ori_slot_mapping, cmp_sparse_indices,
                cmp_sparse_lens, position_ids, attn_sink, wo_a, wo_b, wo_b_scale, x_attn, num_tokens,
            )
        elif layer_id % 2 == 1:
            prefill_attention_hca(
                x_hc, hc_attn_fn, hc_attn_scale, hc_attn_base, attn_norm_w, wq_a, wq_b, wq_b_scale, wkv, gamma_cq,
                gamma_ckv, freqs_cos, freqs_sin, hca_cmp_wkv, hca_cmp_wgate, hca_cmp_ape, hca_cmp_norm_w,
                hca_cmp_kv_state, hca_cmp_score_state, hca_compress_state_block_table, kv_cache, ori_slot_mapping,
                ori_block_table, cmp_kv, cmp_block_table, cmp_sparse_indices, cmp_sparse_lens, position_ids,
                hca_cmp_slot_mapping, hca_state_slot_mapping, attn_sink, wo_a, wo_b, wo_b_scale, x_attn, num_tokens,
            )
        else:
            prefill_attention_csa(
                x_hc, hc_attn_fn, hc_attn_scale, hc_attn_base, attn_norm_w, wq_a, wq_b, wq_b_scale, wkv, gamma_cq,
                gamma_ckv, freqs_cos, freqs_sin, csa_cmp_wkv, csa_cmp_wgate, csa_cmp_ape, csa_cmp_norm_w,
                csa_cmp_kv_state, csa_cmp_score_state, csa_compress_state_block_table, csa_hadamard_idx, csa_idx_wq_b,
                csa_idx_wq_b_scale, csa_weights_proj, csa_inner_wkv, csa_inner_wgate, csa_inner_ape, csa_inner_norm_w,
                csa_inner_kv_state, csa_inner_score_state, csa_inner_compress_state_block_table, kv_cache,
                ori_block_table, ori_slot_mapping, cmp_kv, cmp_block_table, idx_kv_cache, idx_block_table,
                position_ids, csa_cmp_slot_mapping, csa_idx_slot_mapping, csa_state_slot_mapping,
                csa_inner_state_slot_mapping, attn_sink, wo_a, wo_b, wo_b_scale, x_attn, num_tokens,
            )

    with pl.scope():
        moe_ep1(
            x_attn, hc_ffn_fn, hc_ffn_scale, hc_ffn_base, norm_w, gate_w, gate_bias, tid2eid, input_ids, routed_w1,
            routed_w1_scale, routed_w3, routed_w3_scale, routed_w2, routed_w2_scale, shared_w1, shared_w1_scale,
            shared_w3, shared_w3_scale, shared_w2, shared_w2_scale, x_next, layer_id,
        )
    # fmt: on
    return x_next


if __name__ == "__main__":
    from prefill_layer_script import main

    main(prefill_layer)
