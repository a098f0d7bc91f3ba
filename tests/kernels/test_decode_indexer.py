"""The decode indexer and its compressor: references against plain Python, kernels against references, faults."""

import dataclasses
import math

import numpy as np
import pytest

from kernels.dsv4 import config, fp8_weights, indexer_fixtures, indexer_reference

from .kernel_layout import differences
from .planted import Bench, first_ones_quick
from .sandbox import load

SMALL = dataclasses.replace(config.FLASH, hidden_size=1024, q_lora_rank=256, index_n_heads=32)
SIZES = {"FLASH": SMALL, "DECODE_BATCH": 32}


def compressor_case(place, fault=None, start_pos=None):
    if fault is not None:
        fault = ("decode_indexer_compressor.py", *fault)
    names = ("decode_indexer_compressor", "decode_indexer_script")
    kernel, script = load(place, *names, sizes=SIZES, fault=fault)
    specs = script.indexer_compressor_specs(start_pos)
    return kernel.compressor_test, specs, script.golden_indexer_compressor, script.tolerances(32)[0]


def indexer_case(place, fault=None, start_pos=None):
    if fault is not None:
        fault = ("decode_indexer.py", *fault)
    kernel, script = load(place, "decode_indexer", "decode_indexer_script", sizes=SIZES, fault=fault)
    return kernel.indexer_test, script.indexer_specs(start_pos), script.golden_indexer, script.tolerances(32)[1]


@pytest.mark.parametrize("start_pos", [None, 2, 258])
def test_small_compressor_equals_its_reference(tmp_path, start_pos):
    assert not any(differences(*compressor_case(tmp_path, start_pos=start_pos)))


@pytest.mark.parametrize("start_pos", [None, 250, 258])
def test_small_indexer_equals_its_reference(tmp_path, start_pos):
    assert not any(differences(*indexer_case(tmp_path, start_pos=start_pos)))


COMPRESSOR_FAULTS = {
    "state row of another position": ("o_before % STATE_PAGE", "o_before % STATE_PAGE // 2"),
    "window before never taken": ("if o_before >= 0", "if o_before >= 100000"),
    "sum not rescaled": ("pl.add(pl.mul(o_alpha, o_sum), o_beta)", "pl.add(o_sum, o_beta)"),
    "scores as values": (
        "o_now_value = state[o_now_row : o_now_row + 1, o_v0 : o_v0 + HEAD_TILE]",
        "o_now_value = state[o_now_row : o_now_row + 1, o_s0 : o_s0 + HEAD_TILE]",
    ),
    "wrong row of ape": ("pl.cast(s_pos % COMPRESS_RATIO, target", "pl.cast(s_pos % 3, target"),
    "RoPE lanes not swapped": ("index=n_swap_idx", "index=pl.cast(n_col, target_type=pl.INT32)"),
    "sin as cos": ("pl.gather(cos[n_b0", "pl.gather(sin[n_b0"),
    "dropped gamma": ("pl.cast(pl.col_expand_mul(n_x, n_gamma)", "pl.cast(n_x"),
    "half of the Hadamard matrix twice": (
        "hadamard[0:HEAD_DIM, h_n0 : h_n0 + OUT_TILE]",
        "hadamard[0:HEAD_DIM, 0:OUT_TILE]",
    ),
    "projection lacks a step": ("pl.matmul_acc(p_kv, p_x, p_wkv)", "p_kv"),
    "cache row off by one": ("cache[w_row : w_row + 1", "cache[w_row + 1 : w_row + 2"),
    "mean of the wrong width": ("pl.mul(n_sum, 1.0 / HEAD_DIM)", "pl.mul(n_sum, 2.0 / HEAD_DIM)"),
}
INDEXER_FAULTS = {
    "missing scale of the query": ("q_sum = pl.row_expand_mul(q_sum, qr_scale[q_t0 : q_t0 + Q_ROW_TILE, :])", "pass"),
    "scales of another tile": ("wq_b_scale[q_n0 : q_n0", "wq_b_scale[0 * q_n0 : 0 * q_n0"),
    "RoPE lanes not swapped": ("index=r_swap_idx", "index=pl.cast(r_col, target_type=pl.INT32)"),
    "rotation of another batch": ("cos[r_b : r_b + 1, 0:HALF_ROPE]", "cos[0:1, 0:HALF_ROPE]"),
    "Hadamard rows of the other half": ("h_rope, hadamard[NOPE_DIM:HEAD_DIM, :]", "h_rope, hadamard[0:NOPE_DIM, :]"),
    "scale of a quarter": ("for h_a0 in pl.range(0, HEAD_DIM,", "for h_a0 in pl.range(0, HEAD_DIM // 4,"),
    "head weights not scaled": ("pl.mul(w_acc, WEIGHTS_SCALE)", "w_acc"),
    "page table not used": ("s_k0 = s_page * BLOCK_SIZE", "s_k0 = s_c0 // BLOCK_SIZE * BLOCK_SIZE"),
    "no relu": ("s_relu = pl.maximum(s_dots, pl.mul(s_dots, 0.0))", "s_relu = s_dots"),
    "one row too many": ("pl.min(CACHE_TILE, s_len - s_c0)", "pl.min(CACHE_TILE, s_len + 1 - s_c0)"),
    "weights of the first token": ("weights[s_t : s_t + 1, :]", "weights[s_b * S : s_b * S + 1, :]"),
    "keys not dequantised": ("pl.row_expand_mul(s_dots, s_factor)", "s_dots"),
    "offset left out": ("pl.add(k_idx, k_offset)", "pl.add(k_idx, 0)"),
    "list cut a row early": ("pl.min(IDX_TOPK, k_len)", "pl.min(IDX_TOPK, k_len - 1)"),
    "merge left out": ("k_pairs = pl.mrgsort(k_pairs, block_len=64)", "pass"),
}  # fmt: skip


@pytest.mark.plants("decode_indexer_compressor")
@pytest.mark.parametrize("name", first_ones_quick(COMPRESSOR_FAULTS, 10))
def test_small_planted_fault_in_the_compressor_is_caught(tmp_path, name):
    assert any(differences(*compressor_case(tmp_path, COMPRESSOR_FAULTS[name])))


@pytest.mark.plants("decode_indexer")
@pytest.mark.parametrize("name", first_ones_quick(INDEXER_FAULTS, 10))
def test_small_planted_fault_in_the_indexer_is_caught(tmp_path, name):
    start_pos = None if "batch" in name else 250
    assert any(differences(*indexer_case(tmp_path, INDEXER_FAULTS[name], start_pos)))


LONG = dataclasses.replace(SMALL, max_position_embeddings=16384, index_topk=1024)  # as the larger model is deployed
LENGTHS = {0: 16384, 9: 8196, 30: 12345}  # tokens of some batches: all rows, one beyond the first half, and between


@pytest.fixture(scope="module")
def long_bench(tmp_path_factory):
    def given(script, _):
        specs = script.indexer_specs(250)
        lengths = next(spec for spec in specs if spec.name == "kv_seq_lens")
        lengths.init_value = lengths.create_tensor(0).copy()
        for batch, length in LENGTHS.items():
            lengths.init_value[batch] = length
        return specs, script.golden_indexer, script.tolerances(32)[1]

    sizes = {**SIZES, "FLASH": LONG}
    place = tmp_path_factory.mktemp("long")
    return Bench(place, "decode_indexer", "indexer_test", "decode_indexer_script", sizes, given)


def test_small_indexer_of_two_halves_equals_its_reference(tmp_path, long_bench):
    assert not any(long_bench.said(tmp_path))


HALVES_FAULTS = {
    "second half left out": ("k_best = pl.mrgsort(k_best, k_second)[:, 0 : 2 * IDX_TOPK]", "pass"),
    "first half for both": ("pl.mrgsort(k_best, k_second)", "pl.mrgsort(k_best, k_best)"),
    "second half from its middle": ("2 * SORT_LEN : 2 * SORT_LEN + 2", "3 * SORT_LEN : 3 * SORT_LEN + 2"),
    "best of the first half left out": ("k_best = k_pairs[:, 0 : 2", "k_best = k_pairs[:, 2 : 2 + 2"),
}


@pytest.mark.plants("decode_indexer")
@pytest.mark.parametrize("name", first_ones_quick(HALVES_FAULTS, 10))
def test_small_planted_fault_in_the_halves_is_caught(tmp_path, long_bench, name):
    assert any(long_bench.said(tmp_path, ("decode_indexer.py", *HALVES_FAULTS[name])))


def test_hadamard_matrix_is_orthogonal_and_symmetric():
    matrix = indexer_fixtures.hadamard().astype(np.float64)
    assert np.allclose(matrix @ matrix.T, np.eye(len(matrix)), atol=1e-6)
    assert np.array_equal(matrix, matrix.T)
    assert matrix[5, 3] < 0 < matrix[5, 2]  # (-1)^popcount(i & j)


def test_best_rows_are_sorted_and_end_in_minus_one():
    found = np.array([[[1.0, 5.0, 5.0, -2.0], [4.0, 3.0, 2.0, 1.0]]], np.float32)
    rows = indexer_reference.best(found, np.array([3]), 10)
    assert rows.tolist() == [[[11, 12, 10, -1], [10, 11, 12, -1]]]


def test_score_of_one_row_is_the_weighted_sum_of_positive_products():
    """One head of width 128 is not rotated away: cos 1, sin 0, Hadamard the identity, operands exact in INT8."""
    heads, width, rank = config.FLASH.index_n_heads, config.FLASH.index_head_dim, 2
    qr = np.array([[127, 0]], np.int8)
    wq_b = np.zeros((rank, heads * width), np.int8)
    wq_b[0, 0], wq_b[0, width] = 127, -127
    key = np.zeros((1, 128, 1, width), np.float32)
    key[0, 0, 0, 0] = 2.0
    tensors = {
        "x": np.ones((1, 1, 4), np.float32), "qr": qr, "qr_scale": np.full((1, 1), 1 / 127, np.float32), "wq_b": wq_b,
        "wq_b_scale": np.full(heads * width, 1 / 127, np.float32),
        "weights_proj": np.full((4, heads), 0.25, np.float32),
        "cos": np.ones((1, 32), np.float32), "sin": np.zeros((1, 32), np.float32), "hadamard": np.eye(width),
        "idx_kv_cache": key, "idx_block_table": np.zeros((1, 1), np.int32), "kv_seq_lens": np.array([4]),
        "score": np.empty((1, 1, 2), np.float32),
    }  # fmt: skip
    scale = config.FLASH.index_weights_scale
    found = indexer_reference.scores(tensors)
    # heads 0 and 1 have the queries 1 and -1: products 2 and -2, of which only the first counts; its weight is 4 / 4
    assert math.isclose(found[0, 0, 0], 2.0 * scale, rel_tol=1e-6)
    assert found[0, 0, 1] == config.FP32_NEG_INF


def test_fp8_weights_keep_the_grid_and_the_deviation():
    values, factors = fp8_weights.fp8_weights(3, "w", (256, 512), 0.108, 0.56)
    scaled = values.astype(np.float64) * factors[:, None]
    assert math.isclose(scaled.std(), 0.108, rel_tol=1e-5)
    assert np.abs(values).max(axis=1).min() == 127
    assert len(np.unique(values)) < 255  # e4m3 has fewer levels than INT8
    assert 0.4 < factors.std() / factors.mean() < 0.9


def test_e4m3_grid_is_exact_for_what_it_can_hold():
    block = np.zeros((128, 128), np.float32)
    block[0, :4] = 448.0, 1.125, 0.875, 1.0625  # the last has four bits of fraction, e4m3 three: half goes to even
    rounded = fp8_weights.on_e4m3_grid(block)
    assert rounded[0, :4].tolist() == [448.0, 1.125, 0.875, 1.0]
