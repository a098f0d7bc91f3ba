"""A forward pass of five small layers, and of seven at flash size: right in every layer, faults, scopes."""

import numpy as np
import pytest

from kernels.dsv4 import forward_layers
from pto_sim.backend import open_session
from pto_sim.engine import run_kernel
from pto_sim.golden import LayerStacks, run_jit
from pto_sim.program.options import RunOptions
from pto_sim.testing import no_findings

from . import small_layers
from .kernel_layout import arguments, layout
from .sandbox import load, load_all

SIZES = {**small_layers.SIZES, "FORWARD_LAYERS": 5}
RINGS = (2**30,) * 4


@pytest.fixture(scope="module")
def small_pass(tmp_path_factory):
    """small_pass(place, fault): what the comparers say of a pass of small layers, '' where an output agrees; and the
    reference that went along. Modules and inputs are made once for all faults."""
    modules = load_all(tmp_path_factory.mktemp("forward"), "decode_fwd", "decode_fwd_script", sizes=SIZES)
    script = modules["decode_fwd_script"]
    inputs = {layer: script.layer_inputs(layer) for layer in range(SIZES["FORWARD_LAYERS"])}
    for layer, specs in inputs.items():
        for spec in specs.values():
            spec.init_value = spec.initial_array(layer)

    def run(place, fault=None):
        (kernel,) = load(place, "decode_fwd", sizes=SIZES, fault=fault, kept=modules)
        forward = script.Forward(SIZES["FORWARD_LAYERS"])
        forward.inputs = inputs.__getitem__
        forward.stacks = LayerStacks(forward.inputs, forward.step)
        specs = forward.specs([parameter.name for parameter in kernel.decode_fwd.parameters])
        values = arguments(specs)
        forward.begin({spec.name: value for spec, value in zip(specs, values, strict=True)})
        outputs = run_kernel(kernel.decode_fwd, values, RunOptions(), []).outputs
        said = [compare(outputs[name], None) for name, compare in forward.tolerance(specs).items()]
        return ["" if agrees else text for agrees, text in said], forward

    return run


def test_flag_of_the_depth():
    assert forward_layers.asked_layers(["--layers", "15"]) == forward_layers.asked_layers(["--layers=15"]) == 15
    assert forward_layers.asked_layers([]) is None
    assert [n for n in range(50) if forward_layers.possible(n)] == list(range(5, 44, 2))


def test_small_pass_equals_its_reference(tmp_path, small_pass):
    said, forward = small_pass(tmp_path)
    assert not any(said)
    assert {layer for _, layer in forward.rows} == {0, 1, 2, 3, 4}


FWD, PARTS = "decode_fwd.py", "decode_fwd_layers.py"
FAULTS = {
    "first layer's weights in the second": (FWD, "x_attn, pl.const(1,", "x_attn, pl.const(0,"),
    "first layer's experts in the second": (FWD, "hidden, pl.const(1,", "hidden, pl.const(0,"),
    "second layer on the first one's input": (FWD, "layer_swa(\n            hidden,", "layer_swa(\n            x_hc,"),
    "a layer further in the pair": (FWD, "pair * 2 + 3", "pair * 2 + 4"),
    "HCA on its pair's input": (FWD, "layer_hca(\n                hidden_mid", "layer_hca(\n                hidden"),
    "first compressor in the last layer": (FWD, "pl.const(CSA_LAYERS - 1, pl.INT32)", "pl.const(0, pl.INT32)"),
    "rotations of compression exchanged": (PARTS, "freqs_cos, freqs_sin, l_hca", "freqs_sin, freqs_cos, l_hca"),
    "gate of layer 0": (PARTS, "gate_w, [N_LOCAL, D], [layer_id * N_LOCAL, 0]", "gate_w, [N_LOCAL, D], [0, 0]"),
    "shared expert of layer 0": (PARTS, "shared_w2, [D, MOE_INTER], [layer_id * D, 0]",
                                 "shared_w2, [D, MOE_INTER], [0, 0]"),
    "experts of layer 0": (PARTS, "routed_w2, [N_LOCAL, D, MOE_INTER], [layer_id * N_LOCAL, 0, 0]",
                           "routed_w2, [N_LOCAL, D, MOE_INTER], [0, 0, 0]"),
    "all layers routed by the table": (PARTS, "x_next, layer_id,", "x_next, pl.const(0, pl.INT32),"),
}  # fmt: skip


@pytest.mark.slow
@pytest.mark.plants("decode_fwd")
@pytest.mark.parametrize("name", FAULTS)
def test_small_planted_fault_is_caught(tmp_path, small_pass, name):
    said, _ = small_pass(tmp_path, FAULTS[name])
    assert any(said)


@pytest.mark.flash
@pytest.mark.slow
def test_seven_layers_are_right_and_clean(tmp_path):
    """The frame has the streams between the parts, three tensors [128, 4, 4096] in BF16, whatever the depth."""
    kernel, script = load(tmp_path, "decode_fwd", "decode_fwd_script")
    forward = script.Forward(7)
    specs = forward.specs([parameter.name for parameter in kernel.decode_fwd.parameters])
    with open_session(RunOptions(timing=False, ring_heap_bytes=RINGS)) as session:
        result = run_jit(kernel.decode_fwd, specs, forward.begin, compare_fn=forward.tolerance(specs))
    assert result.passed, result.error
    (done,) = [record.run for record in session.results]
    assert no_findings(done)
    samples = done.heap["max_lag"].samples
    assert max(sample["depth"] for sample in samples) == 3
    frame = [(name, nbytes) for scope, what, name, nbytes in layout(done) if what == "alloc" and not scope]
    assert frame == [(name, 128 * 4 * 4096 * 2) for name in ("x_attn", "hidden", "hidden_mid")]
    assert forward.kinds == {"swa": [0, 1], "csa": [2, 4, 6], "hca": [3, 5]}
    assert np.isfinite(forward.streams.astype(np.float32)).all()
