"""The three presets against the table of the model card, typed here by field and preset."""

import dataclasses

import pytest

from kernels.dsv4 import config

# field: demo, flash, pro
TABLE = {
    "hidden_size": (4096, 4096, 7168),
    "num_attention_heads": (64, 64, 128),
    "head_dim": (512, 512, 512),
    "qk_rope_head_dim": (64, 64, 64),
    "nope_head_dim": (448, 448, 448),
    "q_lora_rank": (1024, 1024, 1536),
    "o_lora_rank": (1024, 1024, 1024),
    "o_groups": (8, 8, 16),
    "sliding_window": (128, 128, 128),
    "moe_intermediate_size": (4096, 2048, 3072),
    "n_routed_experts": (16, 256, 384),
    "n_shared_experts": (1, 1, 1),
    "num_experts_per_tok": (2, 6, 6),
    "scoring_func": ("sqrtsoftplus",) * 3,
    "routed_scaling_factor": (1.0, 1.5, 2.5),
    "swiglu_limit": (0.0, 10.0, 10.0),
    "num_hidden_layers": (8, 43, 61),
    "num_hash_layers": (0, 3, 3),
    "num_nextn_predict_layers": (1, 1, 1),
    "index_n_heads": (64, 64, 64),
    "index_head_dim": (128, 128, 128),
    "index_topk": (512, 512, 1024),
    "max_position_embeddings": (4096, 8192, 1048576),
    "rope_theta": (1e4, 1e4, 1e4),
    "compress_rope_theta": (4e4, 1.6e5, 1.6e5),
    "rope_factor": (40.0, 16.0, 16.0),
    "original_max_position_embeddings": (0, 65536, 65536),
    "hc_mult": (4, 4, 4),
    "hc_sinkhorn_iters": (20, 20, 20),
    "hc_eps": (1e-6, 1e-6, 1e-6),
    "rms_norm_eps": (1e-6, 1e-6, 1e-6),
    "vocab_size": (129280, 129280, 129280),
    "beta_fast": (32, 32, 32),
    "beta_slow": (1, 1, 1),
    "dtype": ("fp8", "fp8", "fp8"),
    "scale_fmt": ("ue8m0", "ue8m0", "ue8m0"),
    "scale_dtype": ("fp8", "fp8", "fp8"),
    "expert_dtype": (None, "fp4", None),
    "max_batch_size": (4, 4, 4),
    "index_nope_head_dim": (64, 64, 64),
    "hc_dim": (16384, 16384, 28672),
    "mix_hc": (24, 24, 24),
}
PRESETS = (config.DEMO, config.FLASH, config.PRO)


@pytest.mark.parametrize("field", TABLE)
def test_field_is_that_of_the_table(field):
    assert tuple(getattr(preset, field) for preset in PRESETS) == TABLE[field]


def test_table_covers_every_field():
    listed = set(TABLE) | {"name", "compress_ratios"}
    assert {field.name for field in dataclasses.fields(config.ModelConfig)} <= listed


def test_ratios_by_layer():
    assert config.DEMO.compress_ratios == (0, 0, 4, 128, 4, 128, 4, 0)
    flash, pro = config.FLASH.compress_ratios, config.PRO.compress_ratios
    assert len(flash) == 44 and flash[:4] == (0, 0, 4, 128) and flash[40:] == (4, 128, 4, 0)
    assert len(pro) == 62 and pro[:4] == (128, 128, 4, 128) and pro[58:] == (4, 128, 4, 0)
    assert (flash.count(4), flash.count(128), flash.count(0)) == (21, 20, 3)
    assert (pro.count(4), pro.count(128), pro.count(0)) == (30, 31, 1)


def test_scales():
    assert config.FLASH.softmax_scale == pytest.approx(1 / 22.627416997969522)
    assert config.FLASH.index_weights_scale == pytest.approx(1 / (11.313708498984761 * 8))


def test_deployment():
    assert (config.DECODE_BATCH, config.DECODE_SEQ, config.DECODE_TOKENS) == (64, 2, 128)
    assert (config.PREFILL_BATCH, config.PREFILL_SEQ, config.BLOCK_SIZE) == (1, 128, 128)
    assert (config.C4A_COMPRESSOR_BLOCK_SIZE, config.C128_COMPRESSOR_BLOCK_SIZE) == (4, 8)
    assert (config.INT8_SCALE_MAX, config.INT8_AMAX_EPS, config.LM_HEAD_TP_SIZE) == (127.0, 1e-4, 8)
    assert (config.EP_WORLD_SIZE, config.EP_RANK, config.RECV_SAFETY, config.RECV_MAX) == (8, 0, 4, 96)
    assert config.EP_ROUTING_GLOBAL is False
    assert config.FP32_NEG_INF == -(2.0 - 2.0**-23) * 2.0**127  # the most negative finite FP32
    assert list(config.PRESETS) == ["demo", "flash", "pro"]
