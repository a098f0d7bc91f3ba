"""mtp_projection: reference against plain Python, kernel against reference, faults, launches."""

import dataclasses
import math

import ml_dtypes
import numpy as np
import pytest

from kernels.dsv4 import config

from .kernel_layout import compared, differences, layout, pipe_bytes, right_and_clean_run
from .sandbox import load

BF16 = ml_dtypes.bfloat16
FILE = "mtp_projection.py"
SIZES = {"FLASH": dataclasses.replace(config.FLASH, hidden_size=1024), "DECODE_BATCH": 64}


def loaded(tmp_path, sizes=SIZES, **options):
    """The entry, its specs, the reference and the tolerance: what `compared` takes."""
    kernel, script = load(tmp_path, "mtp_projection", "mtp_projection_script", sizes=sizes, **options)
    return kernel.mtp_projection, script.mtp_projection_specs(), script.golden_mtp_projection, script.OUTPUT_TOLERANCE


def test_small_kernel_equals_its_reference(tmp_path):
    result = compared(*loaded(tmp_path))
    assert result.passed, result.error


FAULTS = {
    "mean of half the columns": ("for n_s0 in pl.pipeline(0, D,", "for n_s0 in pl.pipeline(0, D // 2,"),
    "sum, not mean": ("pl.mul(n_sum, 1.0 / D)", "pl.mul(n_sum, 1.0)"),
    "norm of the first tokens": (
        "n_x = pl.cast(x[n_t0 : n_t0 + NORM_T_TILE,", "n_x = pl.cast(x[0:NORM_T_TILE,",
    ),
    "weight of the norm left out of the values": (
        "pl.row_expand_mul(n_q, n_inv), pl.reshape(norm_w[n_q0 : n_q0 + D_TILE], [1, D_TILE])",
        "pl.row_expand_mul(n_q, n_inv), pl.full([1, D_TILE], dtype=pl.FP32, value=1.0)",
    ),
    "smoothing left out of the values": (
        "n_q = pl.col_expand_mul(n_q, pl.reshape(smooth[n_q0 : n_q0 + D_TILE], [1, D_TILE]))", "pass",
    ),
    "largest of the last columns": (
        "n_max = pl.maximum(n_max, pl.reshape", "n_max = pl.maximum(pl.mul(n_max, 0.0), pl.reshape",
    ),
    "weights of the first columns": (
        "pl.reshape(norm_w[n_q0 : n_q0 + D_TILE]", "pl.reshape(norm_w[0:D_TILE]",
    ),
    "norms exchanged": (
        "mtp_norm_quant(hidden_flat, enorm_w,", "mtp_norm_quant(hidden_flat, hnorm_w,",
    ),
    "states exchanged": (
        "prev_flat = pl.reshape(prev_hidden_states,", "prev_flat = pl.reshape(hidden_states,",
    ),
    "first step twice": ("o_h_x = prev_i8[o_t0 : o_t0 + T_TILE, o_k0 : o_k0 + K_TILE]",
                         "o_h_x = prev_i8[o_t0 : o_t0 + T_TILE, 0:K_TILE]"),
    "products not summed": ("o_e_acc = pl.matmul_acc(o_e_acc, o_e_x, o_e_w, b_trans=True)",
                            "o_e_acc = pl.matmul(o_e_x, o_e_w, b_trans=True, out_dtype=pl.INT32)"),
    "factors of the first tokens": (
        "o_h_factor = prev_scale_dq[o_t0 : o_t0 + T_TILE, 0:1]", "o_h_factor = prev_scale_dq[0:T_TILE, 0:1]",
    ),
    "factors of the other projection": (
        "pl.reshape(h_proj_w_scale[o_n0 :", "pl.reshape(e_proj_w_scale[o_n0 :",
    ),
    "previous state left out": ("pl.add(o_e, o_h)", "pl.add(o_e, o_e)"),
}  # fmt: skip


@pytest.mark.plants("mtp_projection")
@pytest.mark.parametrize("name", FAULTS)
def test_small_planted_fault_is_caught(tmp_path, name):
    assert any(differences(*loaded(tmp_path, fault=(FILE, *FAULTS[name]))))


@pytest.mark.flash
def test_kernel_is_right_and_launches_two_norms_and_a_product(tmp_path):
    """128 tokens of 4096: INT8 rows of half a MiB and a factor of 4 bytes for each token, for both states."""
    done = right_and_clean_run(*loaded(tmp_path, None))
    norm = ("", "AIV", "mtp_norm_quant", 16)
    assert layout(done) == [
        ("", "alloc", "hidden_i8", 128 * 4096),
        ("", "alloc", "hidden_scale_dq", 512),
        norm,
        ("", "alloc", "prev_i8", 128 * 4096),
        ("", "alloc", "prev_scale_dq", 512),
        norm,
        ("", "MIX", "mtp_linear", 32),
    ]
    # 32 blocks, 2 slots of an INT32 tile of 64 x 64.
    assert pipe_bytes(done) == [32 * 2 * 64 * 64 * 4]


def test_reference_is_the_definition(tmp_path):
    (script,) = load(tmp_path, "mtp_projection_script")
    rng = np.random.default_rng(0)
    hidden = 6
    draws = {
        "hidden_states": rng.normal(size=(2, 1, hidden)).astype(BF16),
        "prev_hidden_states": rng.normal(size=(2, 1, hidden)).astype(BF16),
        "hidden_states_out": np.zeros((2, 1, hidden), BF16),
    }
    for name in ("enorm_w", "hnorm_w", "e_proj_smooth", "h_proj_smooth", "e_proj_w_scale", "h_proj_w_scale"):
        draws[name] = rng.uniform(0.5, 1.5, hidden).astype(np.float32)
    for name in ("e_proj_w", "h_proj_w"):
        draws[name] = rng.integers(-127, 128, (hidden, hidden)).astype(np.int8)
    script.golden_mtp_projection(draws)

    def projected(row, norm, projection):
        values = [float(v) for v in row]
        inverse = 1 / math.sqrt(sum(v * v for v in values) / hidden + 1e-6)
        smoothed = [v * inverse * float(w) * float(s)
                    for v, w, s in zip(values, draws[norm], draws[f"{projection}_smooth"], strict=True)]  # fmt: skip
        scale = 127 / max(map(abs, smoothed))
        quantised = [round(float(BF16(v)) * scale) / scale for v in smoothed]
        weights, factors = draws[f"{projection}_w"], draws[f"{projection}_w_scale"]
        return [
            float(factor) * sum(q * int(w) for q, w in zip(quantised, row, strict=True))
            for row, factor in zip(weights, factors, strict=True)
        ]

    for token in range(2):
        e = projected(draws["hidden_states"][token, 0], "enorm_w", "e_proj")
        h = projected(draws["prev_hidden_states"][token, 0], "hnorm_w", "h_proj")
        expected = [a + b for a, b in zip(e, h, strict=True)]
        # A value beside the middle of two INT8 steps may go either way: one step of one input.
        np.testing.assert_allclose(draws["hidden_states_out"][token, 0].astype(float), expected, rtol=0.02, atol=3)
