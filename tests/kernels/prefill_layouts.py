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
