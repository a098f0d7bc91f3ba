"""The NumPy reference against the definition, one number at a time in plain Python."""

import math

import ml_dtypes
import numpy as np
import pytest

from kernels.dsv4 import quantization, sparse_attn_reference

BF16 = ml_dtypes.bfloat16
BATCH, STEP, WINDOW, HEADS, WIDTH, ROPE = 2, 2, 4, 3, 6, 4
PAGES, TOPK = 2, 9
TOKENS = BATCH * STEP


def inputs(seed=0, sink=0.0):
    rng = np.random.default_rng(seed)

    def draw(*shape):
        return rng.normal(size=shape).astype(BF16)

    index = np.full((TOKENS, TOPK), -1, np.int32)
    index[0, [0, 2]] = [3, 4]  # a ring row and the batch's first running token
    index[1, [0, 1, 8]] = [0, 5, 6]  # also its second one, and compressed slot 0
    index[2, [4, 5, 6]] = [6, 9, 12]  # compressed slots 0, 3 and 6: the last on the second page
    # token 3 has no row
    angles = rng.uniform(0, 6, (TOKENS, ROPE // 2))
    return {
        "q": draw(TOKENS, HEADS, WIDTH),
        "ori_kv": draw(BATCH, WINDOW, 1, WIDTH),
        "ori_block_table": np.array([[1], [0]], np.int32),
        "mtp_kv_overlay": draw(TOKENS, WIDTH),
        "cmp_kv": draw(BATCH * PAGES, WINDOW, 1, WIDTH),
        "cmp_block_table": np.array([[2, 0], [3, 1]], np.int32),
        "cmp_sparse_indices": index,
        "attn_sink": np.array([sink, -1.0, 2.5], np.float32),
        "freqs_cos": np.tile(np.cos(angles), 2).astype(BF16),
        "freqs_sin": np.tile(np.sin(angles), 2).astype(BF16),
    }


def rows_of(t, token):
    """The definition of an index, spelled out."""
    batch = token // STEP
    rows = []
    for raw in t["cmp_sparse_indices"][token]:
        if raw == -1:
            continue
        if raw < WINDOW:
            row = t["ori_kv"][t["ori_block_table"][batch][0]][raw][0]
        elif raw < WINDOW + STEP:
            row = t["mtp_kv_overlay"][batch * STEP + raw - WINDOW]
        else:
            slot = int(raw) - WINDOW - STEP
            row = t["cmp_kv"][t["cmp_block_table"][batch][slot // WINDOW]][slot % WINDOW][0]
        rows.append([float(x) for x in row])
    return rows


@pytest.mark.parametrize("sink", [0.0, 30.0, -30.0])
def test_attention_is_a_softmax_with_a_sink(sink):
    t = inputs(sink=sink)
    found = sparse_attn_reference.sparse_attention(t)
    for token in range(TOKENS):
        rows = rows_of(t, token)
        for head in range(HEADS):
            query = [float(x) for x in t["q"][token][head]]
            weights = [math.exp(sum(a * b for a, b in zip(query, row, strict=True)) / math.sqrt(WIDTH)) for row in rows]
            total = sum(weights) + math.exp(float(t["attn_sink"][head]))
            expected = [sum(w * row[d] for w, row in zip(weights, rows, strict=True)) / total for d in range(WIDTH)]
            np.testing.assert_allclose(found[token, head], expected, rtol=2e-5, atol=1e-6)
    assert not found[3].any()


def test_large_logits_do_not_overflow():
    t = inputs()
    t["q"] = (t["q"].astype(np.float32) * 400).astype(BF16)
    found = sparse_attn_reference.sparse_attention(t)
    assert np.isfinite(found).all()
    # The softmax is one-hot: the row with the largest product, unless the sink is larger still.
    rows = np.array(rows_of(t, 2))
    query = t["q"][2, 0].astype(np.float64)
    np.testing.assert_allclose(found[2, 0], rows[np.argmax(rows @ query)], rtol=1e-5)


def test_inverse_rope_turns_neighbouring_columns_back():
    t = inputs()
    heads = np.random.default_rng(1).normal(size=(TOKENS, HEADS, WIDTH)).astype(np.float32)
    found = sparse_attn_reference.inverse_rope(heads, t["freqs_cos"], t["freqs_sin"])
    assert (found[..., : WIDTH - ROPE] == heads[..., : WIDTH - ROPE]).all()
    for token in range(TOKENS):
        for pair in range(ROPE // 2):
            factor = complex(float(t["freqs_cos"][token, pair]), -float(t["freqs_sin"][token, pair]))
            column = WIDTH - ROPE + 2 * pair
            for head in range(HEADS):
                turned = complex(heads[token, head, column], heads[token, head, column + 1]) * factor
                assert found[token, head, column] == pytest.approx(turned.real, abs=1e-6)
                assert found[token, head, column + 1] == pytest.approx(turned.imag, abs=1e-6)


def test_projection_is_two_matrix_products():
    rng = np.random.default_rng(2)
    groups, rank, hidden, heads, width = 2, 600, 5, 4, 8
    x = rng.normal(size=(3, heads, width)).astype(BF16)
    wo_a = (rng.normal(size=(groups, rank, heads // groups * width)) / 4).astype(BF16)
    wo_b = rng.integers(-127, 128, (hidden, groups * rank)).astype(np.int8)
    scale = rng.uniform(0.5, 1.5, hidden).astype(np.float32)
    found = sparse_attn_reference.output_projection(x, wo_a, wo_b, scale).astype(np.float64)

    exact = np.concatenate(
        [x.astype(float)[:, 2 * g : 2 * g + 2].reshape(3, -1) @ wo_a[g].astype(float).T for g in range(groups)], axis=1
    )
    expected = exact @ wo_b.astype(float).T * scale
    # INT8 leaves an error of at most half a step in each of the 1200 columns.
    step = np.abs(exact).max(axis=1, keepdims=True) / 127
    assert (np.abs(found - expected) <= 0.5 * step * np.abs(wo_b).sum(axis=1) * scale + np.abs(expected) / 128).all()
    assert np.abs(found - expected).max() < 0.02 * np.abs(expected).max()


def test_projection_sums_int8_products_exactly():
    # 127 * 127 * 3001 needs more than FP32's 24 bits; the second half of the columns takes all but 127 of it away.
    half = 3001
    x = np.ones((1, 1, 1), BF16)
    wo_a = np.ones((1, 2 * half, 1), BF16)
    wo_b = np.array([[127] * half + [-127] * (half - 1) + [-126]], np.int8)
    found = sparse_attn_reference.output_projection(x, wo_a, wo_b, np.ones(1, np.float32))
    assert float(found[0, 0]) == 1.0  # 127, times the activation's factor 1 / 127


def test_golden_fills_its_output_from_all_stages():
    t = inputs()
    rng = np.random.default_rng(3)
    t["wo_a"] = rng.normal(size=(1, 7, HEADS * WIDTH)).astype(BF16)
    t["wo_b"] = rng.integers(-127, 128, (5, 7)).astype(np.int8)
    t["wo_b_scale"] = np.ones(5, np.float32)
    t["attn_out"] = np.zeros((TOKENS, 5), BF16)
    sparse_attn_reference.golden_sparse_attn(t)
    assert t["attn_out"][:3].any(axis=1).all() and not t["attn_out"][3].any()


def test_quantised_rows():
    x = np.array([[1.0, -2.0, 0.5], [0.0, 0.0, 0.0], [2e-5, -1e-5, 0.0]], np.float32)
    values, factors = quantization.quantize_rows(x)
    # 63.5 and 31.75 round to 64 and 32; a zero row and one below the floor use 1e-4.
    assert values.tolist() == [[64, -127, 32], [0, 0, 0], [25, -13, 0]]
    np.testing.assert_allclose(factors, [2 / 127, 1e-4 / 127, 1e-4 / 127], rtol=1e-6)
    assert values.dtype == np.int8 and factors.dtype == np.float32


def test_quantised_halves_go_to_even():
    values, _ = quantization.quantize_rows(np.array([[127.0, 0.5, 1.5, 2.5, -0.5, -1.5]], np.float32))
    assert values.tolist() == [[127, 0, 2, 2, 0, -2]]
