"""Inputs of the sparse attention kernels: distributions, index rows, and one stream for each tensor."""

import dataclasses

import ml_dtypes
import numpy as np
import pytest

from kernels.dsv4 import sparse_attn_fixtures as fixtures

SMALL_CONFIG = dataclasses.replace(
    fixtures.FLASH, hidden_size=256, num_attention_heads=32, head_dim=128, o_groups=4, o_lora_rank=256
)


def fixture(**changes):
    return fixtures.Fixture(**{"topk": 640, "compress_ratio": 4, "config": SMALL_CONFIG, "batch": 4, **changes})


def values(seed=0, **changes):
    return {spec.name: spec.create_tensor(seed) for spec in fixtures.tensor_specs(fixture(**changes))}


def test_parameters_in_the_order_of_the_kernel():
    specs = fixtures.tensor_specs(fixtures.Fixture(topk=640, compress_ratio=4))
    shapes = {spec.name: (tuple(spec.shape), spec.numpy_dtype.name) for spec in specs}
    assert shapes == {
        "q": ((128, 64, 512), "bfloat16"),
        "ori_kv": ((64, 128, 1, 512), "bfloat16"),
        "ori_block_table": ((64, 1), "int32"),
        "mtp_kv_overlay": ((128, 512), "bfloat16"),
        "cmp_kv": ((512, 128, 1, 512), "bfloat16"),
        "cmp_block_table": ((64, 8), "int32"),
        "cmp_sparse_indices": ((128, 640), "int32"),
        "attn_sink": ((64,), "float32"),
        "freqs_cos": ((128, 64), "bfloat16"),
        "freqs_sin": ((128, 64), "bfloat16"),
        "wo_a": ((8, 1024, 4096), "bfloat16"),
        "wo_b": ((4096, 8192), "int8"),
        "wo_b_scale": ((4096,), "float32"),
        "attn_out": ((128, 4096), "bfloat16"),
    }
    assert [spec.name for spec in specs if spec.is_output] == ["attn_out"]


@pytest.mark.parametrize(
    ("name", "half_width"),
    [("q", 0.5), ("ori_kv", 0.5), ("mtp_kv_overlay", 0.5), ("cmp_kv", 0.5), ("wo_a", 0.5 / 32)],
)  # 32 = sqrt of the 1024 columns of a group
def test_uniform_distributions(name, half_width):
    x = values()[name].astype(np.float64).ravel()
    n = x.size
    assert np.abs(x).max() <= half_width and np.abs(x).max() > 0.97 * half_width
    # Mean and variance of a uniform variable, within five standard errors.
    assert abs(x.mean()) < 5 * half_width / np.sqrt(3 * n)
    assert abs(x.var() / (half_width**2 / 3) - 1) < 5 * np.sqrt(0.8 / n) + 2**-8


def test_second_projection_is_quantised_per_output():
    t = values()
    assert t["wo_b"].dtype == np.int8 and (np.abs(t["wo_b"].astype(int)).max(axis=1) == 127).all()
    weights = t["wo_b"].astype(np.float64) * t["wo_b_scale"][:, None]
    # uniform in +-0.5 / sqrt(1024)
    assert np.abs(weights).max() <= 0.5 / 32 * (1 + 2**-8)
    assert weights.std() == pytest.approx(1 / 32 / np.sqrt(12), rel=0.01)


def test_defaults():
    t = values()
    assert not t["attn_sink"].any() and not t["attn_out"].any()
    assert (t["ori_block_table"] == np.arange(4)[:, None]).all()
    assert (t["cmp_block_table"] == np.arange(32).reshape(4, 8)).all()


@pytest.mark.parametrize(("topk", "ratio", "count"), [(640, 4, 512), (192, 128, 64), (128, 0, 0), (128, 4, 0)])
def test_index_row_has_the_window_and_what_the_ratio_allows(topk, ratio, count):
    row = values(topk=topk, compress_ratio=ratio)["cmp_sparse_indices"]
    assert row.shape == (8, topk) and (row == row[0]).all()
    # compressed slots start behind the window (128) and the two running tokens
    assert row[0].tolist() == [*range(128), *range(130, 130 + count), *[-1] * (topk - 128 - count)]


def test_short_window():
    row = values(short_window=True)["cmp_sparse_indices"][0]
    assert row.tolist() == [*range(17), *[-1] * 623]


def test_mixed_topk():
    row = values(mixed_topk=True)["cmp_sparse_indices"][0]
    assert row.tolist() == [*range(17), *[-1] * 111, *range(130, 642)]


def test_overlay_replacement():
    t = values(overlay_replacement=True)
    assert t["cmp_sparse_indices"][0].tolist() == [*range(16), 128, *[-1] * 623]
    assert (t["mtp_kv_overlay"][:, 0] == 4).all() and not t["mtp_kv_overlay"][:, 1:].any()


@pytest.mark.parametrize("shuffled", [False, True])
def test_causal_regression(shuffled):
    t = values(causal_regression=True, shuffled_pages=shuffled)
    assert (t["q"][0] == 1).all() and not (t["q"][1] == 1).all()
    page = t["ori_block_table"][0, 0]
    assert (t["ori_kv"][page, 127] == 8).all() and (t["ori_kv"] == 8).sum() == 128


def test_shuffled_tables_hold_every_page_once():
    t = values(shuffled_pages=True)
    for name, pages in (("ori_block_table", 4), ("cmp_block_table", 32)):
        assert sorted(t[name].ravel()) == list(range(pages))
    assert (t["cmp_block_table"] != np.arange(32).reshape(4, 8)).any()


def test_same_seed_same_inputs_other_seed_others():
    one, again, other = values(5), values(5), values(6)
    drawn = {"q", "ori_kv", "mtp_kv_overlay", "cmp_kv", "wo_a", "wo_b", "wo_b_scale"}
    for name, array in one.items():
        assert array.tobytes() == again[name].tobytes()
        assert (array.tobytes() != other[name].tobytes()) == (name in drawn)


def test_streams_do_not_depend_on_one_another():
    plain, changed = values(), values(overlay_replacement=True)
    same = {name for name in plain if plain[name].tobytes() == changed[name].tobytes()}
    assert set(plain) - same == {"cmp_sparse_indices", "mtp_kv_overlay"}


def test_one_quantisation_serves_both_specs_of_any_seed():
    specs = {spec.name: spec for spec in fixtures.tensor_specs(fixture())}
    factors = specs["wo_b_scale"].create_tensor(1)  # asked for first, and between the other's seeds
    specs["wo_b"].create_tensor(2)
    np.testing.assert_array_equal(specs["wo_b_scale"].create_tensor(1), factors)
    assert (specs["wo_b_scale"].create_tensor(2) != factors).any()


def test_rotation_follows_the_ratio():
    assert values(compress_ratio=0)["freqs_cos"].tobytes() != values()["freqs_cos"].tobytes()
    assert values()["freqs_cos"].dtype == ml_dtypes.bfloat16


def test_unknown_ratio():
    with pytest.raises(ValueError, match="compress_ratio=8"):
        fixtures.tensor_specs(fixture(compress_ratio=8))
