"""Query and latent projections and the decode compressors at small size: kernels against references, faults."""

import dataclasses
from functools import partial

import numpy as np
import pytest

from kernels.dsv4 import config

from .kernel_layout import differences
from .planted import first_ones_quick
from .sandbox import load

SMALL = dataclasses.replace(config.FLASH, hidden_size=1024, num_attention_heads=8, head_dim=256, q_lora_rank=1024)
SIZES = {"FLASH": SMALL}
COMPRESSOR_SIZES = {"FLASH": SMALL, "DECODE_BATCH": 32}
STATE_PAGES = (0, 31)  # change places in each table, so that a kernel that ignores it is found out


def projections_case(place, fault=None):
    """What `differences` takes."""
    if fault is not None:
        fault = ("qkv_proj_rope.py", *fault)
    kernel, script = load(place, "qkv_proj_rope", "qkv_proj_rope_script", sizes=SIZES, fault=fault)
    specs = script.qkv_proj_rope_specs(128)
    return kernel.qkv_proj_rope_test, specs, script.golden_qkv_proj_rope, script.OUTPUT_TOLERANCE


def compressor_case(place, ratio, start_pos=None, fault=None):
    name = f"decode_compressor_ratio{ratio}"
    if fault is not None:
        fault = (f"{name}.py", *fault)
    kernel, script = load(place, name, "decode_compressor_script", sizes=COMPRESSOR_SIZES, fault=fault)
    compressor = dataclasses.replace(script.COMPRESSORS[ratio], swapped=STATE_PAGES)
    starts = None if start_pos is None else np.full(32, start_pos)
    specs = script.compressor_specs(script.CompressorStep(compressor, starts, 32))
    return kernel.compressor_test, specs, partial(script.golden_compressor, ratio=ratio), script.OUTPUT_TOLERANCE


def test_small_projections_equal_their_reference(tmp_path):
    assert not any(differences(*projections_case(tmp_path)))


@pytest.mark.parametrize(("ratio", "start_pos"), [(4, None), (4, 6), (128, None), (128, 254)])
def test_small_compressor_equals_its_reference(tmp_path, ratio, start_pos):
    assert not any(differences(*compressor_case(tmp_path, ratio, start_pos)))


PROJECTION_FAULTS = {
    "half of the inner extent": ("a_base = (a_block % QR_OK) * QR_K_SLICE", "a_base = 0"),
    "query norm without factors": ("n_norm = pl.col_expand_mul(pl.row_expand_mul(n_again, n_inv), n_factor)",
                                   "n_norm = pl.row_expand_mul(n_again, n_inv)"),
    "largest magnitude of positive values": ("pl.row_max(pl.maximum(n_y, pl.neg(n_y)))", "pl.row_max(n_y)"),
    "factor not inverted": ("pl.reshape(pl.recip(n_scale), [T_TILE, 1])", "pl.reshape(n_scale, [T_TILE, 1])"),
    "scales of another tile": ("wq_b_scale[d_n0 : d_n0 + DEQUANT_N_TILE]", "wq_b_scale[0:DEQUANT_N_TILE]"),
    "heads not normalised": ("pl.row_expand_mul(h_turned, h_inv)", "h_turned"),
    "mean over rotated columns only": ("pl.mul(h_sum, 1.0 / HEAD_DIM)", "pl.mul(h_sum, 1.0 / ROPE_DIM)"),
    "partner in the other half": ("pl.sub(pl.add(h_col, 1.0), pl.mul(h_lane, 2.0))", "pl.add(pl.neg(h_col), 63.0)"),
    "latent turned the other way": ("pl.mul(v_swapped, v_sign)", "pl.mul(v_swapped, pl.neg(v_sign))"),
    "latent norm without factors": ("pl.cast(pl.col_expand_mul(v_x, v_gamma)", "pl.cast(v_x"),
    "rotated columns without factors": ("v_rope = pl.col_expand_mul(v_rope, v_factor)", "pass"),
    "rotation of another tile": ("rope_cos[v_t0 : v_t0 + KV_RMS_T_TILE, :]", "rope_cos[0:KV_RMS_T_TILE, :]"),
    "first weights of wq_b only": ("p_w = wq_b[p_k0 : p_k0 + QPROJ_K_TILE,", "p_w = wq_b[0:QPROJ_K_TILE,"),
    "latent of one part of the inner extent": ("k_base = (k_block % KV_OK) * KV_K_SLICE", "k_base = 0"),
    "cosine of another pair": ("pl.gather(v_cos_row, dim=-1, index=v_pair_idx)",
                               "pl.gather(v_cos_row, dim=-1, index=v_swap_idx)"),
}  # fmt: skip
SHARED = {
    "wrong row of ape": ("s_pos % COMPRESS_RATIO", "s_pos % 3"),
    "dropped gamma": ("pl.col_expand_mul(n_x, n_gamma)", "n_x"),
    "lanes not swapped": ("index=n_swap_idx", "index=pl.cast(n_col, target_type=pl.INT32)"),
    "sin as cos": ("pl.gather(cos[n_b0", "pl.gather(sin[n_b0"),
    "mean of the wrong width": ("pl.mul(n_sum, 1.0 / HEAD_DIM)", "pl.mul(n_sum, 2.0 / HEAD_DIM)"),
    "cache row off by one": ("cache[w_row : w_row + 1", "cache[w_row + 1 : w_row + 2"),
    "projection lacks a step": ("pl.pipeline(0, D // K_TILE,", "pl.pipeline(0, D // K_TILE - 1,"),
    "rotated columns without factors": ("n_rope = pl.col_expand_mul(n_rope, n_factor)", "pass"),
}
COMPRESSOR_FAULTS = {
    4: {
        **SHARED,
        "sum not rescaled": ("pl.add(pl.mul(o_alpha, o_sum), o_beta)", "pl.add(o_sum, o_beta)"),
        "window before in its second half": ("o_value = state[o_row : o_row + 1, o_h0 : o_h0 +",
                                             "o_value = state[o_row : o_row + 1, o_v0 : o_v0 +"),
        "window before never taken": ("if o_before >= 0", "if o_before >= 100000"),
        "page table not used": ("pl.read(compress_state_block_table, [o_b, o_now // STATE_PAGE])",
                                "(o_b * STATE_MAX_BLOCKS + o_now // STATE_PAGE)"),
        "window that the second token closes not pooled": ("if o_in_window + S >= COMPRESS_RATIO",
                                                           "if o_in_window + 1 >= COMPRESS_RATIO"),
        "slot of the first token": ("[w_b, COMPRESS_RATIO - 1 - w_in_window]", "[w_b, 0]"),
    },
    128: {
        **SHARED,
        "weights do not sum to one": ("pl.row_expand_div(o_exp, pl.row_sum(o_exp))", "pl.mul(o_exp, 0.01)"),
        "values as scores": ("o_s0 = o_v0 + OUT_DIM", "o_s0 = o_v0"),
        "page table not used": ("pl.read(compress_state_block_table, [o_b, o_pos // STATE_PAGE])",
                                "(o_b * 64 + o_pos // STATE_PAGE)"),
        "window starts a row early": ("o_pos = o_first - o_in_window + o_i",
                                      "o_pos = pl.max(o_first - o_in_window + o_i - 1, 0)"),
        "slot of the first token": ("w_last = COMPRESS_RATIO - 1 - w_in_window", "w_last = 0"),
        "state of one token": ("s_n0 = s_t * OUT_DIM", "s_n0 = 0"),
    },
}  # fmt: skip


@pytest.mark.plants("qkv_proj_rope")
@pytest.mark.parametrize("name", first_ones_quick(PROJECTION_FAULTS, 10))
def test_small_planted_fault_in_the_projections_is_caught(tmp_path, name):
    assert any(differences(*projections_case(tmp_path, PROJECTION_FAULTS[name])))


@pytest.mark.plants("decode_compressor_ratio4")
@pytest.mark.parametrize("name", first_ones_quick(COMPRESSOR_FAULTS[4], 10))
def test_small_planted_fault_in_compression_by_4_is_caught(tmp_path, name):
    assert any(differences(*compressor_case(tmp_path, 4, fault=COMPRESSOR_FAULTS[4][name])))


@pytest.mark.plants("decode_compressor_ratio128")
@pytest.mark.parametrize("name", first_ones_quick(COMPRESSOR_FAULTS[128], 10))
def test_small_planted_fault_in_compression_by_128_is_caught(tmp_path, name):
    assert any(differences(*compressor_case(tmp_path, 128, fault=COMPRESSOR_FAULTS[128][name])))
