"""A prefill layer on one card: right for each kind of attention, padded or not; faults; clean and scoped at flash size.

The layer adds 4 MiB to what its parts hold: the streams between attention and experts, [128, 4, 4096] BF16.
"""

import dataclasses

import pytest

from kernels.dsv4 import config
from pto_sim.golden import ratio_allclose

from .kernel_layout import compared, differences, layout, right_and_clean_run
from .sandbox import load

RINGS = (2**30,) * 4
SMALL = dataclasses.replace(
    config.FLASH,
    hidden_size=1024,
    num_attention_heads=32,
    head_dim=256,
    q_lora_rank=512,
    o_groups=4,
    o_lora_rank=256,
    index_topk=256,
    max_position_embeddings=1024,
    moe_intermediate_size=1024,
    n_routed_experts=64,
    num_experts_per_tok=2,
    vocab_size=500,
)
SIZES = {"FLASH": SMALL}


def loaded(tmp_path, layer_id, start_pos=0, num_tokens=128, **options):
    """The entry, its specs, the reference and the tolerance: what `compared` takes."""
    kernel, script = load(tmp_path, "prefill_layer", "prefill_layer_script", **options)
    names = [parameter.name for parameter in kernel.prefill_layer.parameters]
    specs = script.layer_specs(names, layer_id, start_pos, num_tokens)
    tolerance = script.tolerance(specs, layer_id, num_tokens)
    if "sizes" in options and script.kind_of(layer_id).name == "csa":
        # One BF16 step of one of 1024 inputs, not of 4096, is more than the states' tolerance at flash size.
        tolerance |= {f"csa_inner_{name}_state": ratio_allclose(4e-3, 4e-3, 1e-5) for name in ("kv", "score")}
    return kernel.prefill_layer, specs, script.golden_prefill_layer, tolerance


@pytest.mark.parametrize(("layer_id", "start_pos", "num_tokens"), [(1, 200, 77), (4, 60, 50), (3, 256, 128)])
def test_small_layer_equals_its_reference(tmp_path, layer_id, start_pos, num_tokens):
    result = compared(*loaded(tmp_path, layer_id, start_pos, num_tokens, sizes=SIZES))
    assert result.passed, result.error


LAYER = "prefill_layer.py"
RUN = {1: (256, 128), 2: (64, 64), 4: (64, 64), 5: (256, 128)}  # start and tokens; CSA scores 32 rows of 4 positions
FAULTS = {
    "no compression": (2, LAYER, "layer_id < 2", "layer_id < 20"),
    "compressed too early": (1, LAYER, "layer_id < 2", "layer_id < 1"),
    "other compression": (4, LAYER, "layer_id % 2 == 1", "layer_id % 2 == 0"),
    "experts without attention": (2, LAYER, "x_attn, hc_ffn_fn, hc_ffn_scale", "x_hc, hc_ffn_fn, hc_ffn_scale"),
    "gate of attention before the experts": (2, LAYER, "x_attn, hc_ffn_fn,", "x_attn, hc_attn_fn,"),
    "gates exchanged": (2, LAYER, "routed_w1_scale, routed_w3, routed_w3_scale, routed_w2",
                        "routed_w1_scale, routed_w1, routed_w1_scale, routed_w2"),
    "shared gates exchanged": (2, LAYER, "shared_w1_scale,\n            shared_w3, shared_w3_scale,",
                               "shared_w1_scale,\n            shared_w1, shared_w1_scale,"),
    "always routed by the table": (5, LAYER, "x_next, layer_id,", "x_next, 0,"),
    "never routed by the table": (2, LAYER, "x_next, layer_id,", "x_next, 3,"),
    "half of the tokens": (2, LAYER, "wo_a, wo_b, wo_b_scale, x_attn, num_tokens,\n            )\n\n    with",
                           "wo_a, wo_b, wo_b_scale, x_attn, num_tokens // 2,\n            )\n\n    with"),
    "states of the indexer exchanged": (2, LAYER, "csa_inner_kv_state, csa_inner_score_state, csa_inner_c",
                                        "csa_inner_score_state, csa_inner_kv_state, csa_inner_c"),
    "window and compressed rows exchanged": (2, LAYER, "csa_cmp_norm_w,\n                csa_cmp_kv_state",
                                             "hca_cmp_norm_w,\n                csa_cmp_kv_state"),
}  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("name", FAULTS)
def test_small_planted_fault_is_caught(tmp_path, name):
    layer_id, *fault = FAULTS[name]
    assert any(differences(*loaded(tmp_path, layer_id, *RUN[layer_id], sizes=SIZES, fault=tuple(fault))))


@pytest.mark.slow
@pytest.mark.parametrize("layer_id", RUN)
def test_small_layer_has_no_differences_without_a_fault(tmp_path, layer_id):
    assert not any(differences(*loaded(tmp_path, layer_id, *RUN[layer_id], sizes=SIZES)))


@pytest.mark.flash
@pytest.mark.slow
@pytest.mark.parametrize("layer_id", [2, 3, 1])
def test_layer_is_right_and_clean(tmp_path, layer_id):
    """Attention's own scopes lie in the layer's: three deep, and every ring is used."""
    done = right_and_clean_run(*loaded(tmp_path, layer_id), ring_heap_bytes=RINGS)
    samples = done.heap["max_lag"].samples
    assert max(sample["depth"] for sample in samples) == 3
    assert {sample["ring"] for sample in samples} == {0, 1, 2, 3}
    frame = {name: nbytes for scope, what, name, nbytes in layout(done) if what == "alloc" and not scope}
    assert frame == {"x_attn": 128 * 4 * 4096 * 2}
