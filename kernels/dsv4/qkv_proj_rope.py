"""Queries, and the latent row that is key and value at once, from normalised activations; for any number of tokens.

Queries go through a low rank: x is projected to 1024 numbers, normalised, quantised to INT8 for each token, projected
to all heads with INT8 weights, normalised for each head, and rotated in the last 64 columns. The latent row is
projected, normalised and rotated directly. Both first projections cut their inner extent into parts that run side by
side and are added atomically to zeros.
"""

from config import (
    DECODE_BATCH,
    DECODE_SEQ,
    FLASH,
    INT8_AMAX_EPS,
    INT8_SCALE_MAX,
    PREFILL_BATCH,
    PREFILL_SEQ,
)

import pto_sim.language as pl

T_DYN = pl.dynamic("T_DYN")

D = FLASH.hidden_size
H = FLASH.num_attention_heads
HEAD_DIM = FLASH.head_dim
ROPE_DIM = FLASH.qk_rope_head_dim
NOPE_DIM = FLASH.nope_head_dim
Q_LORA = FLASH.q_lora_rank
EPS = FLASH.rms_norm_eps
MAX_SEQ_LEN = FLASH.max_position_embeddings
Q_WIDTH = H * HEAD_DIM

# tiles
M_TILE = min(128, DECODE_BATCH * DECODE_SEQ, PREFILL_BATCH * PREFILL_SEQ)  # rows of a matrix product: a whole step's
T_TILE = 8
QR_M_TILE = M_TILE
QR_N_TILE = 256
QR_K_TILE = 256
QR_OK = 2  # parts of the inner extent
QR_K_SLICE = D // QR_OK
Q_LORA_TILE = 32
QPROJ_M_TILE = M_TILE
QPROJ_N_TILE = 256
QPROJ_K_TILE = 512
QPROJ_GROUP = 8  # column tiles of a block
DEQUANT_T_TILE = M_TILE
DEQUANT_N_TILE = 128
DEQUANT_GROUP = 16
HEAD_TILE = 64
Q_ROPE_T_TILE = 32
Q_ROPE_HEADS = 2
KV_M_TILE = M_TILE
KV_N_TILE = 256
KV_K_TILE = 256
KV_OK = 4  # parts of the inner extent
KV_K_SLICE = D // KV_OK
KV_TILE = 32
KV_RMS_T_TILE = 16

for _tokens in (DECODE_BATCH * DECODE_SEQ, PREFILL_BATCH * PREFILL_SEQ):
    for _tile in (T_TILE, QR_M_TILE, QPROJ_M_TILE, DEQUANT_T_TILE, Q_ROPE_T_TILE, KV_M_TILE, KV_RMS_T_TILE):
        assert _tokens % _tile == 0, f"{_tokens} tokens do not fill tiles of {_tile}"
assert Q_LORA % QR_N_TILE == 0 and QR_K_SLICE % QR_K_TILE == 0 and Q_LORA % QPROJ_K_TILE == 0
assert HEAD_DIM % KV_N_TILE == 0 and KV_K_SLICE % KV_K_TILE == 0
assert Q_WIDTH % (QPROJ_N_TILE * QPROJ_GROUP) == 0 and Q_WIDTH % (DEQUANT_N_TILE * DEQUANT_GROUP) == 0
assert NOPE_DIM % HEAD_TILE == 0 and NOPE_DIM % KV_TILE == 0 and H % Q_ROPE_HEADS == 0


@pl.jit.inline
def materialize_rope_rows(
    freqs_cos: pl.Tensor[[MAX_SEQ_LEN, ROPE_DIM], pl.BF16],
    freqs_sin: pl.Tensor[[MAX_SEQ_LEN, ROPE_DIM], pl.BF16],
    position_ids: pl.Tensor[[T_DYN], pl.INT32],
    num_tokens: pl.Scalar[pl.INT32],
    rope_cos_t: pl.Tensor[[T_DYN, ROPE_DIM], pl.BF16],
    rope_sin_t: pl.Tensor[[T_DYN, ROPE_DIM], pl.BF16],
):
    """The rotation of each token, from the tables by position.

    freqs_cos, freqs_sin: of every position. position_ids: of every token. num_tokens: tokens that count; rows of the
    others stay unwritten. rope_cos_t, rope_sin_t: written.
    """
    tokens = pl.tensor.dim(position_ids, 0)
    for r_block in pl.spmd(tokens // KV_RMS_T_TILE, name_hint="qkv_rope_rows"):
        r_t0 = r_block * KV_RMS_T_TILE
        for r_i in pl.range(KV_RMS_T_TILE):
            r_t = r_t0 + r_i
            if r_t < num_tokens:
                r_pos = pl.cast(pl.read(position_ids, [r_t]), pl.INDEX)
                rope_cos_t[r_t : r_t + 1, 0:ROPE_DIM] = freqs_cos[r_pos : r_pos + 1, 0:ROPE_DIM]
                rope_sin_t[r_t : r_t + 1, 0:ROPE_DIM] = freqs_sin[r_pos : r_pos + 1, 0:ROPE_DIM]


@pl.jit.inline
def qkv_proj_rope(
    x: pl.Tensor[[T_DYN, D], pl.BF16],
    wq_a: pl.Tensor[[D, Q_LORA], pl.BF16],
    wq_b: pl.Tensor[[Q_LORA, Q_WIDTH], pl.INT8],
    wq_b_scale: pl.Tensor[[Q_WIDTH], pl.FP32],
    wkv: pl.Tensor[[D, HEAD_DIM], pl.BF16],
    rope_cos: pl.Tensor[[T_DYN, ROPE_DIM], pl.BF16],
    rope_sin: pl.Tensor[[T_DYN, ROPE_DIM], pl.BF16],
    gamma_cq: pl.Tensor[[Q_LORA], pl.BF16],
    gamma_ckv: pl.Tensor[[HEAD_DIM], pl.BF16],
    q: pl.Tensor[[T_DYN, H, HEAD_DIM], pl.BF16],
    kv: pl.Tensor[[T_DYN, HEAD_DIM], pl.BF16],
    qr: pl.Tensor[[T_DYN, Q_LORA], pl.INT8],
    qr_scale: pl.Tensor[[T_DYN, 1], pl.FP32],
):
    """q, kv and the quantised low-rank query of each token.

    x: normalised activations. wq_a, wq_b, wq_b_scale: projection of queries down, and up with INT8 weights and a factor
    for each output. wkv: projection to the latent row. rope_cos, rope_sin: each token's rotation, the 32 frequencies
    twice. gamma_cq, gamma_ckv: factors of the norms after both first projections. q, kv: written. qr, qr_scale:
    written; the indexer projects them too.
    """
    tokens = pl.tensor.dim(x, 0)

    qr_fp32 = pl.create_tensor([tokens, Q_LORA], dtype=pl.FP32)
    with pl.at(level=pl.Level.CORE_GROUP, name_hint="qr_proj_seed"):
        for z_tb in pl.range(tokens // QR_M_TILE):
            z_t0 = z_tb * QR_M_TILE
            for z_nb in pl.range(Q_LORA // QR_N_TILE):
                z_n0 = z_nb * QR_N_TILE
                z_zero = pl.full([QR_M_TILE, QR_N_TILE], dtype=pl.FP32, value=0.0)
                qr_fp32[z_t0 : z_t0 + QR_M_TILE, z_n0 : z_n0 + QR_N_TILE] = z_zero
    for a_block in pl.spmd((Q_LORA // QR_N_TILE) * QR_OK, name_hint="qr_proj_matmul"):
        a_n0 = (a_block // QR_OK) * QR_N_TILE
        a_base = (a_block % QR_OK) * QR_K_SLICE
        for a_tb in pl.range(tokens // QR_M_TILE):
            a_t0 = a_tb * QR_M_TILE
            a_acc = pl.create_tensor([QR_M_TILE, QR_N_TILE], dtype=pl.FP32)
            for a_kb in pl.pipeline(QR_K_SLICE // QR_K_TILE, stage=2):
                a_k0 = a_base + a_kb * QR_K_TILE
                a_x = x[a_t0 : a_t0 + QR_M_TILE, a_k0 : a_k0 + QR_K_TILE]
                a_w = wq_a[a_k0 : a_k0 + QR_K_TILE, a_n0 : a_n0 + QR_N_TILE]
                if a_kb == 0:
                    a_acc = pl.matmul(a_x, a_w, out_dtype=pl.FP32)
                else:
                    a_acc = pl.matmul_acc(a_acc, a_x, a_w)
            qr_fp32 = pl.assemble(qr_fp32, a_acc, [a_t0, a_n0], atomic=pl.AtomicType.Add)

    # Norm and INT8 with one factor for each token. Three passes over a row: squares, largest magnitude, values.
    for n_block in pl.spmd(tokens // T_TILE, name_hint="qr_rms_norm_quant"):
        n_t0 = n_block * T_TILE
        n_sum = pl.full([1, T_TILE], dtype=pl.FP32, value=0.0)
        for n_sb in pl.pipeline(Q_LORA // Q_LORA_TILE, stage=2):
            n_s0 = n_sb * Q_LORA_TILE
            n_part = qr_fp32[n_t0 : n_t0 + T_TILE, n_s0 : n_s0 + Q_LORA_TILE]
            n_sum = pl.add(n_sum, pl.reshape(pl.row_sum(pl.mul(n_part, n_part)), [1, T_TILE]))
        n_inv = pl.reshape(pl.recip(pl.sqrt(pl.add(pl.mul(n_sum, 1.0 / Q_LORA), EPS))), [T_TILE, 1])
        n_amax = pl.full([1, T_TILE], dtype=pl.FP32, value=INT8_AMAX_EPS)
        for n_mb in pl.pipeline(Q_LORA // Q_LORA_TILE, stage=2):
            n_m0 = n_mb * Q_LORA_TILE
            n_gamma = pl.reshape(pl.cast(gamma_cq[n_m0 : n_m0 + Q_LORA_TILE], target_type=pl.FP32), [1, Q_LORA_TILE])
            n_row = qr_fp32[n_t0 : n_t0 + T_TILE, n_m0 : n_m0 + Q_LORA_TILE]
            n_y = pl.col_expand_mul(pl.row_expand_mul(n_row, n_inv), n_gamma)
            n_amax = pl.maximum(n_amax, pl.reshape(pl.row_max(pl.maximum(n_y, pl.neg(n_y))), [1, T_TILE]))
        n_scale = pl.div(pl.full([1, T_TILE], dtype=pl.FP32, value=INT8_SCALE_MAX), n_amax)
        n_scale_col = pl.reshape(n_scale, [T_TILE, 1])
        qr_scale[n_t0 : n_t0 + T_TILE, :] = pl.reshape(pl.recip(n_scale), [T_TILE, 1])
        for n_q0 in pl.pipeline(0, Q_LORA, Q_LORA_TILE, stage=2):
            n_factor = pl.reshape(pl.cast(gamma_cq[n_q0 : n_q0 + Q_LORA_TILE], target_type=pl.FP32), [1, Q_LORA_TILE])
            n_again = qr_fp32[n_t0 : n_t0 + T_TILE, n_q0 : n_q0 + Q_LORA_TILE]
            n_norm = pl.col_expand_mul(pl.row_expand_mul(n_again, n_inv), n_factor)
            n_int = pl.cast(pl.row_expand_mul(n_norm, n_scale_col), target_type=pl.INT32, mode="rint")
            n_half = pl.cast(n_int, target_type=pl.FP16, mode="round")
            qr[n_t0 : n_t0 + T_TILE, n_q0 : n_q0 + Q_LORA_TILE] = pl.cast(n_half, target_type=pl.INT8, mode="trunc")

    # Up to all heads, as INT32 through GM: the cube runs ahead and does not wait for the vector core.
    q_proj_i32 = pl.create_tensor([tokens, Q_WIDTH], dtype=pl.INT32)
    for p_block in pl.spmd(Q_WIDTH // QPROJ_N_TILE // QPROJ_GROUP, name_hint="qproj_matmul"):
        p_first = p_block * QPROJ_GROUP
        for p_i in pl.pipeline(QPROJ_GROUP, stage=2):
            p_n0 = (p_first + p_i) * QPROJ_N_TILE
            for p_tb in pl.range(tokens // QPROJ_M_TILE):
                p_t0 = p_tb * QPROJ_M_TILE
                p_x0 = qr[p_t0 : p_t0 + QPROJ_M_TILE, 0:QPROJ_K_TILE]
                p_w0 = wq_b[0:QPROJ_K_TILE, p_n0 : p_n0 + QPROJ_N_TILE]
                p_acc = pl.matmul(p_x0, p_w0, out_dtype=pl.INT32)
                for p_kb in pl.pipeline(1, Q_LORA // QPROJ_K_TILE, stage=2):
                    p_k0 = p_kb * QPROJ_K_TILE
                    p_x = qr[p_t0 : p_t0 + QPROJ_M_TILE, p_k0 : p_k0 + QPROJ_K_TILE]
                    p_w = wq_b[p_k0 : p_k0 + QPROJ_K_TILE, p_n0 : p_n0 + QPROJ_N_TILE]
                    p_acc = pl.matmul_acc(p_acc, p_x, p_w)
                q_proj_i32[p_t0 : p_t0 + QPROJ_M_TILE, p_n0 : p_n0 + QPROJ_N_TILE] = p_acc
    q_proj_fp32 = pl.create_tensor([tokens, Q_WIDTH], dtype=pl.FP32)
    for d_block in pl.spmd(Q_WIDTH // DEQUANT_N_TILE // DEQUANT_GROUP, name_hint="qproj_dequant"):
        d_first = d_block * DEQUANT_GROUP
        for d_i in pl.pipeline(DEQUANT_GROUP, stage=2):
            d_n0 = (d_first + d_i) * DEQUANT_N_TILE
            d_scale_n = pl.reshape(wq_b_scale[d_n0 : d_n0 + DEQUANT_N_TILE], [1, DEQUANT_N_TILE])
            for d_t0 in pl.pipeline(0, tokens, DEQUANT_T_TILE, stage=2):
                d_int = q_proj_i32[d_t0 : d_t0 + DEQUANT_T_TILE, d_n0 : d_n0 + DEQUANT_N_TILE]
                d_scale_t = qr_scale[d_t0 : d_t0 + DEQUANT_T_TILE, :]
                d_y = pl.row_expand_mul(pl.cast(d_int, target_type=pl.FP32, mode="none"), d_scale_t)
                d_y = pl.col_expand_mul(d_y, d_scale_n)
                q_proj_fp32[d_t0 : d_t0 + DEQUANT_T_TILE, d_n0 : d_n0 + DEQUANT_N_TILE] = d_y

    # Norm of each head, without factors, and rotation. Pairs are neighbours (2i, 2i + 1):
    # out[j] = x[j] * cos[j >> 1] + x[j ^ 1] * sign[j] * sin[j >> 1], sign -1 for even j and +1 for odd j. The norm is a
    # factor of the row, so it may come after the rotation.
    q_flat = pl.reshape(q, [tokens, Q_WIDTH])
    for h_block in pl.spmd(H // Q_ROPE_HEADS, name_hint="q_head_rms_nope_rope"):
        h_col = pl.col_expand_mul(
            pl.full([Q_ROPE_T_TILE, ROPE_DIM], dtype=pl.FP32, value=1.0),
            pl.cast(pl.arange(0, [1, ROPE_DIM], dtype=pl.INT32), target_type=pl.FP32),
        )
        h_pair = pl.cast(pl.cast(pl.mul(h_col, 0.5), target_type=pl.INT32, mode="trunc"), target_type=pl.FP32)
        h_pair_idx = pl.cast(h_pair, target_type=pl.INT32)  # j >> 1
        h_lane = pl.sub(h_col, pl.mul(h_pair, 2.0))  # j & 1
        h_swap_idx = pl.cast(pl.sub(pl.add(h_col, 1.0), pl.mul(h_lane, 2.0)), target_type=pl.INT32)  # j ^ 1
        h_sign = pl.sub(pl.mul(h_lane, 2.0), 1.0)
        for h_tb in pl.range(tokens // Q_ROPE_T_TILE):
            h_t0 = h_tb * Q_ROPE_T_TILE
            h_cos_row = pl.cast(rope_cos[h_t0 : h_t0 + Q_ROPE_T_TILE, :], target_type=pl.FP32)
            h_sin_row = pl.cast(rope_sin[h_t0 : h_t0 + Q_ROPE_T_TILE, :], target_type=pl.FP32)
            h_cos = pl.gather(h_cos_row, dim=-1, index=h_pair_idx)
            h_sin = pl.gather(h_sin_row, dim=-1, index=h_pair_idx)
            for h_i in pl.range(Q_ROPE_HEADS):
                h_0 = (h_block * Q_ROPE_HEADS + h_i) * HEAD_DIM
                h_sum = pl.full([1, Q_ROPE_T_TILE], dtype=pl.FP32, value=0.0)
                for h_sb in pl.pipeline(HEAD_DIM // HEAD_TILE, stage=2):
                    h_s0 = h_0 + h_sb * HEAD_TILE
                    h_part = q_proj_fp32[h_t0 : h_t0 + Q_ROPE_T_TILE, h_s0 : h_s0 + HEAD_TILE]
                    h_sum = pl.add(h_sum, pl.reshape(pl.row_sum(pl.mul(h_part, h_part)), [1, Q_ROPE_T_TILE]))
                h_inv_row = pl.recip(pl.sqrt(pl.add(pl.mul(h_sum, 1.0 / HEAD_DIM), EPS)))
                h_inv = pl.reshape(h_inv_row, [Q_ROPE_T_TILE, 1])
                for h_nb in pl.pipeline(NOPE_DIM // HEAD_TILE, stage=2):
                    h_n0 = h_0 + h_nb * HEAD_TILE
                    h_x = q_proj_fp32[h_t0 : h_t0 + Q_ROPE_T_TILE, h_n0 : h_n0 + HEAD_TILE]
                    h_y = pl.cast(pl.row_expand_mul(h_x, h_inv), target_type=pl.BF16, mode="rint")
                    q_flat[h_t0 : h_t0 + Q_ROPE_T_TILE, h_n0 : h_n0 + HEAD_TILE] = h_y
                h_r0 = h_0 + NOPE_DIM
                h_rope = q_proj_fp32[h_t0 : h_t0 + Q_ROPE_T_TILE, h_r0 : h_r0 + ROPE_DIM]
                h_swapped = pl.gather(h_rope, dim=-1, index=h_swap_idx)
                h_turned = pl.add(pl.mul(h_rope, h_cos), pl.mul(pl.mul(h_swapped, h_sign), h_sin))
                h_out = pl.cast(pl.row_expand_mul(h_turned, h_inv), target_type=pl.BF16, mode="rint")
                q_flat[h_t0 : h_t0 + Q_ROPE_T_TILE, h_r0 : h_r0 + ROPE_DIM] = h_out

    kv_fp32 = pl.create_tensor([tokens, HEAD_DIM], dtype=pl.FP32)
    with pl.at(level=pl.Level.CORE_GROUP, name_hint="kv_proj_seed"):
        for y_tb in pl.range(tokens // KV_M_TILE):
            y_t0 = y_tb * KV_M_TILE
            for y_nb in pl.range(HEAD_DIM // KV_N_TILE):
                y_n0 = y_nb * KV_N_TILE
                y_zero = pl.full([KV_M_TILE, KV_N_TILE], dtype=pl.FP32, value=0.0)
                kv_fp32[y_t0 : y_t0 + KV_M_TILE, y_n0 : y_n0 + KV_N_TILE] = y_zero
    for k_block in pl.spmd((HEAD_DIM // KV_N_TILE) * KV_OK, name_hint="kv_proj_matmul"):
        k_n0 = (k_block // KV_OK) * KV_N_TILE
        k_base = (k_block % KV_OK) * KV_K_SLICE
        for k_tb in pl.range(tokens // KV_M_TILE):
            k_t0 = k_tb * KV_M_TILE
            k_acc = pl.create_tensor([KV_M_TILE, KV_N_TILE], dtype=pl.FP32)
            for k_kb in pl.pipeline(KV_K_SLICE // KV_K_TILE, stage=2):
                k_k0 = k_base + k_kb * KV_K_TILE
                k_x = x[k_t0 : k_t0 + KV_M_TILE, k_k0 : k_k0 + KV_K_TILE]
                k_w = wkv[k_k0 : k_k0 + KV_K_TILE, k_n0 : k_n0 + KV_N_TILE]
                if k_kb == 0:
                    k_acc = pl.matmul(k_x, k_w, out_dtype=pl.FP32)
                else:
                    k_acc = pl.matmul_acc(k_acc, k_x, k_w)
            kv_fp32 = pl.assemble(kv_fp32, k_acc, [k_t0, k_n0], atomic=pl.AtomicType.Add)

    # Norm with factors, and rotation; the factors differ between the columns of a pair, so they come before it.
    for v_block in pl.spmd(tokens // KV_RMS_T_TILE, name_hint="kv_rms_norm_rope"):
        v_t0 = v_block * KV_RMS_T_TILE
        v_sum = pl.full([1, KV_RMS_T_TILE], dtype=pl.FP32, value=0.0)
        for v_sb in pl.pipeline(HEAD_DIM // KV_TILE, stage=2):
            v_s0 = v_sb * KV_TILE
            v_part = kv_fp32[v_t0 : v_t0 + KV_RMS_T_TILE, v_s0 : v_s0 + KV_TILE]
            v_sum = pl.add(v_sum, pl.reshape(pl.row_sum(pl.mul(v_part, v_part)), [1, KV_RMS_T_TILE]))
        v_inv_row = pl.recip(pl.sqrt(pl.add(pl.mul(v_sum, 1.0 / HEAD_DIM), EPS)))
        v_inv = pl.reshape(v_inv_row, [KV_RMS_T_TILE, 1])
        for v_nb in pl.pipeline(NOPE_DIM // KV_TILE, stage=2):
            v_n0 = v_nb * KV_TILE
            v_gamma = pl.reshape(pl.cast(gamma_ckv[v_n0 : v_n0 + KV_TILE], target_type=pl.FP32), [1, KV_TILE])
            v_x = pl.row_expand_mul(kv_fp32[v_t0 : v_t0 + KV_RMS_T_TILE, v_n0 : v_n0 + KV_TILE], v_inv)
            v_y = pl.cast(pl.col_expand_mul(v_x, v_gamma), target_type=pl.BF16, mode="rint")
            kv[v_t0 : v_t0 + KV_RMS_T_TILE, v_n0 : v_n0 + KV_TILE] = v_y
        v_factor = pl.reshape(pl.cast(gamma_ckv[NOPE_DIM:HEAD_DIM], target_type=pl.FP32), [1, ROPE_DIM])
        v_rope = pl.row_expand_mul(kv_fp32[v_t0 : v_t0 + KV_RMS_T_TILE, NOPE_DIM:HEAD_DIM], v_inv)
        v_rope = pl.col_expand_mul(v_rope, v_factor)
        v_col = pl.col_expand_mul(
            pl.full([KV_RMS_T_TILE, ROPE_DIM], dtype=pl.FP32, value=1.0),
            pl.cast(pl.arange(0, [1, ROPE_DIM], dtype=pl.INT32), target_type=pl.FP32),
        )
        v_pair = pl.cast(pl.cast(pl.mul(v_col, 0.5), target_type=pl.INT32, mode="trunc"), target_type=pl.FP32)
        v_pair_idx = pl.cast(v_pair, target_type=pl.INT32)
        v_lane = pl.sub(v_col, pl.mul(v_pair, 2.0))
        v_swap_idx = pl.cast(pl.sub(pl.add(v_col, 1.0), pl.mul(v_lane, 2.0)), target_type=pl.INT32)
        v_sign = pl.sub(pl.mul(v_lane, 2.0), 1.0)
        v_cos_row = pl.cast(rope_cos[v_t0 : v_t0 + KV_RMS_T_TILE, :], target_type=pl.FP32)
        v_sin_row = pl.cast(rope_sin[v_t0 : v_t0 + KV_RMS_T_TILE, :], target_type=pl.FP32)
        v_cos = pl.gather(v_cos_row, dim=-1, index=v_pair_idx)
        v_sin = pl.gather(v_sin_row, dim=-1, index=v_pair_idx)
        v_swapped = pl.gather(v_rope, dim=-1, index=v_swap_idx)
        v_turned = pl.add(pl.mul(v_rope, v_cos), pl.mul(pl.mul(v_swapped, v_sign), v_sin))
        v_out = pl.cast(v_turned, target_type=pl.BF16, mode="rint")
        kv[v_t0 : v_t0 + KV_RMS_T_TILE, NOPE_DIM:HEAD_DIM] = v_out
    return q


@pl.jit
def materialize_rope_rows_test(
    freqs_cos: pl.Tensor[[MAX_SEQ_LEN, ROPE_DIM], pl.BF16],
    freqs_sin: pl.Tensor[[MAX_SEQ_LEN, ROPE_DIM], pl.BF16],
    position_ids: pl.Tensor[[T_DYN], pl.INT32],
    num_tokens: pl.Scalar[pl.INT32],
    rope_cos_t: pl.Out[pl.Tensor[[T_DYN, ROPE_DIM], pl.BF16]],
    rope_sin_t: pl.Out[pl.Tensor[[T_DYN, ROPE_DIM], pl.BF16]],
):
    """`materialize_rope_rows` on its own."""
    position_ids.bind_dynamic(0, T_DYN)
    rope_cos_t.bind_dynamic(0, T_DYN)
    rope_sin_t.bind_dynamic(0, T_DYN)
    materialize_rope_rows(freqs_cos, freqs_sin, position_ids, num_tokens, rope_cos_t, rope_sin_t)
    return rope_cos_t, rope_sin_t


@pl.jit
def qkv_proj_rope_test(
    x: pl.Tensor[[T_DYN, D], pl.BF16],
    wq_a: pl.Tensor[[D, Q_LORA], pl.BF16],
    wq_b: pl.Tensor[[Q_LORA, Q_WIDTH], pl.INT8],
    wq_b_scale: pl.Tensor[[Q_WIDTH], pl.FP32],
    wkv: pl.Tensor[[D, HEAD_DIM], pl.BF16],
    rope_cos: pl.Tensor[[T_DYN, ROPE_DIM], pl.BF16],
    rope_sin: pl.Tensor[[T_DYN, ROPE_DIM], pl.BF16],
    gamma_cq: pl.Tensor[[Q_LORA], pl.BF16],
    gamma_ckv: pl.Tensor[[HEAD_DIM], pl.BF16],
    q: pl.Out[pl.Tensor[[T_DYN, H, HEAD_DIM], pl.BF16]],
    kv: pl.Out[pl.Tensor[[T_DYN, HEAD_DIM], pl.BF16]],
    qr: pl.Out[pl.Tensor[[T_DYN, Q_LORA], pl.INT8]],
    qr_scale: pl.Out[pl.Tensor[[T_DYN, 1], pl.FP32]],
):
    """`qkv_proj_rope` on its own."""
    x.bind_dynamic(0, T_DYN)
    rope_cos.bind_dynamic(0, T_DYN)
    rope_sin.bind_dynamic(0, T_DYN)
    q.bind_dynamic(0, T_DYN)
    kv.bind_dynamic(0, T_DYN)
    qr.bind_dynamic(0, T_DYN)
    qr_scale.bind_dynamic(0, T_DYN)
    qkv_proj_rope(x, wq_a, wq_b, wq_b_scale, wkv, rope_cos, rope_sin, gamma_cq, gamma_ckv, q, kv, qr, qr_scale)
    return q


if __name__ == "__main__":
    from qkv_proj_rope_script import main

    main(qkv_proj_rope_test)
