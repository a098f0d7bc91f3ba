"""A decode layer on one card at flash size, for each kind of attention: right, clean, nested three deep on four rings.

The layer adds 4 MiB to what its parts hold: the streams between attention and experts, [128, 4, 4096] BF16.
"""

import pytest

from .kernel_layout import layout, right_and_clean_run
from .sandbox import load

RINGS = (2**30,) * 4
KINDS = {0: "swa", 1: "swa", 2: "csa", 3: "hca", 10: "csa", 41: "hca", 42: "csa"}


@pytest.fixture
def layer(tmp_path):
    return load(tmp_path, "decode_layer", "decode_layer_script", "config")


def test_kinds_are_those_of_the_configuration(layer):
    _, script, config = layer
    names = {0: "swa", 4: "csa", 128: "hca"}
    ratios = config.FLASH.compress_ratios[: config.FLASH.num_hidden_layers]
    assert [script.kind_of(i).name for i in range(len(ratios))] == [names[ratio] for ratio in ratios]
    assert {i: script.kind_of(i).name for i in KINDS} == KINDS


@pytest.mark.flash
@pytest.mark.parametrize(
    "layer_id", [10, pytest.param(9, marks=pytest.mark.slow), pytest.param(1, marks=pytest.mark.slow)]
)
def test_layer_is_right_and_nests_three_deep(layer, layer_id):
    kernel, script, _ = layer
    names = [parameter.name for parameter in kernel.decode_layer.parameters]
    specs = script.layer_specs(names, layer_id)
    done = right_and_clean_run(
        kernel.decode_layer, specs, script.golden_decode_layer, script.tolerance(specs, layer_id), ring_heap_bytes=RINGS
    )
    samples = done.heap["max_lag"].samples
    assert max(sample["depth"] for sample in samples) == 3
    assert {sample["ring"] for sample in samples} == {0, 1, 2, 3}
    frame = {name: nbytes for scope, what, name, nbytes in layout(done) if what == "alloc" and not scope}
    assert frame == {"x_attn": 128 * 4 * 4096 * 2}


@pytest.mark.flash
@pytest.mark.slow
@pytest.mark.parametrize(
    ("file", "old", "new"),
    [
        ("decode_layer.py", "layer_id < 2", "layer_id < 20"),
        ("decode_layer.py", "layer_id % 2 == 1", "layer_id % 2 == 0"),
        ("decode_attention_csa.py", "if o_raw - (WIN + S) < o_seen", "if o_raw - (WIN + S) < o_seen - 1"),
        ("expert_routed.py", "pl.mul(h_tile_scale_dq[:, :], d_weight)", "h_tile_scale_dq[:, :]"),
    ],
    ids=["no compression", "other compression", "last compressed row dropped", "weight of the token left out"],
)
def test_planted_fault_is_caught(tmp_path, file, old, new):
    kernel, script = load(tmp_path, "decode_layer", "decode_layer_script", fault=(file, old, new))
    names = [parameter.name for parameter in kernel.decode_layer.parameters]
    specs = script.layer_specs(names, 10)
    with pytest.raises(AssertionError):
        right_and_clean_run(kernel.decode_layer, specs, script.golden_decode_layer, script.tolerance(specs, 10))
