"""Decode kernels at flash size: right as their scripts compare them, launched as the model's tables say, no findings.

Tasks, kinds and blocks are typed from the tables of the model's tilings, scratch from those of its buffers.
"""

import numpy as np
import pytest

from .kernel_layout import arguments, compared, layout, right_and_clean_run
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
INDEXER_COMPRESSOR = [
    ("AIC", "kv_score_proj", 8), ("AIV", "state_scatter_paged", 1), ("AIV", "softmax_pool", 64),
    ("AIV", "rmsnorm_rope", 4), ("AIC", "kv_hadamard", 4), ("AIV", "kv_and_cache_write", 4),
]  # fmt: skip
INDEXER = [
    ("MIX", "qr_proj", 32), ("AIV", "qr_rope", 64), ("MIX", "qr_hadamard_quant", 32), ("MIX", "weights_proj", 4),
    *INDEXER_COMPRESSOR, ("AIV", "score_init", 1), ("MIX", "score", 16), ("AIV", "topk", 32),
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
CSA = [
    *BEFORE, ("AIV", "rms_norm", 16), ("AIV", "csa_rope_step", 1), *QKV, ("AIV", "csa_cmp_rope", 1), *RATIO4, *INDEXER,
    ("AIV", "csa_sparse_idx_tile", 64), *SPARSE[:2], ("AIV", "gather_kv_cmp", 512), *SPARSE[2:],
    ("AIV", "csa_cache_writeback", 1), *AFTER,
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


def indexer(place):
    kernel, script = load(place, "decode_indexer", "decode_indexer_script")
    script.OUTPUT_TOLERANCE = script.tolerances(64)[1]
    return kernel.indexer_test, script.indexer_specs(), script.golden_indexer, script


def indexer_compressor(place):
    kernel, script = load(place, "decode_indexer_compressor", "decode_indexer_script")
    script.OUTPUT_TOLERANCE = script.tolerances(64)[0]
    return kernel.compressor_test, script.indexer_compressor_specs(), script.golden_indexer_compressor, script


def attention(kind):
    def case(place):
        kernel, script = load(place, f"decode_attention_{kind}", "decode_attention_script")
        specs = script.SPECS[kind](None)
        script.OUTPUT_TOLERANCE = script.tolerance(specs)
        return getattr(kernel, f"attention_{kind}_test"), specs, script.GOLDEN[kind], script

    return case


CASES = {
    "qkv_proj_rope": (qkv, QKV),
    "compressor_ratio4": (compressor(4), RATIO4),
    "compressor_ratio128": (compressor(128), RATIO128),
    "indexer_compressor": (indexer_compressor, INDEXER_COMPRESSOR),
    "indexer": (indexer, INDEXER),
    "attention_swa": (attention("swa"), SWA),
    "attention_hca": (attention("hca"), HCA),
    "attention_csa": (attention("csa"), CSA),
}


FRAME = {  # bytes of what an attention layer keeps at its frame; each takes whole KiB of the ring
    "post_t": 128 * 4 * 4, "comb_t": 128 * 16 * 4, "rope_cos_t": 128 * 64 * 2, "rope_sin_t": 128 * 64 * 2,
    "q": 128 * 64 * 512 * 2, "kv": 128 * 512 * 2, "attn_out": 128 * 4096 * 2,
    "attn_rope_stage": 128 * 64 * 64 * 4, "o_packed": 8 * 128 * 4096 * 2,
}  # fmt: skip
LISTS = {  # the list of rows, and what attention gathers: 256 or 640 rows for each token
    "swa": {"sparse_topk": 128 * 128 * 4, "sparse_kv": 128 * 256 * 512 * 2, "sparse_bias": 128 * 256 * 4},
    "hca": {"topk_all": 128 * 192 * 4, "sparse_kv": 128 * 256 * 512 * 2, "sparse_bias": 128 * 256 * 4},
    "csa": {"cmp_sparse_indices": 128 * 640 * 4, "sparse_kv": 128 * 640 * 512 * 2, "sparse_bias": 128 * 640 * 4},
}


@pytest.mark.parametrize("name", CASES)
def test_kernel_is_right_and_launches_and_keeps_what_the_tables_say(tmp_path, name):
    """Outputs, and tasks in order; of an attention layer also the buffers of its frame, and the residency that follows
    from them in the reading that retires nothing before its scope closes."""
    case, expected = CASES[name]
    entry, specs, golden, script = case(tmp_path)
    outputs = {spec.name for spec in specs if getattr(spec, "is_output", False)}
    tolerance = {name: compare for name, compare in script.OUTPUT_TOLERANCE.items() if name in outputs}
    done = right_and_clean_run(entry, specs, golden, tolerance)
    found = layout(done)
    assert [(kind, task, blocks) for _, kind, task, blocks in found if kind != "alloc"] == expected
    if (kind := name.removeprefix("attention_")) in LISTS:
        buffers = FRAME | LISTS[kind]
        assert {what: nbytes for scope, alloc, what, nbytes in found if alloc == "alloc" and not scope} == buffers
        assert done.heap["max_lag"].frame_residency_bytes == sum(-(-size // 1024) * 1024 for size in buffers.values())


def test_a_row_committed_to_a_wrong_place_is_caught(tmp_path):
    """The comparison can fail: every token commits the first one's row."""
    fault = ("decode_attention_swa.py", "kv[w_t : w_t + 1, 0:HEAD_DIM]", "kv[0:1, 0:HEAD_DIM]")
    kernel, script = load(tmp_path, "decode_attention_swa", "decode_attention_script", fault=fault)
    specs = script.swa_specs()
    result = compared(kernel.attention_swa_test, specs, script.golden_attention_swa, script.tolerance(specs))
    assert not result.passed and "kv_cache" in result.error


@pytest.mark.slow
@pytest.mark.parametrize("seen", ["o_seen + 1", "o_seen - 1"])
def test_a_compressed_row_too_many_or_too_few_is_caught(tmp_path, seen):
    fault = ("decode_attention_csa.py", "if o_raw - (WIN + S) < o_seen:", f"if o_raw - (WIN + S) < {seen}:")
    kernel, script = load(tmp_path, "decode_attention_csa", "decode_attention_script", fault=fault)
    specs = script.csa_specs()
    result = compared(kernel.attention_csa_test, specs, script.golden_attention_csa, script.tolerance(specs))
    assert not result.passed and "x_out" in result.error


def test_fixtures_repeat_themselves(tmp_path):
    with kernel_folder(tmp_path):
        import attention_fixtures

        first, second = (arguments(attention_fixtures.hca_specs()) for _ in range(2))
    assert all(np.array_equal(a.view(np.uint8), b.view(np.uint8)) for a, b in zip(first, second, strict=True))
