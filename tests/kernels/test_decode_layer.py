"""A decode layer on one card for each kind of attention: right, faults; clean, three deep on four rings at flash size.

The layer adds 4 MiB to what its parts hold: the streams between attention and experts, [128, 4, 4096] BF16.
"""

import functools

import pytest

from .decode_layer_faults import FAULTS
from .kernel_layout import layout, right_and_clean_run
from .planted import Bench, each_kind_quick
from .sandbox import load
from .small_layers import SIZES, told_apart

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


@pytest.fixture(scope="module")
def bench(tmp_path_factory):
    """bench(layer): a small layer, made when it is first asked for."""

    @functools.cache
    def made(layer_id):
        def given(script, kernel):
            specs = script.layer_specs([parameter.name for parameter in kernel.parameters], layer_id)
            return told_apart(specs), script.golden_decode_layer, script.tolerance(specs, layer_id)

        place = tmp_path_factory.mktemp(f"layer{layer_id}")
        return Bench(place, "decode_layer", "decode_layer", "decode_layer_script", SIZES, given)

    return made


@pytest.mark.parametrize("layer_id", FAULTS)
def test_small_layer_equals_its_reference(tmp_path, bench, layer_id):
    assert not any(bench(layer_id).said(tmp_path))


@pytest.mark.plants("decode_layer")
@pytest.mark.parametrize(("layer_id", "name"), each_kind_quick(FAULTS, 4))
def test_small_planted_fault_is_caught(tmp_path, bench, layer_id, name):
    assert any(bench(layer_id).said(tmp_path, FAULTS[layer_id][name]))


def test_every_kind_of_attention_has_ten_faults():
    assert min(map(len, FAULTS.values())) >= 10
