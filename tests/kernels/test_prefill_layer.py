"""A prefill layer on one card: right for each kind of attention, padded or not; faults; clean and scoped at flash size.

The layer adds 4 MiB to what its parts hold: the streams between attention and experts, [128, 4, 4096] BF16.
"""

import functools

import numpy as np
import pytest

from pto_sim.golden import ratio_allclose

from .kernel_layout import compared, layout, right_and_clean_run
from .planted import Bench, first_ones_quick
from .sandbox import load
from .small_layers import SHORT, told_apart

RINGS = (2**30,) * 4


def given(script, kernel, layer_id, start_pos, num_tokens, small):
    """Specs, reference and tolerance of a run."""
    names = [parameter.name for parameter in kernel.parameters]
    specs = script.layer_specs(names, layer_id, start_pos, num_tokens)
    tolerance = script.tolerance(specs, layer_id, num_tokens)
    if small and script.kind_of(layer_id).name == "csa":
        # One BF16 step of one of 1024 inputs, not of 4096, is more than the states' tolerance at flash size.
        tolerance |= {f"csa_inner_{name}_state": ratio_allclose(4e-3, 4e-3, 1e-5) for name in ("kv", "score")}
    return specs, script.golden_prefill_layer, tolerance


def loaded(tmp_path, layer_id, start_pos=0, num_tokens=None, **options):
    """The entry, its specs, the reference and the tolerance: what `compared` takes."""
    kernel, script = load(tmp_path, "prefill_layer", "prefill_layer_script", **options)
    run = layer_id, start_pos, num_tokens or script.TOKENS
    return kernel.prefill_layer, *given(script, kernel.prefill_layer, *run, small="sizes" in options)


@pytest.mark.parametrize(("layer_id", "start_pos", "num_tokens"), [(1, 200, 37), (4, 30, 25), (3, 320, 64)])
def test_small_layer_equals_its_reference(tmp_path, layer_id, start_pos, num_tokens):
    result = compared(*loaded(tmp_path, layer_id, start_pos, num_tokens, sizes=SHORT))
    assert result.passed, result.error


LAYER = "prefill_layer.py"
RUN = {1: (256, 64), 2: (24, 40), 4: (24, 40), 5: (320, 64)}  # start and tokens; CSA scores 16 rows of 4 positions
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
    "padding taken": (2, LAYER, "csa_inner_state_slot_mapping, attn_sink, wo_a, wo_b, wo_b_scale, x_attn, num_tokens",
                      "csa_inner_state_slot_mapping, attn_sink, wo_a, wo_b, wo_b_scale, x_attn, T"),
    "states of the indexer exchanged": (2, LAYER, "csa_inner_kv_state, csa_inner_score_state, csa_inner_c",
                                        "csa_inner_score_state, csa_inner_kv_state, csa_inner_c"),
    "window and compressed rows exchanged": (2, LAYER, "csa_cmp_norm_w,\n                csa_cmp_kv_state",
                                             "hca_cmp_norm_w,\n                csa_cmp_kv_state"),
}  # fmt: skip


def name_rows_in_padding(specs, start_pos, num_tokens):
    """The tokens of padding name rows of the ring after the run's, which stay as they are all the same."""
    slots = next(spec for spec in specs if spec.name == "ori_slot_mapping")
    slots.init_value = slots.create_tensor(0).copy()
    padding = len(slots.init_value) - num_tokens
    slots.init_value[num_tokens:] = start_pos + num_tokens + np.arange(padding)


@pytest.fixture(scope="module")
def bench(tmp_path_factory):
    """bench(layer): a small layer, made when it is first asked for."""

    @functools.cache
    def made(layer_id):
        def small(script, kernel):
            specs, *rest = given(script, kernel, layer_id, *RUN[layer_id], small=True)
            name_rows_in_padding(specs, *RUN[layer_id])
            return told_apart(specs), *rest

        place = tmp_path_factory.mktemp(f"layer{layer_id}")
        return Bench(place, "prefill_layer", "prefill_layer", "prefill_layer_script", SHORT, small)

    return made


@pytest.mark.plants("prefill_layer")
@pytest.mark.parametrize("name", first_ones_quick(FAULTS, 10))
def test_small_planted_fault_is_caught(tmp_path, bench, name):
    layer_id, *fault = FAULTS[name]
    assert any(bench(layer_id).said(tmp_path, tuple(fault)))


@pytest.mark.parametrize("layer_id", RUN)
def test_small_layer_passes_what_the_faults_are_planted_in(tmp_path, bench, layer_id):
    assert not any(bench(layer_id).said(tmp_path))


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
