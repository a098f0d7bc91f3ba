"""Decode kernels at flash size: right as their scripts compare them, launched as the model's tables say, no findings.

Tasks, kinds and blocks are typed from the tables of the model's tilings, scratch from those of its buffers.
"""

import numpy as np
import pytest

from .kernel_layout import arguments, clean_run, compared, layout
from .sandbox import kernel_folder, load

pytestmark = pytest.mark.flash

QKV = [
    ("AIV", "qr_proj_seed", 1), ("AIC", "qr_proj_matmul", 8), ("AIV", "qr_rms_norm_quant", 16),
    ("AIC", "qproj_matmul", 16), ("AIV", "qproj_dequant", 16), ("AIV", "q_head_rms_nope_rope", 32),
    ("AIV", "kv_proj_seed", 1), ("AIC", "kv_proj_matmul", 8), ("AIV", "kv_rms_norm_rope", 8),
]  # fmt: skip
RATIO128 = [
    ("AIC", "kv_score_proj", 16), ("AIV", "state_scatter_pre", 1), ("AIV", "softmax_pool", 512),
    ("AIV", "rmsnorm_rope", 8), ("AIV", "kv_finalize", 8),
]  # fmt: skip
RATIO4 = [
    ("AIC", "kv_score_proj", 32), ("AIV", "state_scatter_paged", 1), ("AIV", "softmax_pool", 64),
    ("AIV", "rmsnorm_rope", 4), ("AIV", "kv_and_cache_write", 4),
]  # fmt: skip
SPARSE = [
    ("AIV", "build_valid", 8), ("AIV", "gather_kv", 128), ("MIX", "qk_pv", 128), ("AIV", "merge_norm", 128),
    ("AIV", "rope_cs", 2), ("AIV", "rope", 32), ("MIX", "proj_a", 64), ("AIV", "quant", 32), ("MIX", "proj_b", 32),
]  # fmt: skip
BEFORE, AFTER = [("MIX", "hc_pre_1spmd", 8)], [("AIV", "hc_post", 32)]
SWA = [
    *BEFORE, ("AIV", "swa_rope_step", 1), ("AIV", "rms_norm", 16), *QKV, ("AIV", "swa_overlay_topk", 1), *SPARSE,
    ("AIV", "swa_cache_writeback", 1), *AFTER,
]  # fmt: skip
HCA = [
    *BEFORE, ("AIV", "hca_rope", 1), ("AIV", "rms_norm", 16), *QKV, *RATIO128, ("AIV", "hca_overlay_topk", 1), *SPARSE,
    ("AIV", "hca_cache_writeback", 1), *AFTER,
]  # fmt: skip


def qkv(place):
    kernel, script = load(place, "qkv_proj_rope", "qkv_proj_rope_script")
    return kernel.qkv_proj_rope_test, script.qkv_proj_rope_specs(128), script.golden_qkv_proj_rope, script


def compressor(ratio):
    def case(place):
        name = f"decode_compressor_ratio{ratio}"
        kernel, script, fixtures = load(place, name, "decode_compressor_script", "compressor_fixtures")
        specs = fixtures.compressor_specs(fixtures.CompressorStep(script.COMPRESSORS[ratio]))
        return kernel.compressor_test, specs, lambda tensors: script.golden_compressor(tensors, ratio), script

    return case


def attention(kind):
    def case(place):
        kernel, script = load(place, f"decode_attention_{kind}", "decode_attention_script")
        return getattr(kernel, f"attention_{kind}_test"), script.SPECS[kind](None), script.GOLDEN[kind], script

    return case


CASES = {
    "qkv_proj_rope": (qkv, QKV),
    "compressor_ratio4": (compressor(4), RATIO4),
    "compressor_ratio128": (compressor(128), RATIO128),
    "attention_swa": (attention("swa"), SWA),
    "attention_hca": (attention("hca"), HCA),
}


@pytest.mark.parametrize("name", CASES)
def test_kernel_equals_its_reference(tmp_path, name):
    entry, specs, golden, script = CASES[name][0](tmp_path)
    outputs = {spec.name for spec in specs if spec.is_output}
    tolerance = {key: value for key, value in script.OUTPUT_TOLERANCE.items() if key in outputs}
    assert set(tolerance) == outputs
    result = compared(entry, specs, golden, tolerance)
    assert result.passed, result.error


@pytest.mark.parametrize("name", CASES)
def test_kernel_launches_what_the_tables_say(tmp_path, name):
    case, expected = CASES[name]
    entry, specs, _, _ = case(tmp_path)
    tasks = [(kind, task, blocks) for _, kind, task, blocks in layout(clean_run(entry, specs)) if kind != "alloc"]
    assert tasks == expected


FRAME = {  # bytes of what an attention layer keeps at its frame; each takes whole KiB of the ring
    "post_t": 128 * 4 * 4, "comb_t": 128 * 16 * 4, "rope_cos_t": 128 * 64 * 2, "rope_sin_t": 128 * 64 * 2,
    "q": 128 * 64 * 512 * 2, "kv": 128 * 512 * 2, "attn_out": 128 * 4096 * 2,
    "sparse_kv": 128 * 256 * 512 * 2, "sparse_bias": 128 * 256 * 4, "attn_rope_stage": 128 * 64 * 64 * 4,
    "o_packed": 8 * 128 * 4096 * 2,
}  # fmt: skip
LISTS = {"swa": {"sparse_topk": 128 * 128 * 4}, "hca": {"topk_all": 128 * 192 * 4}}


@pytest.mark.parametrize("kind", LISTS)
def test_frame_of_an_attention_layer(tmp_path, kind):
    """Residency of the frame at its end, in the reading that retires nothing before its scope closes."""
    entry, specs, _, _ = attention(kind)(tmp_path)
    done = clean_run(entry, specs)
    buffers = FRAME | LISTS[kind]
    allocated = {name: nbytes for scope, what, name, nbytes in layout(done) if what == "alloc" and not scope}
    assert allocated == buffers
    assert done.heap["max_lag"].frame_residency_bytes == sum(-(-size // 1024) * 1024 for size in buffers.values())


def test_a_row_committed_to_a_wrong_place_is_caught(tmp_path):
    """The comparison can fail: every token commits the first one's row."""
    fault = ("decode_attention_swa.py", "kv[w_t : w_t + 1, 0:HEAD_DIM]", "kv[0:1, 0:HEAD_DIM]")
    kernel, script = load(tmp_path, "decode_attention_swa", "decode_attention_script", fault=fault)
    specs = script.swa_specs()
    result = compared(kernel.attention_swa_test, specs, script.golden_attention_swa, script.tolerance(specs))
    assert not result.passed and "kv_cache" in result.error


def test_fixtures_repeat_themselves(tmp_path):
    with kernel_folder(tmp_path):
        import attention_fixtures

        first, second = (arguments(attention_fixtures.hca_specs()) for _ in range(2))
    assert all(np.array_equal(a.view(np.uint8), b.view(np.uint8)) for a, b in zip(first, second, strict=True))
