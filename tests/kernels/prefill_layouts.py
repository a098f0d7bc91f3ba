"""Launches and scratch of the prefill attention layers' common parts, typed from the tables of the model's tilings and
buffers: (scope, kind or alloc, name, blocks or bytes)."""

FRAME = [
    ("", "alloc", "post", 128 * 4 * 4),
    ("", "alloc", "comb", 128 * 16 * 4),
    ("", "alloc", "rope_cos_t", 128 * 64 * 2),
    ("", "alloc", "rope_sin_t", 128 * 64 * 2),
    ("", "alloc", "q", 128 * 64 * 512 * 2),
    ("", "alloc", "kv", 128 * 512 * 2),
]
GATE = [
    ("alloc", "x_mixed", 128 * 4096 * 2),
    ("alloc", "mixes_gm", 128 * 32 * 4),
    ("MIX", "hc_pre_1spmd", 8),
]
NORM = [("AIV", "rms_norm", 16)]
ROPE_ROWS = [("AIV", "qkv_rope_rows", 8)]
QUERY = [("alloc", "qr", 128 * 1024), ("alloc", "qr_scale", 128 * 4)]
QKV = [
    ("alloc", "qr_fp32", 128 * 1024 * 4),
    ("AIV", "qr_proj_seed", 1),
    ("AIC", "qr_proj_matmul", 8),
    ("AIV", "qr_rms_norm_quant", 16),
    ("alloc", "q_proj_i32", 128 * 32768 * 4),
    ("AIC", "qproj_matmul", 16),
    ("alloc", "q_proj_fp32", 128 * 32768 * 4),
    ("AIV", "qproj_dequant", 16),
    ("AIV", "q_head_rms_nope_rope", 32),
    ("alloc", "kv_fp32", 128 * 512 * 4),
    ("AIV", "kv_proj_seed", 1),
    ("AIC", "kv_proj_matmul", 8),
    ("AIV", "kv_rms_norm_rope", 8),
]
NORMED = [("alloc", "x_normed", 128 * 4096 * 2)]


def within(scope, entries):
    """`entries` in a scope."""
    return [(scope, *entry) for entry in entries]


def attention(first):
    """Attention and hc_post. first: number of attention's first scope."""
    return [
        ("", "alloc", "attn_out", 128 * 4096 * 2),
        ("", "alloc", "sparse_kv", 128 * 384 * 512 * 2),
        ("", "alloc", "sparse_bias", 128 * 384 * 4),
        *within(f"{first}", [("AIV", "gather_kv", 96), ("AIV", "build_bias", 8)]),
        ("", "alloc", "attn_rope_stage", 128 * 64 * 64 * 4),
        ("", "alloc", "o_packed", 8 * 128 * 4096 * 2),
        *within(
            f"{first + 1}",
            [
                ("alloc", "sparse_blk_mi", 24576 * 4),
                ("alloc", "sparse_blk_li", 24576 * 4),
                ("alloc", "sparse_blk_oi", 24576 * 512 * 4),
                ("MIX", "qk_pv", 128),
                ("AIV", "merge_norm", 128),
            ],
        ),
        *within(
            f"{first + 2}",
            [
                ("alloc", "rope_cos_il", 128 * 64 * 4),
                ("alloc", "rope_sin_signed", 128 * 64 * 4),
                ("AIV", "rope_cs", 2),
                ("AIV", "rope", 32),
                ("alloc", "o_r", 128 * 8192 * 4),
                ("alloc", "o_r_amax_parts", 64 * 128 * 4),
                ("MIX", "proj_a", 64),
                ("alloc", "o_r_i8", 128 * 8192),
                ("alloc", "o_r_scale_dq", 128 * 4),
                ("AIV", "quant", 32),
                ("MIX", "proj_b", 32),
            ],
        ),
    ]


GATE_PIPE = 256 * 1024
ATTENTION_PIPES = [8192 * 1024, 2048 * 1024, 1024 * 1024]

INDEXER_COMPRESSOR = [
    ("alloc", "kv_proj_scratch", 128 * 256 * 4),
    ("alloc", "score_proj_scratch", 128 * 256 * 4),
    ("AIC", "prefill_idx_c4_kv_score_proj", 4),
    ("alloc", "write_pos_map", 32 * 4),
    ("alloc", "write_dst_map", 32 * 4),
    ("AIV", "prefill_idx_c4_write_map", 1),
    ("alloc", "pooled_kv", 32 * 128 * 4),
    ("AIV", "prefill_idx_c4_softmax_pool", 32 * 4),
    ("alloc", "normed_kv", 32 * 128 * 2),
    ("AIV", "prefill_idx_c4_rmsnorm_rope", 2),
    ("alloc", "final_kv", 32 * 128 * 4),
    ("AIC", "prefill_idx_c4_kv_hadamard", 2),
    ("AIV", "prefill_idx_c4_cache_write", 2),
    ("AIV", "prefill_idx_c4_state_update", 128 * 4),
]


def indexer(scope, loops_have_scopes):
    """The indexer in a scope. Its loops have scopes of their own where the entry's are automatic, since an inlined
    function is part of its caller when scopes are made (pypto: MaterializeRuntimeScopes).
    """

    def loop(number):
        return f"{scope}.{number}" if loops_have_scopes else scope

    quant, accumulate, reduce = (f"prefill_idx_score_{stage}" for stage in ("quant", "accum", "reduce"))
    return [
        *within(
            scope,
            [
                ("alloc", "qr_proj", 128 * 8192 * 4),
                ("MIX", "prefill_idx_qr_proj", 32),
                ("alloc", "qr_rope_out", 128 * 64 * 64 * 2),
                ("AIV", "prefill_idx_qr_rope", 128),
                ("alloc", "qr_hadamard_i8", 128 * 64 * 128),
                ("alloc", "qr_hadamard_scale_dq", 128 * 64 * 4),
                ("MIX", "prefill_idx_qr_hadamard_quant", 32),
                ("alloc", "weights", 128 * 64 * 4),
                ("MIX", "prefill_idx_weights_proj", 4),
                *INDEXER_COMPRESSOR,
                ("alloc", "score_wide", 128 * 2048 * 4),
            ],
        ),
        *[(loop(1 + i), "AIV", "prefill_idx_score_init", 1) for i in range(8)],
        *within(
            scope,
            [
                ("alloc", "score_kv_scale", 32 * 4),
                ("alloc", "kv_tile_i8_g", 32 * 128),
                ("alloc", "score_acc_g", 128 * 32 * 64 * 4),
            ],
        ),
        *within(loop(9), [("AIV", quant, 1), ("AIC", accumulate, 1), ("AIV", reduce, 1)]),
        *within(scope, [("AIV", "prefill_idx_score_out", 1), ("AIV", "prefill_idx_topk", 8)]),
    ]


# Under the seed's rule of eight slots one way, four for both: blocks * slots * largest tile that passes.
INDEXER_SEED_PIPES = [32 * 8 * 16 * 1024, 32 * 4 * 8 * 1024, 4 * 8 * 8 * 1024]
