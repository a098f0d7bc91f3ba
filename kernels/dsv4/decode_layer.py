"""One decode layer on one card: attention of the kind that the layer has, then the mixture of experts.

Layers 0 and 1 attend to the window alone (SWA); later ones compress by 4 (even, CSA) or by 128 (odd, HCA). All kinds'
parameters are passed, and those of the others are not touched.

Scopes: attention and experts have one each, so that the scratch of one is freed before the other runs. At the frame
stays what passes between them.
"""

from config import (
    BLOCK_SIZE,
    C4A_COMPRESSOR_BLOCK_SIZE,
    C128_COMPRESSOR_BLOCK_SIZE,
    DECODE_BATCH,
    DECODE_SEQ,
    EP_WORLD_SIZE,
    FLASH,
)
from decode_attention_csa import attention_csa
from decode_attention_hca import attention_hca
from decode_attention_swa import attention_swa
from moe import moe_ep1

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
HC_MULT = FLASH.hc_mult
MIX_HC = FLASH.mix_hc
HC_DIM = FLASH.hc_dim
MAX_SEQ_LEN = FLASH.max_position_embeddings
O_LORA = FLASH.o_lora_rank
O_GROUPS = FLASH.o_groups
O_GROUP_IN = H * HEAD_DIM // O_GROUPS
IDX_HEADS = FLASH.index_n_heads
IDX_DIM = FLASH.index_head_dim
TOPK = FLASH.num_experts_per_tok
VOCAB = FLASH.vocab_size
MOE_INTER = FLASH.moe_intermediate_size
N_LOCAL = FLASH.n_routed_experts // EP_WORLD_SIZE

# caches and states: pages of one batch
ORI_MAX_BLOCKS = 1
CMP_MAX_BLOCKS = 8
IDX_CACHE_MAX_BLOCKS = 64
HCA_RATIO = 128
HCA_STATE_PAGES = 64
HCA_STATE_PAGE = C128_COMPRESSOR_BLOCK_SIZE
HCA_STATE_DIM = 2 * HEAD_DIM
CSA_RATIO = 4
CSA_STATE_PAGES = 65
CSA_STATE_PAGE = C4A_COMPRESSOR_BLOCK_SIZE
CSA_OUT_DIM = 2 * HEAD_DIM
CSA_STATE_DIM = 2 * CSA_OUT_DIM
INNER_OUT_DIM = 2 * IDX_DIM
INNER_STATE_DIM = 2 * INNER_OUT_DIM


@pl.jit(auto_scope=False)
def decode_layer(
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
    hca_cmp_slot_mapping: pl.Tensor[[T], pl.INT64],
    hca_state_slot_mapping: pl.Tensor[[T], pl.INT64],
    csa_cmp_slot_mapping: pl.Tensor[[T], pl.INT64],
    csa_idx_slot_mapping: pl.Tensor[[T], pl.INT64],
    csa_state_slot_mapping: pl.Tensor[[T], pl.INT64],
    csa_inner_state_slot_mapping: pl.Tensor[[T], pl.INT64],
    position_ids: pl.Tensor[[T], pl.INT32],
    kv_seq_lens: pl.Tensor[[B], pl.INT32],
    attn_sink: pl.Tensor[[H], pl.FP32],
    wo_a: pl.Tensor[[O_GROUPS, O_LORA, O_GROUP_IN], pl.BF16],
    wo_b: pl.Tensor[[D, O_GROUPS * O_LORA], pl.INT8],
    wo_b_scale: pl.Tensor[[D], pl.FP32],
    hca_cmp_wkv: pl.Tensor[[D, HEAD_DIM], pl.BF16],
    hca_cmp_wgate: pl.Tensor[[D, HEAD_DIM], pl.BF16],
    hca_cmp_ape: pl.Tensor[[HCA_RATIO, HEAD_DIM], pl.FP32],
    hca_cmp_norm_w: pl.Tensor[[HEAD_DIM], pl.BF16],
    hca_compress_state: pl.InOut[pl.Tensor[[B * HCA_STATE_PAGES, HCA_STATE_PAGE, HCA_STATE_DIM], pl.FP32]],
    hca_compress_state_block_table: pl.Tensor[[B, HCA_STATE_PAGES], pl.INT32],
    csa_cmp_wkv: pl.Tensor[[D, CSA_OUT_DIM], pl.BF16],
    csa_cmp_wgate: pl.Tensor[[D, CSA_OUT_DIM], pl.BF16],
    csa_cmp_ape: pl.Tensor[[CSA_RATIO, CSA_OUT_DIM], pl.FP32],
    csa_cmp_norm_w: pl.Tensor[[HEAD_DIM], pl.BF16],
    csa_compress_state: pl.InOut[pl.Tensor[[B * CSA_STATE_PAGES, CSA_STATE_PAGE, CSA_STATE_DIM], pl.FP32]],
    csa_compress_state_block_table: pl.Tensor[[B, CSA_STATE_PAGES], pl.INT32],
    csa_idx_wq_b: pl.Tensor[[Q_LORA, IDX_HEADS * IDX_DIM], pl.INT8],
    csa_idx_wq_b_scale: pl.Tensor[[IDX_HEADS * IDX_DIM], pl.FP32],
    csa_weights_proj: pl.Tensor[[D, IDX_HEADS], pl.BF16],
    csa_hadamard_idx: pl.Tensor[[IDX_DIM, IDX_DIM], pl.BF16],
    csa_inner_wkv: pl.Tensor[[D, INNER_OUT_DIM], pl.BF16],
    csa_inner_wgate: pl.Tensor[[D, INNER_OUT_DIM], pl.BF16],
    csa_inner_ape: pl.Tensor[[CSA_RATIO, INNER_OUT_DIM], pl.FP32],
    csa_inner_norm_w: pl.Tensor[[IDX_DIM], pl.BF16],
    csa_inner_compress_state: pl.InOut[pl.Tensor[[B * CSA_STATE_PAGES, CSA_STATE_PAGE, INNER_STATE_DIM], pl.FP32]],
    csa_inner_compress_state_block_table: pl.Tensor[[B, CSA_STATE_PAGES], pl.INT32],
    cmp_kv: pl.InOut[pl.Tensor[[B * CMP_MAX_BLOCKS, BLOCK_SIZE, 1, HEAD_DIM], pl.BF16]],
    cmp_block_table: pl.Tensor[[B, CMP_MAX_BLOCKS], pl.INT32],
    idx_kv_cache: pl.InOut[pl.Tensor[[B * IDX_CACHE_MAX_BLOCKS, BLOCK_SIZE, 1, IDX_DIM], pl.BF16]],
    idx_block_table: pl.Tensor[[B, IDX_CACHE_MAX_BLOCKS], pl.INT32],
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
    layer_id: pl.Scalar[pl.INT32],
):
    """x_next = experts(attention(x_hc)) for the tokens of one decode step.

    hca_*, csa_*, idx_*: of the kind of attention that the name says, see `attention_hca` and `attention_csa`. kv_cache,
    block_table, cmp_kv, cmp_block_table: the window and the compressed rows, of every kind. hc_ffn_*, norm_w, gate_*,
    tid2eid, input_ids, routed_*, shared_*: see `moe_ep1`. layer_id: decides the kind of attention and of routing. Other
    parameters: see `attention_swa`. x_next: written.
    """
    x_attn = pl.create_tensor([T, HC_MULT, D], dtype=pl.BF16)
    # fmt: off
    with pl.scope():
        if layer_id < 2:
            attention_swa(
                x_hc, hc_attn_fn, hc_attn_scale, hc_attn_base, attn_norm_w, wq_a, wq_b, wq_b_scale, wkv, gamma_cq,
                gamma_ckv, freqs_cos, freqs_sin, kv_cache, block_table, ori_slot_mapping, position_ids, cmp_kv,
                cmp_block_table, attn_sink, wo_a, wo_b, wo_b_scale, x_attn,
            )
        elif layer_id % 2 == 1:
            attention_hca(
                x_hc, hc_attn_fn, hc_attn_scale, hc_attn_base, attn_norm_w, wq_a, wq_b, wq_b_scale, wkv, gamma_cq,
                gamma_ckv, freqs_cos, freqs_sin, hca_cmp_wkv, hca_cmp_wgate, hca_cmp_ape, hca_cmp_norm_w,
                hca_compress_state, hca_compress_state_block_table, kv_cache, block_table, cmp_kv, cmp_block_table,
                ori_slot_mapping, hca_cmp_slot_mapping, hca_state_slot_mapping, position_ids, kv_seq_lens, attn_sink,
                wo_a, wo_b, wo_b_scale, x_attn,
            )
        else:
            attention_csa(
                x_hc, hc_attn_fn, hc_attn_scale, hc_attn_base, attn_norm_w, wq_a, wq_b, wq_b_scale, wkv, gamma_cq,
                gamma_ckv, freqs_cos, freqs_sin, csa_cmp_wkv, csa_cmp_wgate, csa_cmp_ape, csa_cmp_norm_w,
                csa_compress_state, csa_compress_state_block_table, csa_idx_wq_b, csa_idx_wq_b_scale, csa_weights_proj,
                csa_hadamard_idx, csa_inner_wkv, csa_inner_wgate, csa_inner_ape, csa_inner_norm_w,
                csa_inner_compress_state, csa_inner_compress_state_block_table, kv_cache, block_table, cmp_kv,
                cmp_block_table, idx_kv_cache, idx_block_table, ori_slot_mapping, csa_cmp_slot_mapping,
                csa_idx_slot_mapping, csa_state_slot_mapping, csa_inner_state_slot_mapping, position_ids, kv_seq_lens,
                attn_sink, wo_a, wo_b, wo_b_scale, x_attn,
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
    from decode_layer_script import main

    main(decode_layer)
