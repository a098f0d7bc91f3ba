"""A decode step through many layers on one card: two with SWA, then CSA and HCA in turn, and CSA at the end.

Weights, caches and states of all layers are stacked along their first axis, those of the compressors and the indexer
over the layers that have them.

Scopes: attention and experts of each layer have one each. At the frame stays what passes between them: the streams
after attention, and those after a layer, of which a pair of layers needs two.
"""

from config import BLOCK_SIZE
from decode_fwd_layers import layer_csa, layer_hca, layer_moe, layer_swa
from decode_layer import (
    CMP_MAX_BLOCKS,
    CSA_OUT_DIM,
    CSA_RATIO,
    CSA_STATE_DIM,
    CSA_STATE_PAGE,
    CSA_STATE_PAGES,
    HC_DIM,
    HC_MULT,
    HCA_RATIO,
    HCA_STATE_DIM,
    HCA_STATE_PAGE,
    HCA_STATE_PAGES,
    HEAD_DIM,
    IDX_CACHE_MAX_BLOCKS,
    IDX_DIM,
    IDX_HEADS,
    INNER_OUT_DIM,
    INNER_STATE_DIM,
    MAX_SEQ_LEN,
    MIX_HC,
    MOE_INTER,
    N_LOCAL,
    O_GROUP_IN,
    O_GROUPS,
    O_LORA,
    ORI_MAX_BLOCKS,
    Q_LORA,
    ROPE_DIM,
    TOPK,
    VOCAB,
    B,
    D,
    H,
    T,
)
from forward_layers import CSA_LAYERS, HCA_LAYERS, LAYERS

import pto_sim.language as pl


@pl.jit(auto_scope=False)
def decode_fwd(
    x_hc: pl.Tensor[[T, HC_MULT, D], pl.BF16],
    hc_attn_fn: pl.Tensor[[LAYERS * MIX_HC, HC_DIM], pl.FP32],
    hc_attn_scale: pl.Tensor[[LAYERS * 3], pl.FP32],
    hc_attn_base: pl.Tensor[[LAYERS * MIX_HC], pl.FP32],
    attn_norm_w: pl.Tensor[[LAYERS * D], pl.BF16],
    wq_a: pl.Tensor[[LAYERS * D, Q_LORA], pl.BF16],
    wq_b: pl.Tensor[[LAYERS * Q_LORA, H * HEAD_DIM], pl.INT8],
    wq_b_scale: pl.Tensor[[LAYERS * H * HEAD_DIM], pl.FP32],
    wkv: pl.Tensor[[LAYERS * D, HEAD_DIM], pl.BF16],
    gamma_cq: pl.Tensor[[LAYERS * Q_LORA], pl.BF16],
    gamma_ckv: pl.Tensor[[LAYERS * HEAD_DIM], pl.BF16],
    kv_cache: pl.InOut[pl.Tensor[[LAYERS * B * ORI_MAX_BLOCKS, BLOCK_SIZE, 1, HEAD_DIM], pl.BF16]],
    attn_sink: pl.Tensor[[LAYERS * H], pl.FP32],
    wo_a: pl.Tensor[[LAYERS * O_GROUPS, O_LORA, O_GROUP_IN], pl.BF16],
    wo_b: pl.Tensor[[LAYERS * D, O_GROUPS * O_LORA], pl.INT8],
    wo_b_scale: pl.Tensor[[LAYERS * D], pl.FP32],
    hca_cmp_wkv: pl.Tensor[[HCA_LAYERS * D, HEAD_DIM], pl.BF16],
    hca_cmp_wgate: pl.Tensor[[HCA_LAYERS * D, HEAD_DIM], pl.BF16],
    hca_cmp_ape: pl.Tensor[[HCA_LAYERS * HCA_RATIO, HEAD_DIM], pl.FP32],
    hca_cmp_norm_w: pl.Tensor[[HCA_LAYERS * HEAD_DIM], pl.BF16],
    hca_compress_state: pl.InOut[pl.Tensor[[HCA_LAYERS * B * HCA_STATE_PAGES, HCA_STATE_PAGE, HCA_STATE_DIM], pl.FP32]],
    csa_cmp_wkv: pl.Tensor[[CSA_LAYERS * D, CSA_OUT_DIM], pl.BF16],
    csa_cmp_wgate: pl.Tensor[[CSA_LAYERS * D, CSA_OUT_DIM], pl.BF16],
    csa_cmp_ape: pl.Tensor[[CSA_LAYERS * CSA_RATIO, CSA_OUT_DIM], pl.FP32],
    csa_cmp_norm_w: pl.Tensor[[CSA_LAYERS * HEAD_DIM], pl.BF16],
    csa_compress_state: pl.InOut[pl.Tensor[[CSA_LAYERS * B * CSA_STATE_PAGES, CSA_STATE_PAGE, CSA_STATE_DIM], pl.FP32]],
    csa_idx_wq_b: pl.Tensor[[CSA_LAYERS * Q_LORA, IDX_HEADS * IDX_DIM], pl.INT8],
    csa_idx_wq_b_scale: pl.Tensor[[CSA_LAYERS * IDX_HEADS * IDX_DIM], pl.FP32],
    csa_weights_proj: pl.Tensor[[CSA_LAYERS * D, IDX_HEADS], pl.BF16],
    csa_hadamard_idx: pl.Tensor[[CSA_LAYERS * IDX_DIM, IDX_DIM], pl.BF16],
    csa_inner_wkv: pl.Tensor[[CSA_LAYERS * D, INNER_OUT_DIM], pl.BF16],
    csa_inner_wgate: pl.Tensor[[CSA_LAYERS * D, INNER_OUT_DIM], pl.BF16],
    csa_inner_ape: pl.Tensor[[CSA_LAYERS * CSA_RATIO, INNER_OUT_DIM], pl.FP32],
    csa_inner_norm_w: pl.Tensor[[CSA_LAYERS * IDX_DIM], pl.BF16],
    csa_inner_compress_state: pl.InOut[
        pl.Tensor[[CSA_LAYERS * B * CSA_STATE_PAGES, CSA_STATE_PAGE, INNER_STATE_DIM], pl.FP32]
    ],
    cmp_kv: pl.InOut[pl.Tensor[[LAYERS * B * CMP_MAX_BLOCKS, BLOCK_SIZE, 1, HEAD_DIM], pl.BF16]],
    idx_kv_cache: pl.InOut[pl.Tensor[[CSA_LAYERS * B * IDX_CACHE_MAX_BLOCKS, BLOCK_SIZE, 1, IDX_DIM], pl.BF16]],
    hc_ffn_fn: pl.Tensor[[LAYERS * MIX_HC, HC_DIM], pl.FP32],
    hc_ffn_scale: pl.Tensor[[LAYERS * 3], pl.FP32],
    hc_ffn_base: pl.Tensor[[LAYERS * MIX_HC], pl.FP32],
    norm_w: pl.Tensor[[LAYERS * D], pl.BF16],
    gate_w: pl.Tensor[[LAYERS * N_LOCAL, D], pl.FP32],
    gate_bias: pl.Tensor[[LAYERS * N_LOCAL], pl.FP32],
    tid2eid: pl.Tensor[[LAYERS * VOCAB, TOPK], pl.INT32],
    routed_w1: pl.Tensor[[LAYERS * N_LOCAL, MOE_INTER, D], pl.INT8],
    routed_w1_scale: pl.Tensor[[LAYERS * N_LOCAL, MOE_INTER], pl.FP32],
    routed_w3: pl.Tensor[[LAYERS * N_LOCAL, MOE_INTER, D], pl.INT8],
    routed_w3_scale: pl.Tensor[[LAYERS * N_LOCAL, MOE_INTER], pl.FP32],
    routed_w2: pl.Tensor[[LAYERS * N_LOCAL, D, MOE_INTER], pl.INT8],
    routed_w2_scale: pl.Tensor[[LAYERS * N_LOCAL, D], pl.FP32],
    shared_w1: pl.Tensor[[LAYERS * MOE_INTER, D], pl.INT8],
    shared_w1_scale: pl.Tensor[[LAYERS * MOE_INTER], pl.FP32],
    shared_w3: pl.Tensor[[LAYERS * MOE_INTER, D], pl.INT8],
    shared_w3_scale: pl.Tensor[[LAYERS * MOE_INTER], pl.FP32],
    shared_w2: pl.Tensor[[LAYERS * D, MOE_INTER], pl.INT8],
    shared_w2_scale: pl.Tensor[[LAYERS * D], pl.FP32],
    swa_freqs_cos: pl.Tensor[[MAX_SEQ_LEN, ROPE_DIM], pl.BF16],
    swa_freqs_sin: pl.Tensor[[MAX_SEQ_LEN, ROPE_DIM], pl.BF16],
    freqs_cos: pl.Tensor[[MAX_SEQ_LEN, ROPE_DIM], pl.BF16],
    freqs_sin: pl.Tensor[[MAX_SEQ_LEN, ROPE_DIM], pl.BF16],
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
    hca_compress_state_block_table: pl.Tensor[[B, HCA_STATE_PAGES], pl.INT32],
    csa_compress_state_block_table: pl.Tensor[[B, CSA_STATE_PAGES], pl.INT32],
    csa_inner_compress_state_block_table: pl.Tensor[[B, CSA_STATE_PAGES], pl.INT32],
    cmp_block_table: pl.Tensor[[B, CMP_MAX_BLOCKS], pl.INT32],
    idx_block_table: pl.Tensor[[B, IDX_CACHE_MAX_BLOCKS], pl.INT32],
    input_ids: pl.Tensor[[T], pl.INT64],
    x_next: pl.Out[pl.Tensor[[T, HC_MULT, D], pl.BF16]],
):
    """x_next = all layers on x_hc, the streams of one decode step.

    Stacks have a part for each layer, or for each of the kind that the name says, in order: hca_* and csa_*, with them
    idx_kv_cache. swa_freqs_*: rotations of layers without compression. Parameters and their parts: see `decode_layer`.
    """
    x_attn = pl.create_tensor([T, HC_MULT, D], dtype=pl.BF16)
    # fmt: off
    with pl.scope():
        layer_swa(
            x_hc, hc_attn_fn, hc_attn_scale, hc_attn_base, attn_norm_w, wq_a, wq_b, wq_b_scale, wkv, gamma_cq,
            gamma_ckv, swa_freqs_cos, swa_freqs_sin, kv_cache, block_table, ori_slot_mapping, position_ids, cmp_kv,
            cmp_block_table, attn_sink, wo_a, wo_b, wo_b_scale, x_attn, pl.const(0, pl.INT32),
        )
    hidden = pl.create_tensor([T, HC_MULT, D], dtype=pl.BF16)
    with pl.scope():
        layer_moe(
            x_attn, hc_ffn_fn, hc_ffn_scale, hc_ffn_base, norm_w, gate_w, gate_bias, tid2eid, input_ids, routed_w1,
            routed_w1_scale, routed_w3, routed_w3_scale, routed_w2, routed_w2_scale, shared_w1, shared_w1_scale,
            shared_w3, shared_w3_scale, shared_w2, shared_w2_scale, hidden, pl.const(0, pl.INT32),
        )

    with pl.scope():
        layer_swa(
            hidden, hc_attn_fn, hc_attn_scale, hc_attn_base, attn_norm_w, wq_a, wq_b, wq_b_scale, wkv, gamma_cq,
            gamma_ckv, swa_freqs_cos, swa_freqs_sin, kv_cache, block_table, ori_slot_mapping, position_ids, cmp_kv,
            cmp_block_table, attn_sink, wo_a, wo_b, wo_b_scale, x_attn, pl.const(1, pl.INT32),
        )
    with pl.scope():
        layer_moe(
            x_attn, hc_ffn_fn, hc_ffn_scale, hc_ffn_base, norm_w, gate_w, gate_bias, tid2eid, input_ids, routed_w1,
            routed_w1_scale, routed_w3, routed_w3_scale, routed_w2, routed_w2_scale, shared_w1, shared_w1_scale,
            shared_w3, shared_w3_scale, shared_w2, shared_w2_scale, hidden, pl.const(1, pl.INT32),
        )

    hidden_mid = pl.create_tensor([T, HC_MULT, D], dtype=pl.BF16)
    for pair in pl.range(HCA_LAYERS):
        csa_layer: pl.Scalar[pl.INT32] = pair * 2 + 2
        hca_layer: pl.Scalar[pl.INT32] = pair * 2 + 3
        with pl.scope():
            layer_csa(
                hidden, hc_attn_fn, hc_attn_scale, hc_attn_base, attn_norm_w, wq_a, wq_b, wq_b_scale, wkv, gamma_cq,
                gamma_ckv, freqs_cos, freqs_sin, csa_cmp_wkv, csa_cmp_wgate, csa_cmp_ape, csa_cmp_norm_w,
                csa_compress_state, csa_compress_state_block_table, csa_idx_wq_b, csa_idx_wq_b_scale, csa_weights_proj,
                csa_hadamard_idx, csa_inner_wkv, csa_inner_wgate, csa_inner_ape, csa_inner_norm_w,
                csa_inner_compress_state, csa_inner_compress_state_block_table, kv_cache, block_table, cmp_kv,
                cmp_block_table, idx_kv_cache, idx_block_table, ori_slot_mapping, csa_cmp_slot_mapping,
                csa_idx_slot_mapping, csa_state_slot_mapping, csa_inner_state_slot_mapping, position_ids, kv_seq_lens,
                attn_sink, wo_a, wo_b, wo_b_scale, x_attn, csa_layer, pair,
            )
        with pl.scope():
            layer_moe(
                x_attn, hc_ffn_fn, hc_ffn_scale, hc_ffn_base, norm_w, gate_w, gate_bias, tid2eid, input_ids, routed_w1,
                routed_w1_scale, routed_w3, routed_w3_scale, routed_w2, routed_w2_scale, shared_w1, shared_w1_scale,
                shared_w3, shared_w3_scale, shared_w2, shared_w2_scale, hidden_mid, csa_layer,
            )

        with pl.scope():
            layer_hca(
                hidden_mid, hc_attn_fn, hc_attn_scale, hc_attn_base, attn_norm_w, wq_a, wq_b, wq_b_scale, wkv, gamma_cq,
                gamma_ckv, freqs_cos, freqs_sin, hca_cmp_wkv, hca_cmp_wgate, hca_cmp_ape, hca_cmp_norm_w,
                hca_compress_state, hca_compress_state_block_table, kv_cache, block_table, cmp_kv, cmp_block_table,
                ori_slot_mapping, hca_cmp_slot_mapping, hca_state_slot_mapping, position_ids, kv_seq_lens, attn_sink,
                wo_a, wo_b, wo_b_scale, x_attn, hca_layer, pair,
            )
        with pl.scope():
            layer_moe(
                x_attn, hc_ffn_fn, hc_ffn_scale, hc_ffn_base, norm_w, gate_w, gate_bias, tid2eid, input_ids, routed_w1,
                routed_w1_scale, routed_w3, routed_w3_scale, routed_w2, routed_w2_scale, shared_w1, shared_w1_scale,
                shared_w3, shared_w3_scale, shared_w2, shared_w2_scale, hidden, hca_layer,
            )

    with pl.scope():
        layer_csa(
            hidden, hc_attn_fn, hc_attn_scale, hc_attn_base, attn_norm_w, wq_a, wq_b, wq_b_scale, wkv, gamma_cq,
            gamma_ckv, freqs_cos, freqs_sin, csa_cmp_wkv, csa_cmp_wgate, csa_cmp_ape, csa_cmp_norm_w,
            csa_compress_state, csa_compress_state_block_table, csa_idx_wq_b, csa_idx_wq_b_scale, csa_weights_proj,
            csa_hadamard_idx, csa_inner_wkv, csa_inner_wgate, csa_inner_ape, csa_inner_norm_w, csa_inner_compress_state,
            csa_inner_compress_state_block_table, kv_cache, block_table, cmp_kv, cmp_block_table, idx_kv_cache,
            idx_block_table, ori_slot_mapping, csa_cmp_slot_mapping, csa_idx_slot_mapping, csa_state_slot_mapping,
            csa_inner_state_slot_mapping, position_ids, kv_seq_lens, attn_sink, wo_a, wo_b, wo_b_scale, x_attn,
            pl.const(LAYERS - 1, pl.INT32), pl.const(CSA_LAYERS - 1, pl.INT32),
        )
    with pl.scope():
        layer_moe(
            x_attn, hc_ffn_fn, hc_ffn_scale, hc_ffn_base, norm_w, gate_w, gate_bias, tid2eid, input_ids, routed_w1,
            routed_w1_scale, routed_w3, routed_w3_scale, routed_w2, routed_w2_scale, shared_w1, shared_w1_scale,
            shared_w3, shared_w3_scale, shared_w2, shared_w2_scale, x_next, pl.const(LAYERS - 1, pl.INT32),
        )
    # fmt: on
    return x_next


if __name__ == "__main__":
    from decode_fwd_script import main

    main(decode_fwd)
