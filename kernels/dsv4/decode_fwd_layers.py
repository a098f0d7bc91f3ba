"""One layer of a decode step on its part of the stacks of all layers: attention of each kind, and the experts.

The parts are taken with pl.slice: a subscript would lose its static shape at the next inlined call.
"""

from config import BLOCK_SIZE
from decode_attention_csa import attention_csa
from decode_attention_hca import attention_hca
from decode_attention_swa import attention_swa
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
from moe import moe_ep1

import pto_sim.language as pl


@pl.jit.inline(auto_scope=False)
def layer_swa(
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
    freqs_cos: pl.Tensor[[MAX_SEQ_LEN, ROPE_DIM], pl.BF16],
    freqs_sin: pl.Tensor[[MAX_SEQ_LEN, ROPE_DIM], pl.BF16],
    kv_cache: pl.Tensor[[LAYERS * B * ORI_MAX_BLOCKS, BLOCK_SIZE, 1, HEAD_DIM], pl.BF16],
    block_table: pl.Tensor[[B, ORI_MAX_BLOCKS], pl.INT32],
    ori_slot_mapping: pl.Tensor[[T], pl.INT64],
    position_ids: pl.Tensor[[T], pl.INT32],
    cmp_kv: pl.Tensor[[LAYERS * B * CMP_MAX_BLOCKS, BLOCK_SIZE, 1, HEAD_DIM], pl.BF16],
    cmp_block_table: pl.Tensor[[B, CMP_MAX_BLOCKS], pl.INT32],
    attn_sink: pl.Tensor[[LAYERS * H], pl.FP32],
    wo_a: pl.Tensor[[LAYERS * O_GROUPS, O_LORA, O_GROUP_IN], pl.BF16],
    wo_b: pl.Tensor[[LAYERS * D, O_GROUPS * O_LORA], pl.INT8],
    wo_b_scale: pl.Tensor[[LAYERS * D], pl.FP32],
    x_attn: pl.Tensor[[T, HC_MULT, D], pl.BF16],
    layer_id: pl.Scalar[pl.INT32],
):
    """x_attn = attention of layer `layer_id` to the window alone, from its part of every stack; see `attention_swa`."""
    l_hc_attn_fn = pl.slice(hc_attn_fn, [MIX_HC, HC_DIM], [layer_id * MIX_HC, 0])
    l_hc_attn_scale = pl.slice(hc_attn_scale, [3], [layer_id * 3])
    l_hc_attn_base = pl.slice(hc_attn_base, [MIX_HC], [layer_id * MIX_HC])
    l_attn_norm_w = pl.slice(attn_norm_w, [D], [layer_id * D])
    l_wq_a = pl.slice(wq_a, [D, Q_LORA], [layer_id * D, 0])
    l_wq_b = pl.slice(wq_b, [Q_LORA, H * HEAD_DIM], [layer_id * Q_LORA, 0])
    l_wq_b_scale = pl.slice(wq_b_scale, [H * HEAD_DIM], [layer_id * (H * HEAD_DIM)])
    l_wkv = pl.slice(wkv, [D, HEAD_DIM], [layer_id * D, 0])
    l_gamma_cq = pl.slice(gamma_cq, [Q_LORA], [layer_id * Q_LORA])
    l_gamma_ckv = pl.slice(gamma_ckv, [HEAD_DIM], [layer_id * HEAD_DIM])
    l_kv_cache = pl.slice(
        kv_cache, [B * ORI_MAX_BLOCKS, BLOCK_SIZE, 1, HEAD_DIM], [layer_id * (B * ORI_MAX_BLOCKS), 0, 0, 0]
    )
    l_cmp_kv = pl.slice(
        cmp_kv, [B * CMP_MAX_BLOCKS, BLOCK_SIZE, 1, HEAD_DIM], [layer_id * (B * CMP_MAX_BLOCKS), 0, 0, 0]
    )
    l_attn_sink = pl.slice(attn_sink, [H], [layer_id * H])
    l_wo_a = pl.slice(wo_a, [O_GROUPS, O_LORA, O_GROUP_IN], [layer_id * O_GROUPS, 0, 0])
    l_wo_b = pl.slice(wo_b, [D, O_GROUPS * O_LORA], [layer_id * D, 0])
    l_wo_b_scale = pl.slice(wo_b_scale, [D], [layer_id * D])
    # fmt: off
    attention_swa(
        x_hc, l_hc_attn_fn, l_hc_attn_scale, l_hc_attn_base, l_attn_norm_w, l_wq_a, l_wq_b, l_wq_b_scale, l_wkv,
        l_gamma_cq, l_gamma_ckv, freqs_cos, freqs_sin, l_kv_cache, block_table, ori_slot_mapping, position_ids,
        l_cmp_kv, cmp_block_table, l_attn_sink, l_wo_a, l_wo_b, l_wo_b_scale, x_attn,
    )
    # fmt: on
    return x_attn


@pl.jit.inline(auto_scope=False)
def layer_csa(
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
    freqs_cos: pl.Tensor[[MAX_SEQ_LEN, ROPE_DIM], pl.BF16],
    freqs_sin: pl.Tensor[[MAX_SEQ_LEN, ROPE_DIM], pl.BF16],
    csa_cmp_wkv: pl.Tensor[[CSA_LAYERS * D, CSA_OUT_DIM], pl.BF16],
    csa_cmp_wgate: pl.Tensor[[CSA_LAYERS * D, CSA_OUT_DIM], pl.BF16],
    csa_cmp_ape: pl.Tensor[[CSA_LAYERS * CSA_RATIO, CSA_OUT_DIM], pl.FP32],
    csa_cmp_norm_w: pl.Tensor[[CSA_LAYERS * HEAD_DIM], pl.BF16],
    csa_compress_state: pl.Tensor[[CSA_LAYERS * B * CSA_STATE_PAGES, CSA_STATE_PAGE, CSA_STATE_DIM], pl.FP32],
    csa_compress_state_block_table: pl.Tensor[[B, CSA_STATE_PAGES], pl.INT32],
    csa_idx_wq_b: pl.Tensor[[CSA_LAYERS * Q_LORA, IDX_HEADS * IDX_DIM], pl.INT8],
    csa_idx_wq_b_scale: pl.Tensor[[CSA_LAYERS * IDX_HEADS * IDX_DIM], pl.FP32],
    csa_weights_proj: pl.Tensor[[CSA_LAYERS * D, IDX_HEADS], pl.BF16],
    csa_hadamard_idx: pl.Tensor[[CSA_LAYERS * IDX_DIM, IDX_DIM], pl.BF16],
    csa_inner_wkv: pl.Tensor[[CSA_LAYERS * D, INNER_OUT_DIM], pl.BF16],
    csa_inner_wgate: pl.Tensor[[CSA_LAYERS * D, INNER_OUT_DIM], pl.BF16],
    csa_inner_ape: pl.Tensor[[CSA_LAYERS * CSA_RATIO, INNER_OUT_DIM], pl.FP32],
    csa_inner_norm_w: pl.Tensor[[CSA_LAYERS * IDX_DIM], pl.BF16],
    csa_inner_compress_state: pl.Tensor[[CSA_LAYERS * B * CSA_STATE_PAGES, CSA_STATE_PAGE, INNER_STATE_DIM], pl.FP32],
    csa_inner_compress_state_block_table: pl.Tensor[[B, CSA_STATE_PAGES], pl.INT32],
    kv_cache: pl.Tensor[[LAYERS * B * ORI_MAX_BLOCKS, BLOCK_SIZE, 1, HEAD_DIM], pl.BF16],
    block_table: pl.Tensor[[B, ORI_MAX_BLOCKS], pl.INT32],
    cmp_kv: pl.Tensor[[LAYERS * B * CMP_MAX_BLOCKS, BLOCK_SIZE, 1, HEAD_DIM], pl.BF16],
    cmp_block_table: pl.Tensor[[B, CMP_MAX_BLOCKS], pl.INT32],
    idx_kv_cache: pl.Tensor[[CSA_LAYERS * B * IDX_CACHE_MAX_BLOCKS, BLOCK_SIZE, 1, IDX_DIM], pl.BF16],
    idx_block_table: pl.Tensor[[B, IDX_CACHE_MAX_BLOCKS], pl.INT32],
    ori_slot_mapping: pl.Tensor[[T], pl.INT64],
    csa_cmp_slot_mapping: pl.Tensor[[T], pl.INT64],
    csa_idx_slot_mapping: pl.Tensor[[T], pl.INT64],
    csa_state_slot_mapping: pl.Tensor[[T], pl.INT64],
    csa_inner_state_slot_mapping: pl.Tensor[[T], pl.INT64],
    position_ids: pl.Tensor[[T], pl.INT32],
    kv_seq_lens: pl.Tensor[[B], pl.INT32],
    attn_sink: pl.Tensor[[LAYERS * H], pl.FP32],
    wo_a: pl.Tensor[[LAYERS * O_GROUPS, O_LORA, O_GROUP_IN], pl.BF16],
    wo_b: pl.Tensor[[LAYERS * D, O_GROUPS * O_LORA], pl.INT8],
    wo_b_scale: pl.Tensor[[LAYERS * D], pl.FP32],
    x_attn: pl.Tensor[[T, HC_MULT, D], pl.BF16],
    layer_id: pl.Scalar[pl.INT32],
    kind_id: pl.Scalar[pl.INT32],
):
    """x_attn = attention of layer `layer_id`, the `kind_id`th that compresses by 4, from its part of every stack.

    See `attention_csa`.
    """
    l_hc_attn_fn = pl.slice(hc_attn_fn, [MIX_HC, HC_DIM], [layer_id * MIX_HC, 0])
    l_hc_attn_scale = pl.slice(hc_attn_scale, [3], [layer_id * 3])
    l_hc_attn_base = pl.slice(hc_attn_base, [MIX_HC], [layer_id * MIX_HC])
    l_attn_norm_w = pl.slice(attn_norm_w, [D], [layer_id * D])
    l_wq_a = pl.slice(wq_a, [D, Q_LORA], [layer_id * D, 0])
    l_wq_b = pl.slice(wq_b, [Q_LORA, H * HEAD_DIM], [layer_id * Q_LORA, 0])
    l_wq_b_scale = pl.slice(wq_b_scale, [H * HEAD_DIM], [layer_id * (H * HEAD_DIM)])
    l_wkv = pl.slice(wkv, [D, HEAD_DIM], [layer_id * D, 0])
    l_gamma_cq = pl.slice(gamma_cq, [Q_LORA], [layer_id * Q_LORA])
    l_gamma_ckv = pl.slice(gamma_ckv, [HEAD_DIM], [layer_id * HEAD_DIM])
    l_csa_cmp_wkv = pl.slice(csa_cmp_wkv, [D, CSA_OUT_DIM], [kind_id * D, 0])
    l_csa_cmp_wgate = pl.slice(csa_cmp_wgate, [D, CSA_OUT_DIM], [kind_id * D, 0])
    l_csa_cmp_ape = pl.slice(csa_cmp_ape, [CSA_RATIO, CSA_OUT_DIM], [kind_id * CSA_RATIO, 0])
    l_csa_cmp_norm_w = pl.slice(csa_cmp_norm_w, [HEAD_DIM], [kind_id * HEAD_DIM])
    l_csa_compress_state = pl.slice(
        csa_compress_state,
        [B * CSA_STATE_PAGES, CSA_STATE_PAGE, CSA_STATE_DIM],
        [kind_id * (B * CSA_STATE_PAGES), 0, 0],
    )
    l_csa_idx_wq_b = pl.slice(csa_idx_wq_b, [Q_LORA, IDX_HEADS * IDX_DIM], [kind_id * Q_LORA, 0])
    l_csa_idx_wq_b_scale = pl.slice(csa_idx_wq_b_scale, [IDX_HEADS * IDX_DIM], [kind_id * (IDX_HEADS * IDX_DIM)])
    l_csa_weights_proj = pl.slice(csa_weights_proj, [D, IDX_HEADS], [kind_id * D, 0])
    l_csa_hadamard_idx = pl.slice(csa_hadamard_idx, [IDX_DIM, IDX_DIM], [kind_id * IDX_DIM, 0])
    l_csa_inner_wkv = pl.slice(csa_inner_wkv, [D, INNER_OUT_DIM], [kind_id * D, 0])
    l_csa_inner_wgate = pl.slice(csa_inner_wgate, [D, INNER_OUT_DIM], [kind_id * D, 0])
    l_csa_inner_ape = pl.slice(csa_inner_ape, [CSA_RATIO, INNER_OUT_DIM], [kind_id * CSA_RATIO, 0])
    l_csa_inner_norm_w = pl.slice(csa_inner_norm_w, [IDX_DIM], [kind_id * IDX_DIM])
    l_csa_inner_compress_state = pl.slice(
        csa_inner_compress_state,
        [B * CSA_STATE_PAGES, CSA_STATE_PAGE, INNER_STATE_DIM],
        [kind_id * (B * CSA_STATE_PAGES), 0, 0],
    )
    l_kv_cache = pl.slice(
        kv_cache, [B * ORI_MAX_BLOCKS, BLOCK_SIZE, 1, HEAD_DIM], [layer_id * (B * ORI_MAX_BLOCKS), 0, 0, 0]
    )
    l_cmp_kv = pl.slice(
        cmp_kv, [B * CMP_MAX_BLOCKS, BLOCK_SIZE, 1, HEAD_DIM], [layer_id * (B * CMP_MAX_BLOCKS), 0, 0, 0]
    )
    l_idx_kv_cache = pl.slice(
        idx_kv_cache,
        [B * IDX_CACHE_MAX_BLOCKS, BLOCK_SIZE, 1, IDX_DIM],
        [kind_id * (B * IDX_CACHE_MAX_BLOCKS), 0, 0, 0],
    )
    l_attn_sink = pl.slice(attn_sink, [H], [layer_id * H])
    l_wo_a = pl.slice(wo_a, [O_GROUPS, O_LORA, O_GROUP_IN], [layer_id * O_GROUPS, 0, 0])
    l_wo_b = pl.slice(wo_b, [D, O_GROUPS * O_LORA], [layer_id * D, 0])
    l_wo_b_scale = pl.slice(wo_b_scale, [D], [layer_id * D])
    # fmt: off
    attention_csa(
        x_hc, l_hc_attn_fn, l_hc_attn_scale, l_hc_attn_base, l_attn_norm_w, l_wq_a, l_wq_b, l_wq_b_scale, l_wkv,
        l_gamma_cq, l_gamma_ckv, freqs_cos, freqs_sin, l_csa_cmp_wkv, l_csa_cmp_wgate, l_csa_cmp_ape, l_csa_cmp_norm_w,
        l_csa_compress_state, csa_compress_state_block_table, l_csa_idx_wq_b, l_csa_idx_wq_b_scale, l_csa_weights_proj,
        l_csa_hadamard_idx, l_csa_inner_wkv, l_csa_inner_wgate, l_csa_inner_ape, l_csa_inner_norm_w,
        l_csa_inner_compress_state, csa_inner_compress_state_block_table, l_kv_cache, block_table, l_cmp_kv,
        cmp_block_table, l_idx_kv_cache, idx_block_table, ori_slot_mapping, csa_cmp_slot_mapping, csa_idx_slot_mapping,
        csa_state_slot_mapping, csa_inner_state_slot_mapping, position_ids, kv_seq_lens, l_attn_sink, l_wo_a, l_wo_b,
        l_wo_b_scale, x_attn,
    )
    # fmt: on
    return x_attn


@pl.jit.inline(auto_scope=False)
def layer_hca(
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
    freqs_cos: pl.Tensor[[MAX_SEQ_LEN, ROPE_DIM], pl.BF16],
    freqs_sin: pl.Tensor[[MAX_SEQ_LEN, ROPE_DIM], pl.BF16],
    hca_cmp_wkv: pl.Tensor[[HCA_LAYERS * D, HEAD_DIM], pl.BF16],
    hca_cmp_wgate: pl.Tensor[[HCA_LAYERS * D, HEAD_DIM], pl.BF16],
    hca_cmp_ape: pl.Tensor[[HCA_LAYERS * HCA_RATIO, HEAD_DIM], pl.FP32],
    hca_cmp_norm_w: pl.Tensor[[HCA_LAYERS * HEAD_DIM], pl.BF16],
    hca_compress_state: pl.Tensor[[HCA_LAYERS * B * HCA_STATE_PAGES, HCA_STATE_PAGE, HCA_STATE_DIM], pl.FP32],
    hca_compress_state_block_table: pl.Tensor[[B, HCA_STATE_PAGES], pl.INT32],
    kv_cache: pl.Tensor[[LAYERS * B * ORI_MAX_BLOCKS, BLOCK_SIZE, 1, HEAD_DIM], pl.BF16],
    block_table: pl.Tensor[[B, ORI_MAX_BLOCKS], pl.INT32],
    cmp_kv: pl.Tensor[[LAYERS * B * CMP_MAX_BLOCKS, BLOCK_SIZE, 1, HEAD_DIM], pl.BF16],
    cmp_block_table: pl.Tensor[[B, CMP_MAX_BLOCKS], pl.INT32],
    ori_slot_mapping: pl.Tensor[[T], pl.INT64],
    hca_cmp_slot_mapping: pl.Tensor[[T], pl.INT64],
    hca_state_slot_mapping: pl.Tensor[[T], pl.INT64],
    position_ids: pl.Tensor[[T], pl.INT32],
    kv_seq_lens: pl.Tensor[[B], pl.INT32],
    attn_sink: pl.Tensor[[LAYERS * H], pl.FP32],
    wo_a: pl.Tensor[[LAYERS * O_GROUPS, O_LORA, O_GROUP_IN], pl.BF16],
    wo_b: pl.Tensor[[LAYERS * D, O_GROUPS * O_LORA], pl.INT8],
    wo_b_scale: pl.Tensor[[LAYERS * D], pl.FP32],
    x_attn: pl.Tensor[[T, HC_MULT, D], pl.BF16],
    layer_id: pl.Scalar[pl.INT32],
    kind_id: pl.Scalar[pl.INT32],
):
    """x_attn = attention of layer `layer_id`, the `kind_id`th that compresses by 128, from its part of every stack.

    See `attention_hca`.
    """
    l_hc_attn_fn = pl.slice(hc_attn_fn, [MIX_HC, HC_DIM], [layer_id * MIX_HC, 0])
    l_hc_attn_scale = pl.slice(hc_attn_scale, [3], [layer_id * 3])
    l_hc_attn_base = pl.slice(hc_attn_base, [MIX_HC], [layer_id * MIX_HC])
    l_attn_norm_w = pl.slice(attn_norm_w, [D], [layer_id * D])
    l_wq_a = pl.slice(wq_a, [D, Q_LORA], [layer_id * D, 0])
    l_wq_b = pl.slice(wq_b, [Q_LORA, H * HEAD_DIM], [layer_id * Q_LORA, 0])
    l_wq_b_scale = pl.slice(wq_b_scale, [H * HEAD_DIM], [layer_id * (H * HEAD_DIM)])
    l_wkv = pl.slice(wkv, [D, HEAD_DIM], [layer_id * D, 0])
    l_gamma_cq = pl.slice(gamma_cq, [Q_LORA], [layer_id * Q_LORA])
    l_gamma_ckv = pl.slice(gamma_ckv, [HEAD_DIM], [layer_id * HEAD_DIM])
    l_hca_cmp_wkv = pl.slice(hca_cmp_wkv, [D, HEAD_DIM], [kind_id * D, 0])
    l_hca_cmp_wgate = pl.slice(hca_cmp_wgate, [D, HEAD_DIM], [kind_id * D, 0])
    l_hca_cmp_ape = pl.slice(hca_cmp_ape, [HCA_RATIO, HEAD_DIM], [kind_id * HCA_RATIO, 0])
    l_hca_cmp_norm_w = pl.slice(hca_cmp_norm_w, [HEAD_DIM], [kind_id * HEAD_DIM])
    l_hca_compress_state = pl.slice(
        hca_compress_state,
        [B * HCA_STATE_PAGES, HCA_STATE_PAGE, HCA_STATE_DIM],
        [kind_id * (B * HCA_STATE_PAGES), 0, 0],
    )
    l_kv_cache = pl.slice(
        kv_cache, [B * ORI_MAX_BLOCKS, BLOCK_SIZE, 1, HEAD_DIM], [layer_id * (B * ORI_MAX_BLOCKS), 0, 0, 0]
    )
    l_cmp_kv = pl.slice(
        cmp_kv, [B * CMP_MAX_BLOCKS, BLOCK_SIZE, 1, HEAD_DIM], [layer_id * (B * CMP_MAX_BLOCKS), 0, 0, 0]
    )
    l_attn_sink = pl.slice(attn_sink, [H], [layer_id * H])
    l_wo_a = pl.slice(wo_a, [O_GROUPS, O_LORA, O_GROUP_IN], [layer_id * O_GROUPS, 0, 0])
    l_wo_b = pl.slice(wo_b, [D, O_GROUPS * O_LORA], [layer_id * D, 0])
    l_wo_b_scale = pl.slice(wo_b_scale, [D], [layer_id * D])
    # fmt: off
    attention_hca(
        x_hc, l_hc_attn_fn, l_hc_attn_scale, l_hc_attn_base, l_attn_norm_w, l_wq_a, l_wq_b, l_wq_b_scale, l_wkv,
        l_gamma_cq, l_gamma_ckv, freqs_cos, freqs_sin, l_hca_cmp_wkv, l_hca_cmp_wgate, l_hca_cmp_ape, l_hca_cmp_norm_w,
        l_hca_compress_state, hca_compress_state_block_table, l_kv_cache, block_table, l_cmp_kv, cmp_block_table,
        ori_slot_mapping, hca_cmp_slot_mapping, hca_state_slot_mapping, position_ids, kv_seq_lens, l_attn_sink, l_wo_a,
        l_wo_b, l_wo_b_scale, x_attn,
    )
    # fmt: on
    return x_attn


@pl.jit.inline(auto_scope=False)
def layer_moe(
    x_attn: pl.Tensor[[T, HC_MULT, D], pl.BF16],
    hc_ffn_fn: pl.Tensor[[LAYERS * MIX_HC, HC_DIM], pl.FP32],
    hc_ffn_scale: pl.Tensor[[LAYERS * 3], pl.FP32],
    hc_ffn_base: pl.Tensor[[LAYERS * MIX_HC], pl.FP32],
    norm_w: pl.Tensor[[LAYERS * D], pl.BF16],
    gate_w: pl.Tensor[[LAYERS * N_LOCAL, D], pl.FP32],
    gate_bias: pl.Tensor[[LAYERS * N_LOCAL], pl.FP32],
    tid2eid: pl.Tensor[[LAYERS * VOCAB, TOPK], pl.INT32],
    input_ids: pl.Tensor[[T], pl.INT64],
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
    x_next: pl.Tensor[[T, HC_MULT, D], pl.BF16],
    layer_id: pl.Scalar[pl.INT32],
):
    """x_next = experts of layer `layer_id` on x_attn, from its part of every stack; see `moe_ep1`."""
    l_hc_ffn_fn = pl.slice(hc_ffn_fn, [MIX_HC, HC_DIM], [layer_id * MIX_HC, 0])
    l_hc_ffn_scale = pl.slice(hc_ffn_scale, [3], [layer_id * 3])
    l_hc_ffn_base = pl.slice(hc_ffn_base, [MIX_HC], [layer_id * MIX_HC])
    l_norm_w = pl.slice(norm_w, [D], [layer_id * D])
    l_gate_w = pl.slice(gate_w, [N_LOCAL, D], [layer_id * N_LOCAL, 0])
    l_gate_bias = pl.slice(gate_bias, [N_LOCAL], [layer_id * N_LOCAL])
    l_tid2eid = pl.slice(tid2eid, [VOCAB, TOPK], [layer_id * VOCAB, 0])
    l_routed_w1 = pl.slice(routed_w1, [N_LOCAL, MOE_INTER, D], [layer_id * N_LOCAL, 0, 0])
    l_routed_w1_scale = pl.slice(routed_w1_scale, [N_LOCAL, MOE_INTER], [layer_id * N_LOCAL, 0])
    l_routed_w3 = pl.slice(routed_w3, [N_LOCAL, MOE_INTER, D], [layer_id * N_LOCAL, 0, 0])
    l_routed_w3_scale = pl.slice(routed_w3_scale, [N_LOCAL, MOE_INTER], [layer_id * N_LOCAL, 0])
    l_routed_w2 = pl.slice(routed_w2, [N_LOCAL, D, MOE_INTER], [layer_id * N_LOCAL, 0, 0])
    l_routed_w2_scale = pl.slice(routed_w2_scale, [N_LOCAL, D], [layer_id * N_LOCAL, 0])
    l_shared_w1 = pl.slice(shared_w1, [MOE_INTER, D], [layer_id * MOE_INTER, 0])
    l_shared_w1_scale = pl.slice(shared_w1_scale, [MOE_INTER], [layer_id * MOE_INTER])
    l_shared_w3 = pl.slice(shared_w3, [MOE_INTER, D], [layer_id * MOE_INTER, 0])
    l_shared_w3_scale = pl.slice(shared_w3_scale, [MOE_INTER], [layer_id * MOE_INTER])
    l_shared_w2 = pl.slice(shared_w2, [D, MOE_INTER], [layer_id * D, 0])
    l_shared_w2_scale = pl.slice(shared_w2_scale, [D], [layer_id * D])
    # fmt: off
    moe_ep1(
        x_attn, l_hc_ffn_fn, l_hc_ffn_scale, l_hc_ffn_base, l_norm_w, l_gate_w, l_gate_bias, l_tid2eid, input_ids,
        l_routed_w1, l_routed_w1_scale, l_routed_w3, l_routed_w3_scale, l_routed_w2, l_routed_w2_scale, l_shared_w1,
        l_shared_w1_scale, l_shared_w3, l_shared_w3_scale, l_shared_w2, l_shared_w2_scale, x_next, layer_id,
    )
    # fmt: on
    return x_next
