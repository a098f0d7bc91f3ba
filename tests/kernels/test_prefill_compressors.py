"""The prefill compressors: reference against plain Python, kernels against reference, faults, launches and scratch."""

import cmath
import dataclasses
import math

import ml_dtypes
import numpy as np
import pytest

from kernels.dsv4 import config, prefill_compressor_fixtures, prefill_compressor_reference

from .kernel_layout import clean_run, compared, layout, pipe_bytes
from .sandbox import load

BF16 = ml_dtypes.bfloat16
SMALL = dataclasses.replace(config.FLASH, hidden_size=1024, head_dim=256, index_topk=256, max_position_embeddings=1024)
SIZES = {"FLASH": SMALL, "PREFILL_SEQ": 64}
RATIOS = (4, 128)


def loaded(tmp_path, ratio, **options):
    """The entry of a compressor, and the script's module with its fixtures."""
    name = f"prefill_compressor_ratio{ratio}"
    kernel, script = load(tmp_path, name, "prefill_compressor_script", **options)
    return getattr(kernel, f"{name}_test"), script


def outcome(tmp_path, ratio, changed=None, sizes=SIZES, fault=None, **run):
    """The result of a kernel, with a fault or without. changed: arguments by name, made from those of the fixture."""
    if fault is not None:
        fault = (f"prefill_compressor_ratio{ratio}.py", *fault)
    entry, script = loaded(tmp_path, ratio, sizes=sizes, fault=fault)
    specs = script.PrefillRun(script.COMPRESSORS[ratio], **run).specs()
    for spec in specs:
        if spec.name in (changed or {}):
            spec.init_value = changed[spec.name](spec.create_tensor(0))
    return compared(entry, specs, script.GOLDEN[ratio], script.OUTPUT_TOLERANCE)


@pytest.mark.parametrize("ratio", RATIOS)
@pytest.mark.parametrize(
    "run", [{}, {"start_pos": 64}, {"start_pos": 101}, {"start_pos": 90, "num_tokens": 41}], ids=str
)
def test_small_kernel_equals_its_reference(tmp_path, ratio, run):
    result = outcome(tmp_path, ratio, **run)
    assert result.passed, result.error


def without_pages(table):
    """The table with no page for positions 96 to 103."""
    rows = 1024 // len(table)
    return np.where(np.isin(np.arange(len(table)) * rows // 8, [12]), -1, table).astype(np.int32)


@pytest.mark.parametrize("ratio", RATIOS)
def test_a_position_without_a_page_counts_as_the_fixture_says(tmp_path, ratio):
    result = outcome(tmp_path, ratio, {"compress_state_block_table": without_pages}, start_pos=104)
    assert result.passed, result.error


SHARED = {
    "state row of another position": ("o_pos % STATE_PAGE", "o_pos % STATE_PAGE // 2"),
    "page table not used": ("pl.read(compress_state_block_table, [o_pos // STATE_PAGE])", "(o_pos // STATE_PAGE)"),
    "wrong row of ape": ("pl.read(position_ids, [s_t]) % COMPRESS_RATIO", "pl.read(position_ids, [s_t]) % 3"),
    "rotation at the last position": (" + 1 - COMPRESS_RATIO, pl.INDEX)", ", pl.INDEX)"),
    "RoPE lanes not swapped": ("index=n_swap_idx", "index=pl.cast(n_col, target_type=pl.INT32)"),
    "dropped eps": ("pl.add(pl.mul(n_sum, 1.0 / HEAD_DIM), EPS)", "pl.mul(n_sum, 1.0 / HEAD_DIM)"),
    "dropped gamma": ("pl.col_expand_mul(n_x, n_gamma)", "n_x"),
    "first cache row dropped": ("if m_row >= 0", "if m_row > 25"),
    "cache row off by one": ("cmp_kv_flat[w_row : w_row + 1", "cmp_kv_flat[w_row + 1 : w_row + 2"),
    "projection lacks a step": ("pl.pipeline(0, D // K_TILE,", "pl.pipeline(0, D // K_TILE - 1,"),
    "padding taken": ("if s_t < num_tokens", "if s_t < T"),
}
OWN = {
    4: {
        "first half for both windows": ("(o_slot // COMPRESS_RATIO) * HEAD_DIM + o_h0", "o_h0"),
        "window before from the state only": ("if o_own >= o_before", "if o_own >= o_start"),
        "sum not rescaled": ("pl.add(pl.mul(o_alpha, o_sum), o_beta)", "pl.add(o_sum, o_beta)"),
        "wrong ape in the pool": ("o_own % COMPRESS_RATIO", "(o_own + 1) % COMPRESS_RATIO"),
    },
    128: {
        "softmax not normalised": ("pl.row_expand_div(o_exp, pl.row_sum(o_exp))", "o_exp"),
        "values as scores": (
            "score_state_flat[o_row : o_row + 1, o_h0 : o_h0 + HEAD_TILE]",
            "kv_state_flat[o_row : o_row + 1, o_h0 : o_h0 + HEAD_TILE]",
        ),
    },
}
PLANTED = [(ratio, name) for ratio in RATIOS for name in (*SHARED, *OWN[ratio])]


def slots_of_padding(slots):
    """The tokens of padding name rows of the state, which stay as they are all the same."""
    slots[60:] = np.arange(4)
    return slots


def planted(tmp_path, ratio, fault=None):
    """A run whose window starts at a position that is turned, before the run."""
    start_pos = {4: 101, 128: 229}[ratio]
    changed = {"state_slot_mapping": slots_of_padding}
    return outcome(tmp_path, ratio, changed, fault=fault, start_pos=start_pos, num_tokens=60)


@pytest.mark.plants("prefill_compressor_ratio{ratio}")
@pytest.mark.parametrize(("ratio", "name"), PLANTED)
def test_small_planted_fault_is_caught(tmp_path, ratio, name):
    result = planted(tmp_path, ratio, (SHARED | OWN[ratio])[name])
    assert not result.passed
    assert "ratio_allclose" in result.error


@pytest.mark.parametrize("ratio", RATIOS)
def test_small_kernel_passes_what_the_faults_are_planted_in(tmp_path, ratio):
    result = planted(tmp_path, ratio)
    assert result.passed, result.error


@pytest.mark.flash
@pytest.mark.parametrize("ratio", RATIOS)
@pytest.mark.parametrize("start_pos", [0, 100, 640])
def test_kernel_equals_its_reference(tmp_path, ratio, start_pos):
    result = outcome(tmp_path, ratio, sizes=None, start_pos=start_pos)
    assert result.passed, result.error


# (scope, kind or alloc, name, blocks or bytes)
LAYOUTS = {
    128: [
        ("1", "alloc", "pooled_kv_pad", 8 * 512 * 4),
        ("1", "alloc", "normed_kv_pad", 8 * 512 * 4),
        ("1", "AIV", "prefill_hca_c128_norm_pad_init", 1),
        ("1", "alloc", "kv_proj_scratch", 128 * 512 * 4),
        ("1", "alloc", "score_proj_scratch", 128 * 512 * 4),
        ("1", "AIC", "prefill_hca_c128_kv_score_proj", 16),
        ("1", "alloc", "write_pos_map", 8 * 4),
        ("1", "alloc", "write_dst_map", 8 * 4),
        ("1", "AIV", "prefill_hca_c128_write_map", 1),
        ("1", "AIV", "prefill_hca_c128_state_scatter_pre", 128),
        ("1", "AIV", "prefill_hca_c128_softmax_pool", 8),
        ("1", "AIV", "prefill_hca_c128_rmsnorm_rope", 1),
        ("1", "AIV", "prefill_hca_c128_kv_finalize", 1),
    ],
    4: [
        ("1", "alloc", "cmp4_kv_proj_scratch", 128 * 1024 * 4),
        ("1", "alloc", "cmp4_score_proj_scratch", 128 * 1024 * 4),
        ("1", "AIC", "prefill_c4_kv_score_proj", 32),
        ("1", "alloc", "write_pos_map", 32 * 4),
        ("1", "alloc", "write_dst_map", 32 * 4),
        ("1", "AIV", "prefill_c4_write_map", 1),
        ("1", "alloc", "pooled_kv", 32 * 512 * 4),
        ("1", "AIV", "prefill_c4_softmax_pool", 64),
        ("1", "alloc", "normed_kv", 32 * 512 * 4),
        ("1", "AIV", "prefill_c4_rmsnorm_rope", 2),
        ("1", "AIV", "prefill_c4_cache_write", 2),
        ("1", "AIV", "prefill_c4_state_update", 128),
    ],
}


@pytest.mark.flash
@pytest.mark.parametrize("ratio", RATIOS)
def test_launches_scratch_and_scopes(tmp_path, ratio):
    entry, script = loaded(tmp_path, ratio)
    done = clean_run(entry, script.PrefillRun(script.COMPRESSORS[ratio], start_pos=100).specs())
    assert layout(done) == LAYOUTS[ratio]
    assert pipe_bytes(done) == []


# Reference and fixture

WIDTH, HIDDEN, TOKENS, PAGE = 66, 3, 7, 3  # two columns are not turned, 64 are


def tiny_inputs(overlap):
    """Windows of 2; positions 5 to 11, of which the last is padding; no page for positions 3 to 5."""
    rng = np.random.default_rng(4)
    columns = WIDTH * (2 if overlap else 1)

    def draw(*shape, dtype=np.float32):
        return rng.normal(size=shape).astype(dtype)

    return {
        "x": draw(TOKENS, HIDDEN, dtype=BF16),
        "kv_state": draw(4, PAGE, columns),
        "score_state": draw(4, PAGE, columns),
        "compress_state_block_table": np.array([2, -1, 3, 0], np.int32),
        "wkv": draw(HIDDEN, columns, dtype=BF16),
        "wgate": draw(HIDDEN, columns, dtype=BF16),
        "ape": draw(2, columns),
        "norm_w": draw(WIDTH, dtype=BF16),
        "freqs_cos": np.tile(np.cos(np.outer(np.arange(12), np.arange(32) / 9)), 2).astype(BF16),
        "freqs_sin": np.tile(np.sin(np.outer(np.arange(12), np.arange(32) / 9)), 2).astype(BF16),
        "cmp_kv": np.zeros((1, 8, 1, WIDTH), BF16),
        "position_ids": np.arange(5, 12, dtype=np.int32),
        "num_tokens": np.int32(6),
        "cmp_slot_mapping": np.array([2, -1, 5, -1, 7, -1, 1], np.int64),
        "state_slot_mapping": np.array([-1, 9, 10, 11, 0, 1, 2], np.int64),
    }


def plain_row(t, position, column, no_score):
    """Value and score at one position and column."""
    if 5 <= position <= 10:
        x = [float(v) for v in t["x"][position - 5]]
        value = sum(a * float(w) for a, w in zip(x, t["wkv"][:, column], strict=True))
        score = sum(a * float(w) for a, w in zip(x, t["wgate"][:, column], strict=True))
        return value, score + float(t["ape"][position % 2, column])
    if 3 <= position <= 5:
        return 0.0, no_score
    return float(t["kv_state"][2, position, column]), float(t["score_state"][2, position, column])


def plain_window(t, start, overlap, no_score):
    """The compressed row of the window from `start`, a list of FP64."""
    pooled = []
    for column in range(WIDTH):
        rows = [plain_row(t, p, column + (WIDTH if overlap else 0), no_score) for p in (start, start + 1)]
        if overlap and start >= 2:
            rows += [plain_row(t, p, column, no_score) for p in (start - 2, start - 1)]
        total = sum(math.exp(score) for _, score in rows)
        pooled.append(sum(value * math.exp(score) for value, score in rows) / total)
    size = math.sqrt(sum(v * v for v in pooled) / WIDTH + 1e-6)
    row = [v / size * float(g) for v, g in zip(pooled, t["norm_w"], strict=True)]
    for pair in range(32):
        angle = complex(float(t["freqs_cos"][start, pair]), float(t["freqs_sin"][start, pair]))
        turned = complex(row[2 + 2 * pair], row[3 + 2 * pair]) * angle
        row[2 + 2 * pair], row[3 + 2 * pair] = turned.real, turned.imag
    return row


@pytest.mark.parametrize("no_score", [0.0, -700.0])
@pytest.mark.parametrize("overlap", [False, True])
def test_reference_is_the_definition(overlap, no_score):
    t = tiny_inputs(overlap)
    before = {name: value.copy() for name, value in t.items()}
    prefill_compressor_reference.golden_prefill_compressor(t, no_score)
    found = t["cmp_kv"][0, :, 0].astype(float)
    for slot, start in ((2, 4), (5, 6), (7, 8)):
        np.testing.assert_allclose(found[slot], plain_window(before, start, overlap, no_score), rtol=1e-2, atol=1e-5)
    assert not found[[0, 1, 3, 4, 6]].any()
    for name, place in (("kv_state", 0), ("score_state", 1)):
        rows = t[name].reshape(12, -1)
        for row, position in ((9, 6), (10, 7), (11, 8), (0, 9), (1, 10)):
            want = [plain_row(before, position, column, 0.0)[place] for column in range(rows.shape[1])]
            np.testing.assert_allclose(rows[row], want, rtol=1e-5, atol=1e-6)
        assert (rows[2:9] == before[name].reshape(12, -1)[2:9]).all()  # a slot of padding, or nobody's


def test_rotation_is_at_the_first_position_of_the_window():
    """With one token that has all the weight, the row is its normalised value turned by the window's angle."""
    t = tiny_inputs(overlap=False)
    t["ape"][1] = 80.0  # positions 5, 7 and 9
    prefill_compressor_reference.golden_prefill_compressor(t, 0.0)
    value = t["x"][2].astype(float) @ t["wkv"].astype(float)  # position 7, of the window from 6
    value = value / math.sqrt((value**2).mean() + 1e-6) * t["norm_w"].astype(float)
    turned = complex(value[2 + 14], value[3 + 14]) * cmath.exp(1j * 6 * 7 / 9)
    assert t["cmp_kv"][0, 5, 0, 16].astype(float) == pytest.approx(turned.real, rel=2e-2, abs=2e-2)
    assert t["cmp_kv"][0, 5, 0, 17].astype(float) == pytest.approx(turned.imag, rel=2e-2, abs=2e-2)


def test_fixture_puts_positions_where_the_table_says():
    run = prefill_compressor_fixtures.PrefillRun(prefill_compressor_fixtures.COMPRESSORS[4], 6, num_tokens=7)
    # Position 6 is row 2 of page 1, which is page 20 of 2048.
    assert run.state_slots[:3].tolist() == [82, 83, (2 * 17 + 3) * 4] and run.state_slots[7] == -1
    assert run.cache_slots[:8].tolist() == [-1, 1, -1, -1, -1, 2, -1, -1]
    assert sorted(run.state_table) == list(range(2048))
    kept = run.state(0, "kv_state").reshape(-1, 1024)
    assert np.flatnonzero(kept.any(axis=1)).tolist() == sorted(run.state_rows(np.arange(6)))


@pytest.mark.parametrize(
    ("start_pos", "said"), [(-1, "start_pos=-1"), (8100, "there are 8192"), (2000, "place for 256")]
)
def test_fixture_refuses_a_run_without_place(start_pos, said):
    with pytest.raises(ValueError, match=said):
        prefill_compressor_fixtures.PrefillRun(prefill_compressor_fixtures.COMPRESSORS[4], start_pos)
