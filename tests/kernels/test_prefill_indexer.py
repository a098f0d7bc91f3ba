"""The prefill indexer and its compressor: kernels against references, faults, launches and scratch."""

import dataclasses

import numpy as np
import pytest

from kernels.dsv4 import config, prefill_indexer_fixtures

from .kernel_layout import differences, layout, pipe_bytes, right_and_clean_run
from .planted import first_ones_quick
from .prefill_layouts import INDEXER_COMPRESSOR, INDEXER_SEED_PIPES, indexer, within
from .sandbox import load

SMALL = dataclasses.replace(
    config.FLASH,
    hidden_size=1024,
    q_lora_rank=256,
    index_n_heads=32,
    index_topk=256,
    max_position_embeddings=1024,
)
SIZES = {"FLASH": SMALL, "PREFILL_SEQ": 64}


def compressor_case(place, run, sizes=SIZES, fault=None):
    """run: start_pos and num_tokens. What `differences` takes."""
    if fault is not None:
        fault = ("prefill_indexer_compressor.py", *fault)
    kernel, script = load(place, "prefill_indexer_compressor", "prefill_indexer_script", sizes=sizes, fault=fault)
    specs = script.prefill_indexer_compressor_specs(script.compressor_run(*run))
    golden = script.golden_prefill_indexer_compressor
    return kernel.prefill_indexer_compressor_test, specs, golden, script.COMPRESSOR_TOLERANCE


def indexer_case(place, run, sizes=SIZES, fault=None):
    if fault is not None:
        fault = ("prefill_indexer.py", *fault)
    kernel, script = load(place, "prefill_indexer", "prefill_indexer_script", sizes=sizes, fault=fault)
    specs = script.prefill_indexer_specs(script.indexer_run(*run))
    return kernel.prefill_indexer_test, specs, script.golden_prefill_indexer, script.INDEXER_TOLERANCE


@pytest.mark.parametrize("run", [(0, 64), (64, 64), (101, 64), (90, 41)])
def test_small_compressor_equals_its_reference(tmp_path, run):
    assert not any(differences(*compressor_case(tmp_path, run)))


@pytest.mark.parametrize("run", [(0, 64), (0, 37), (21, 40), (30, 34)])
def test_small_indexer_equals_its_reference(tmp_path, run):
    assert not any(differences(*indexer_case(tmp_path, run)))


COMPRESSOR_FAULTS = {
    "state row of another position": ("o_pos % STATE_PAGE", "o_pos % STATE_PAGE // 2"),
    "page table not used": ("pl.read(inner_compress_state_block_table, [o_pos // STATE_PAGE])", "o_pos // STATE_PAGE"),
    "window before from the state only": ("if o_own >= o_before", "if o_own >= o_start"),
    "first half for both windows": ("(o_slot // COMPRESS_RATIO) * HEAD_DIM + o_h0", "o_h0"),
    "sum not rescaled": ("pl.add(pl.mul(o_alpha, o_sum), o_beta)", "pl.add(o_sum, o_beta)"),
    "row of the window left out": ("for o_r in pl.range(POOLED_ROWS - 1)", "for o_r in pl.range(POOLED_ROWS - 2)"),
    "wrong ape in the pool": ("pl.cast(o_own % COMPRESS_RATIO", "pl.cast((o_own + 1) % COMPRESS_RATIO"),
    "wrong row of ape in the state": ("[s_t]) % COMPRESS_RATIO", "[s_t]) % 3"),
    "rotation at the last position": (" + 1 - COMPRESS_RATIO, pl.INDEX)", ", pl.INDEX)"),
    "RoPE lanes not swapped": ("index=n_swap_idx", "index=pl.cast(n_col, target_type=pl.INT32)"),
    "partner in the other half": ("pl.sub(pl.add(n_col, 1.0), pl.mul(n_lane, 2.0))", "pl.add(pl.neg(n_col), 63.0)"),
    "dropped gamma": ("pl.cast(pl.col_expand_mul(n_x, n_gamma)", "pl.cast(n_x"),
    "mean of the wrong width": ("pl.mul(n_sum, 1.0 / HEAD_DIM)", "pl.mul(n_sum, 2.0 / HEAD_DIM)"),
    "half of the Hadamard matrix twice": ("hadamard[0:HEAD_DIM, h_n0 : h_n0 + OUT_TILE]", "hadamard[:, 0:OUT_TILE]"),
    "projection lacks a step": ("pl.pipeline(0, D // K_TILE,", "pl.pipeline(0, D // K_TILE - 1,"),
    "key written a row later": ("[w_row : w_row + 1", "[w_row + 1 : w_row + 2"),
    "padding taken": ("if s_t < num_tokens", "if s_t < T"),
}  # fmt: skip


def slots_of_padding(slots):
    """The tokens of padding name rows of the state, which stay as they are all the same."""
    slots[41:] = np.arange(64 - 41)
    return slots


def planted_in_the_compressor(place, fault=None):
    """A run that starts within a window and ends in padding."""
    entry, specs, *rest = compressor_case(place, (90, 41), fault=fault)
    slots = next(spec for spec in specs if spec.name == "inner_state_slot_mapping")
    slots.init_value = slots_of_padding(slots.create_tensor(0))
    return differences(entry, specs, *rest)


@pytest.mark.plants("prefill_indexer_compressor")
@pytest.mark.parametrize("name", first_ones_quick(COMPRESSOR_FAULTS, 10))
def test_small_planted_fault_in_the_compressor_is_caught(tmp_path, name):
    assert any(planted_in_the_compressor(tmp_path, COMPRESSOR_FAULTS[name]))


def test_small_compressor_passes_what_the_faults_are_planted_in(tmp_path):
    assert not any(planted_in_the_compressor(tmp_path))


INDEXER_FAULTS = {
    "no relu": ("s_relu = pl.maximum(s_dots, pl.mul(s_dots, 0.0))", "s_relu = s_dots"),
    "keys not dequantised": ("pl.row_expand_mul(s_dots, s_factor)", "s_dots"),
    "query not dequantised": ("pl.col_expand_mul(pl.row_expand_mul(s_dots, s_factor), s_q_factor)",
                              "pl.row_expand_mul(s_dots, s_factor)"),
    "queries of one token": ("a_q = qr_hadamard_i8[a_t * HEADS : (a_t + 1) * HEADS", "a_q = qr_hadamard_i8[0:HEADS"),
    "row seen before its window ends": ("pl.read(position_ids, [s_t]) + 1)", "pl.read(position_ids, [s_t]) + 2)"),
    "RoPE lanes not swapped": ("index=r_swap_idx", "index=pl.cast(r_col, target_type=pl.INT32)"),
    "page table not used": ("pl.read(idx_block_table, [c_k0 // BLOCK_SIZE])", "c_k0 // BLOCK_SIZE"),
    "scales of another tile": ("wq_b_scale[q_n0 : q_n0 + Q_OUT_TILE]", "wq_b_scale[0:Q_OUT_TILE]"),
    "offset of the window left out": ("pl.add(b_idx, INDEXER_OFFSET)", "pl.add(b_idx, T)"),
    "worst first": ("pl.sort32(score_wide[b_t : b_t + 1, :],", "pl.sort32(pl.neg(score_wide[b_t : b_t + 1, :]),"),
    "missing scale of the query": ("q_sum = pl.row_expand_mul(q_sum, qr_scale[q_t0 : q_t0 + Q_ROW_TILE, :])", "pass"),
    "projection lacks a step": ("pl.pipeline(0, Q_LORA // Q_TILE,", "pl.pipeline(0, Q_LORA // Q_TILE - 1,"),
    "rotation of another token": ("cos[r_t : r_t + 1, 0:HALF_ROPE]", "cos[0:1, 0:HALF_ROPE]"),
    "turned the other way": ("pl.mul(r_swapped, r_sign)", "pl.mul(r_swapped, pl.neg(r_sign))"),
    "Hadamard rows of the other half": ("h_rope, hadamard[NOPE_DIM:HEAD_DIM, :]", "h_rope, hadamard[0:NOPE_DIM, :]"),
    "scale of a quarter": ("for h_a0 in pl.range(0, HEAD_DIM,", "for h_a0 in pl.range(0, HEAD_DIM // 4,"),
    "head weights not scaled": ("pl.mul(w_acc, WEIGHTS_SCALE)", "w_acc"),
    "weights of the first token": ("weights[s_t : s_t + 1, :]", "weights[0:1, :]"),
    "padding scored": ("if s_t < num_tokens", "if s_t < T"),
    "padding listed": ("if b_t < num_tokens", "if b_t < T"),
    "list cut a row early": ("pl.min(IDX_TOPK, b_seen)", "pl.min(IDX_TOPK, b_seen - 1)"),
}  # fmt: skip


@pytest.mark.plants("prefill_indexer")
@pytest.mark.parametrize("name", first_ones_quick(INDEXER_FAULTS, 10))
def test_small_planted_fault_in_the_indexer_is_caught(tmp_path, name):
    assert any(differences(*indexer_case(tmp_path, (21, 40), fault=INDEXER_FAULTS[name])))


# Flash size

FIRST_LINES = [("1", "alloc", "cmp_topk_indices", 128 * 512 * 4)]
LAST_LINES = [("1", "AIV", "prefill_idx_topk_copy", 8)]
COMPRESSOR_LAYOUT = within("1", [*INDEXER_COMPRESSOR, ("AIV", "prefill_idx_c4_kv_test_extract", 2)])


@pytest.mark.flash
@pytest.mark.parametrize("run", [(0, 128), (100, 128), (640, 77)])
def test_compressor_is_right_and_launches_what_the_tables_say(tmp_path, run):
    done = right_and_clean_run(*compressor_case(tmp_path, run, sizes={}))
    assert layout(done) == COMPRESSOR_LAYOUT and pipe_bytes(done) == []


@pytest.mark.flash
@pytest.mark.parametrize("run", [(0, 128), (50, 70)])
def test_indexer_is_right_and_launches_what_the_tables_say(tmp_path, run):
    done = right_and_clean_run(*indexer_case(tmp_path, run, sizes={}), pipe_slots="seed")
    assert layout(done) == [*FIRST_LINES, *indexer("1", loops_have_scopes=True), *LAST_LINES]
    assert pipe_bytes(done) == INDEXER_SEED_PIPES


# Fixture


def test_run_of_the_indexer_ends_within_the_rows_that_are_scored():
    assert prefill_indexer_fixtures.indexer_run(60, 68).cache_slots[3] == 128 + 15  # pages are swapped
    with pytest.raises(ValueError, match=r"start_pos=64 with 128 tokens needs 48 .* first 32"):
        prefill_indexer_fixtures.indexer_run(64, 128)
