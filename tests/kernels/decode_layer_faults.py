"""Faults that are planted in the wiring of a decode layer: file, old and new text; by layer."""

LAYER, MOE = "decode_layer.py", "moe.py"
EXPERTS = {  # of the experts, which every layer has
    "experts without attention": (LAYER, "moe_ep1(\n            x_attn,", "moe_ep1(\n            x_hc,"),
    "gate of attention before the experts": (LAYER, "hc_ffn_fn, hc_ffn_scale, hc_ffn_base, norm_w, gate_w",
                                             "hc_attn_fn, hc_ffn_scale, hc_ffn_base, norm_w, gate_w"),
    "base of attention's gate before the experts": (LAYER, "hc_ffn_base, norm_w,", "hc_attn_base, norm_w,"),
    "norm of attention before the experts": (LAYER, "hc_ffn_base, norm_w,", "hc_ffn_base, attn_norm_w,"),
    "gate's weights for up": (LAYER, "routed_w1_scale, routed_w3, routed_w3_scale, routed_w2",
                              "routed_w1_scale, routed_w1, routed_w1_scale, routed_w2"),
    "shared gate's weights for up": (LAYER, "shared_w3, shared_w3_scale, shared_w2",
                                     "shared_w1, shared_w1_scale, shared_w2"),
    "experts' output without their streams": (MOE, "hc_post(ffn_out, x_hc, post_ffn", "hc_post(sh, x_hc, post_ffn"),
    "streams mixed the wrong way": ("hc_post.py", "h_in * HC_MULT + h_out", "h_out * HC_MULT + h_in"),
}  # fmt: skip
SWA, CSA = "decode_attention_swa.py", "decode_attention_csa.py"
FAULTS = {
    1: {
        "compressed too early": (LAYER, "layer_id < 2", "layer_id < 1"),
        "norm of the experts before attention": (
            LAYER, "attention_swa(\n                x_hc, hc_attn_fn, hc_attn_scale, hc_attn_base, attn_norm_w",
            "attention_swa(\n                x_hc, hc_attn_fn, hc_attn_scale, hc_attn_base, norm_w"),
        "gate of the experts before attention": (LAYER, "attention_swa(\n                x_hc, hc_attn_fn,",
                                                 "attention_swa(\n                x_hc, hc_ffn_fn,"),
        "rotations exchanged": (LAYER, "freqs_cos, freqs_sin, kv_cache", "freqs_sin, freqs_cos, kv_cache"),
        "norm of a compressor for the latent row": (LAYER, "gamma_ckv, freqs_cos, freqs_sin, kv_cache",
                                                    "hca_cmp_norm_w, freqs_cos, freqs_sin, kv_cache"),
        "sorted where the table decides": (LAYER, "x_next, layer_id,", "x_next, 5,"),
        "latent row of another place committed": (SWA, "pl.read(ori_slot_mapping, [w_t])",
                                                  "pl.read(ori_slot_mapping, [T - 1 - w_t])"),
        **EXPERTS,
    },
    3: {
        "no compression": (LAYER, "layer_id < 2", "layer_id < 4"),
        "norm of the experts before attention": (
            LAYER, "attention_hca(\n                x_hc, hc_attn_fn, hc_attn_scale, hc_attn_base, attn_norm_w",
            "attention_hca(\n                x_hc, hc_attn_fn, hc_attn_scale, hc_attn_base, norm_w"),
        "gate of the experts before attention": (LAYER, "attention_hca(\n                x_hc, hc_attn_fn,",
                                                 "attention_hca(\n                x_hc, hc_ffn_fn,"),
        "scale of the experts' gate before attention": (
            LAYER, "attention_hca(\n                x_hc, hc_attn_fn, hc_attn_scale",
            "attention_hca(\n                x_hc, hc_attn_fn, hc_ffn_scale"),
        "values and scores exchanged": (LAYER, "hca_cmp_wkv, hca_cmp_wgate", "hca_cmp_wgate, hca_cmp_wkv"),
        "rotations exchanged": (LAYER, "freqs_cos, freqs_sin, hca_cmp_wkv", "freqs_sin, freqs_cos, hca_cmp_wkv"),
        "norm of the latent row for a compressed one": (LAYER, "hca_cmp_ape, hca_cmp_norm_w", "hca_cmp_ape, gamma_ckv"),
        "compressed rows to the places of the other kind": (LAYER, "ori_slot_mapping, hca_cmp_slot_mapping",
                                                            "ori_slot_mapping, csa_cmp_slot_mapping"),
        "state to the places of the other kind": (LAYER, "hca_state_slot_mapping, position_ids",
                                                  "csa_state_slot_mapping, position_ids"),
        "table where sorting decides": (LAYER, "x_next, layer_id,", "x_next, 0,"),
    },
    4: {
        "no compression": (LAYER, "layer_id < 2", "layer_id < 20"),
        "other compression": (LAYER, "layer_id % 2 == 1", "layer_id % 2 == 0"),
        "values and scores exchanged": (LAYER, "csa_cmp_wkv, csa_cmp_wgate", "csa_cmp_wgate, csa_cmp_wkv"),
        "values and scores of the indexer exchanged": (LAYER, "csa_inner_wkv, csa_inner_wgate",
                                                       "csa_inner_wgate, csa_inner_wkv"),
        "rotations exchanged": (LAYER, "freqs_cos, freqs_sin, csa_cmp_wkv", "freqs_sin, freqs_cos, csa_cmp_wkv"),
        "norm of the latent row for a compressed one": (LAYER, "csa_cmp_ape, csa_cmp_norm_w", "csa_cmp_ape, gamma_ckv"),
        "keys to the places of compressed rows": (LAYER, "csa_idx_slot_mapping, csa_state",
                                                  "csa_cmp_slot_mapping, csa_state"),
        "state to the places of latent rows": (LAYER, "csa_state_slot_mapping, csa_inner",
                                               "ori_slot_mapping, csa_inner"),
        "state of the indexer to the places of latent rows": (LAYER, "csa_inner_state_slot_mapping, position_ids",
                                                              "ori_slot_mapping, position_ids"),
        "last compressed row left out": (CSA, "if o_raw - (WIN + S) < o_seen", "if o_raw - (WIN + S) < o_seen - 1"),
    },
}  # fmt: skip
