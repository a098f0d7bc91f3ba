"""The rotation of each token, which prefill reads from the tables once for a run: right at small size, faults.

The tables are random: those of the model repeat the first half of a row in the second.
"""

import ml_dtypes
import numpy as np
import pytest

from pto_sim.golden import ScalarSpec, TensorSpec, ratio_allclose

from .kernel_layout import clean_run, differences, layout
from .sandbox import load
from .small_layers import SHORT

BF16 = ml_dtypes.bfloat16
TOKENS, POSITIONS, WIDTH = 64, 1024, 64
EXACT = ratio_allclose(atol=0, rtol=0, max_error_ratio=0)


def golden_rope_rows(tensors):
    count = int(tensors["num_tokens"])
    for part in ("cos", "sin"):
        tensors[f"rope_{part}_t"][:count] = tensors[f"freqs_{part}"][tensors["position_ids"][:count]]


def loaded(place, num_tokens=TOKENS, fault=None):
    """The entry, its specs, the reference and the tolerance: what `differences` takes."""
    fault = fault and ("qkv_proj_rope.py", *fault)
    (kernel,) = load(place, "qkv_proj_rope", sizes=SHORT, fault=fault)
    rng = np.random.default_rng(1)
    cos, sin = rng.uniform(-1, 1, (2, POSITIONS, WIDTH)).astype(BF16)
    specs = [
        TensorSpec("freqs_cos", [POSITIONS, WIDTH], BF16, cos),
        TensorSpec("freqs_sin", [POSITIONS, WIDTH], BF16, sin),
        TensorSpec("position_ids", [TOKENS], np.int32, rng.permutation(POSITIONS - 1)[:TOKENS].astype(np.int32)),
        ScalarSpec("num_tokens", np.int32, num_tokens),
        *(TensorSpec(f"rope_{part}_t", [TOKENS, WIDTH], BF16, is_output=True) for part in ("cos", "sin")),
    ]
    tolerance = {"rope_cos_t": EXACT, "rope_sin_t": EXACT}
    return kernel.materialize_rope_rows_test, specs, golden_rope_rows, tolerance


@pytest.mark.parametrize("num_tokens", [TOKENS, 41, 1])
def test_small_kernel_equals_its_reference(tmp_path, num_tokens):
    assert not any(differences(*loaded(tmp_path, num_tokens)))


def test_small_kernel_is_clean_and_one_task(tmp_path):
    entry, specs, *_ = loaded(tmp_path, 41)
    assert layout(clean_run(entry, specs)) == [("1", "AIV", "qkv_rope_rows", TOKENS // 16)]


POSITION = "pl.cast(pl.read(position_ids, [r_t]), pl.INDEX)"
COS, SIN = "freqs_cos[r_pos : r_pos + 1, 0:ROPE_DIM]", "freqs_sin[r_pos : r_pos + 1, 0:ROPE_DIM]"
FAULTS = {
    "by number, not position": (POSITION, "r_t"),
    "position of the block's first token": ("pl.read(position_ids, [r_t])", "pl.read(position_ids, [r_t0])"),
    "a position late": (POSITION, f"{POSITION} + 1"),
    "sin as cos": (COS, SIN),
    "cos as sin": (SIN, COS),
    "last token left out": ("if r_t < num_tokens", "if r_t < num_tokens - 1"),
    "padding taken": ("if r_t < num_tokens", "if r_t < tokens"),
    "half of a row": (f"rope_cos_t[r_t : r_t + 1, 0:ROPE_DIM] = {COS}",
                      "rope_cos_t[r_t : r_t + 1, 0:32] = freqs_cos[r_pos : r_pos + 1, 0:32]"),
    "halves exchanged": (f"rope_sin_t[r_t : r_t + 1, 0:ROPE_DIM] = {SIN}",
                         "rope_sin_t[r_t : r_t + 1, 0:32] = freqs_sin[r_pos : r_pos + 1, 32:ROPE_DIM]"),
    "rows of a block over one another": ("rope_sin_t[r_t : r_t + 1,", "rope_sin_t[r_t0 : r_t0 + 1,"),
    "last row of a block left out": ("for r_i in pl.range(KV_RMS_T_TILE)", "for r_i in pl.range(KV_RMS_T_TILE - 1)"),
    "blocks overlap": ("r_t0 = r_block * KV_RMS_T_TILE", "r_t0 = r_block * (KV_RMS_T_TILE // 2)"),
    "last block left out": ("pl.spmd(tokens // KV_RMS_T_TILE, name_hint=\"qkv_rope_rows\"",
                            "pl.spmd(tokens // KV_RMS_T_TILE - 1, name_hint=\"qkv_rope_rows\""),
}  # fmt: skip


@pytest.mark.plants("materialize_rope_rows")
@pytest.mark.parametrize("name", FAULTS)
def test_small_planted_fault_is_caught(tmp_path, name):
    num_tokens = 41 if name in ("last token left out", "padding taken") else TOKENS
    assert any(differences(*loaded(tmp_path, num_tokens, FAULTS[name])))
