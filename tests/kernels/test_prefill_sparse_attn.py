"""Prefill sparse attention: reference against plain Python, kernel against reference, faults, launches and scratch."""

import math

import ml_dtypes
import numpy as np
import pytest

from kernels.dsv4 import prefill_sparse_attn_fixtures, prefill_sparse_attn_reference

from .conftest import SMALL
from .kernel_layout import clean_run, compared, layout, pipe_bytes
from .sandbox import load

BF16 = ml_dtypes.bfloat16
SIZES = {"FLASH": SMALL, "PREFILL_SEQ": 32}
MODULES = ("prefill_sparse_attn", "prefill_sparse_attn_script")
KIB = 1024

# Large rows and scores, so that one row weighs enough to be seen; ring, run and compressed rows are all listed.
FAR = {"compress_ratio": 4, "start_pos": 117, "span": 1.0}


def outcome(tmp_path, changes, sizes=SIZES, fault=None):
    """The result of the kernel, with a fault or without, on the fixture that `changes` describe."""
    kernel, script = load(tmp_path, *MODULES, sizes=sizes, fault=fault)
    specs = script.tensor_specs(script.Fixture(**changes))
    golden = script.golden_prefill_sparse_attn
    return compared(kernel.prefill_sparse_attn_test, specs, golden, script.OUTPUT_TOLERANCE)


@pytest.mark.parametrize(
    "changes",
    [
        {"compress_ratio": 0},
        {"compress_ratio": 4},
        {"compress_ratio": 128, "start_pos": 1000, "span": 1.0},
        FAR,
        {**FAR, "sink": 4.0, "shuffled_pages": True},
        {**FAR, "num_tokens": 21},
        {**FAR, "lengths": {0: 0, 3: 1, 5: 100, 6: 600}},
        {**FAR, "start_pos": 900, "shuffled_pages": True},
    ],
    ids=str,
)
def test_small_kernel_equals_its_reference(tmp_path, changes):
    result = outcome(tmp_path, changes)
    assert result.passed, result.error


FAULTS = {
    "page table not used": (
        "pl.read(cmp_block_table, [g_slot // BLOCK_SIZE])",
        "(g_slot // BLOCK_SIZE)",
        {**FAR, "start_pos": 900, "shuffled_pages": True},
    ),
    "compressed rows one late": ("g_raw - (WIN + T)\n", "g_raw - (WIN + T) + 1\n", FAR),
    "ring row off by one": ("BLOCK_SIZE + g_raw % BLOCK_SIZE", "BLOCK_SIZE + (g_raw + 1) % BLOCK_SIZE", FAR),
    "wrong row of the run": ("pl.cast(g_raw - WIN, pl.INDEX)", "pl.cast((g_raw - WIN) // 2, pl.INDEX)", FAR),
    "missing softmax scale": ("pl.mul(a_raw, SOFTMAX_SCALE)", "pl.mul(a_raw, 1.0)", FAR),
    "length not masked": ("pl.mul(v_named, v_within)", "v_named", {**FAR, "lengths": dict.fromkeys(range(32), 20)}),
    "dropped sink": ("pl.add(m_sum, pl.exp(pl.sub(m_sink_col, m_max)))", "m_sum", {**FAR, "sink": 4.0}),
    "block not rescaled": ("pl.mul(m_alpha, m_sum), pl.mul(m_beta", "m_sum, pl.mul(m_beta", FAR),
    "padding not zero": (
        "m_full = pl.full([H_TILE, HEAD_DIM], dtype=pl.FP32, value=0.0)",
        "m_full = pl.full([H_TILE, HEAD_DIM], dtype=pl.FP32, value=1.0)",
        {**FAR, "num_tokens": 21},
    ),
    "rotation forward": ("pl.neg(pl.sub(pl.mul(s_lane, 2.0), 1.0))", "pl.sub(pl.mul(s_lane, 2.0), 1.0)", FAR),
    "RoPE lanes not swapped": ("index=r_swap_idx", "index=pl.cast(r_col, target_type=pl.INT32)", FAR),
    "wrong token packed": ("m_pack_row = m_g * T + m_t", "m_pack_row = m_g * T + T - 1 - m_t", FAR),
    "first projection lacks a step": ("pl.pipeline(1, O_GROUP_IN", "pl.pipeline(2, O_GROUP_IN", FAR),
    "factor upside down": ("pl.reshape(pl.recip(i_scale)", "pl.reshape((i_scale)", FAR),
}  # fmt: skip


@pytest.mark.plants("prefill_sparse_attn")
@pytest.mark.parametrize("fault", FAULTS)
def test_small_planted_fault_is_caught(tmp_path, fault):
    old, new, changes = FAULTS[fault]
    result = outcome(tmp_path, changes, fault=("prefill_sparse_attn.py", old, new))
    assert not result.passed
    assert "attn_out" in result.error and "ratio_allclose" in result.error


@pytest.mark.flash
@pytest.mark.parametrize("ratio", [0, 4, 128])
def test_kernel_equals_its_reference(tmp_path, ratio):
    result = outcome(tmp_path, {"compress_ratio": ratio}, sizes=None)
    assert result.passed, result.error


# (scope, kind or alloc, name, blocks or bytes)
LAYOUT = [
    ("", "alloc", "sparse_kv", 128 * 384 * 512 * 2),
    ("", "alloc", "sparse_bias", 128 * 384 * 4),
    ("1", "AIV", "gather_kv", 96),
    ("1", "AIV", "build_bias", 8),
    ("", "alloc", "attn_rope_stage", 128 * 64 * 64 * 4),
    ("", "alloc", "o_packed", 8 * 128 * 4096 * 2),
    ("2", "alloc", "sparse_blk_mi", 24576 * 4),
    ("2", "alloc", "sparse_blk_li", 24576 * 4),
    ("2", "alloc", "sparse_blk_oi", 24576 * 512 * 4),
    ("2", "MIX", "qk_pv", 128),
    ("2", "AIV", "merge_norm", 128),
    ("3", "alloc", "rope_cos_il", 128 * 64 * 4),
    ("3", "alloc", "rope_sin_signed", 128 * 64 * 4),
    ("3", "AIV", "rope_cs", 2),
    ("3", "AIV", "rope", 32),
    ("3", "alloc", "o_r", 128 * 8192 * 4),
    ("3", "alloc", "o_r_amax_parts", 64 * 128 * 4),
    ("3", "MIX", "proj_a", 64),
    ("3", "alloc", "o_r_i8", 128 * 8192),
    ("3", "alloc", "o_r_scale_dq", 128 * 4),
    ("3", "AIV", "quant", 32),
    ("3", "MIX", "proj_b", 32),
]


@pytest.mark.flash
def test_launches_scratch_and_scopes(tmp_path):
    kernel, script = load(tmp_path, *MODULES)
    done = clean_run(kernel.prefill_sparse_attn_test, script.tensor_specs(script.Fixture(compress_ratio=4)))
    assert layout(done) == LAYOUT
    assert pipe_bytes(done) == [8192 * KIB, 2048 * KIB, 1024 * KIB]


def test_sizes_at_flash(tmp_path):
    (kernel,) = load(tmp_path, "prefill_sparse_attn")
    assert (kernel.T, kernel.TOPK, kernel.PREFILL_MAX_COMPRESSED, kernel.PREFILL_SPARSE_TOPK) == (128, 640, 192, 320)
    assert (kernel.ATTN_BLOCKS, kernel.PADDED_TOPK, kernel.ORI_MAX_BLOCKS, kernel.CMP_MAX_BLOCKS) == (3, 384, 1, 2)


# Reference and fixture

TOKENS, HEADS, WIDTH = 6, 3, 6


def tiny_inputs(sink):
    rng = np.random.default_rng(1)

    def draw(*shape):
        return rng.normal(size=shape).astype(BF16)

    index = np.full((TOKENS, 640), -1, np.int32)
    index[0, [0, 2]] = [3, 128]  # a ring row and the run's first token
    index[1, [0, 1, 130]] = [0, 129, 128 + TOKENS]  # also compressed row 0, in the second page of the list
    index[2, [4, 5, 6]] = [128 + TOKENS, 128 + TOKENS + 127, 128 + TOKENS + 128]  # the last on the second page
    index[3, :3] = [1, 2, 4]  # one of them beyond the length
    index[4, :3] = [1, 2, 4]  # none within the length
    index[5, :3] = [1, 2, 4]  # padding
    angles = rng.uniform(0, 6, (TOKENS, 2))
    return {
        "q": draw(TOKENS, HEADS, WIDTH),
        "ori_kv": draw(1, 128, 1, WIDTH),
        "ori_block_table": np.array([0], np.int32),
        "kv_overlay": draw(TOKENS, WIDTH),
        "cmp_kv": draw(2, 128, 1, WIDTH),
        "cmp_block_table": np.array([1, 0], np.int32),
        "cmp_sparse_indices": index,
        "cmp_sparse_lens": np.array([640, 640, 7, 2, 0, 3], np.int32),
        "attn_sink": np.array([sink, -1.0, 2.5], np.float32),
        "num_tokens": np.int32(5),
        "freqs_cos": np.tile(np.cos(angles), 2).astype(BF16),
        "freqs_sin": np.tile(np.sin(angles), 2).astype(BF16),
        "wo_a": draw(1, 8, HEADS * WIDTH),
        "wo_b": rng.integers(-127, 128, (5, 8)).astype(np.int8),
        "wo_b_scale": rng.uniform(0.5, 1.0, 5).astype(np.float32),
        "attn_out": np.ones((TOKENS, 5), BF16),
    }


def plain_rows(t, token):
    """The definition of an index, spelled out."""
    rows = []
    for place, raw in enumerate(t["cmp_sparse_indices"][token].tolist()):
        if raw == -1 or place >= t["cmp_sparse_lens"][token] or token >= 5:
            continue
        if raw < 128:
            row = t["ori_kv"][0][raw][0]
        elif raw < 128 + TOKENS:
            row = t["kv_overlay"][raw - 128]
        else:
            slot = raw - 128 - TOKENS
            row = t["cmp_kv"][[1, 0][slot // 128]][slot % 128][0]
        rows.append([float(x) for x in row])
    return rows


def plain_output(t, token):
    """FP64 attention, rotation and both projections of one token; the INT8 rounding is the caller's to allow for."""
    heads = []
    rows = plain_rows(t, token)
    for head in range(HEADS):
        query = [float(x) for x in t["q"][token][head]]
        weights = [math.exp(sum(a * b for a, b in zip(query, row, strict=True)) / math.sqrt(WIDTH)) for row in rows]
        total = sum(weights) + math.exp(float(t["attn_sink"][head]))
        out = [sum(w * row[d] for w, row in zip(weights, rows, strict=True)) / total for d in range(WIDTH)]
        for pair in range(2):
            factor = complex(float(t["freqs_cos"][token, pair]), -float(t["freqs_sin"][token, pair]))
            turned = complex(out[2 + 2 * pair], out[3 + 2 * pair]) * factor
            out[2 + 2 * pair], out[3 + 2 * pair] = turned.real, turned.imag
        heads += out
    ranks = t["wo_a"][0].astype(float) @ np.array(heads)
    return ranks, t["wo_b"].astype(float) @ ranks * t["wo_b_scale"]


@pytest.mark.parametrize("sink", [0.0, 30.0, -30.0])
def test_reference_is_the_definition(sink):
    t = tiny_inputs(sink)
    prefill_sparse_attn_reference.golden_prefill_sparse_attn(t)
    found = t["attn_out"].astype(float)
    for token in range(TOKENS):
        ranks, expected = plain_output(t, token)
        half_step = np.abs(ranks).max() / 254 + 0.03  # INT8, and BF16 heads through wo_a
        bound = half_step * np.abs(t["wo_b"].astype(float)).sum(axis=1) * t["wo_b_scale"]
        assert (np.abs(found[token] - expected) <= bound + np.abs(expected) / 128).all()
    assert not found[4:].any() and found[:4].any(axis=1).all()


def test_lists_name_the_window_then_the_closed_windows():
    lists, lengths = prefill_sparse_attn_fixtures.row_lists(np.arange(10, 138), 128, ratio=4)
    # Position 10: ring rows 0..9, the run's first token, compressed rows 0 and 1.
    assert lists[0, :14].tolist() == [*range(10), 128, 256, 257, -1] and lengths[0] == 13
    # Position 137: the window starts at position 10, which is this run's; 34 windows are closed.
    assert lists[127, :163].tolist() == [*range(128, 256), *range(256, 290), -1] and lengths[127] == 162
    # Position 1000 has more closed windows than the list has places left.
    lists, lengths = prefill_sparse_attn_fixtures.row_lists(np.arange(2000, 2128), 5, ratio=4)
    assert lengths.tolist() == [384] * 5 + [0] * 123 and (lists[5:] == -1).all()


def test_a_ratio_that_no_layer_has_is_refused():
    fixture = prefill_sparse_attn_fixtures.Fixture(compress_ratio=8)
    with pytest.raises(ValueError, match="compress_ratio=8"):
        prefill_sparse_attn_fixtures.tensor_specs(fixture)
