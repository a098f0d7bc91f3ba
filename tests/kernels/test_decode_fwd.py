"""A forward pass of five small layers, and of seven at flash size: right in every layer, faults, scopes."""

import dataclasses

import numpy as np
import pytest

from kernels.dsv4 import config, forward_layers
from pto_sim.backend import open_session
from pto_sim.golden import run_jit
from pto_sim.program.options import RunOptions
from pto_sim.testing import no_findings

from .kernel_layout import layout
from .sandbox import load

SMALL = dataclasses.replace(
    config.FLASH,
    hidden_size=1024,
    num_attention_heads=32,
    head_dim=256,
    q_lora_rank=512,
    o_groups=4,
    o_lora_rank=256,
    index_n_heads=32,
    index_topk=256,
    moe_intermediate_size=1024,
    n_routed_experts=64,
    num_experts_per_tok=2,
    vocab_size=500,
)
SIZES = {"FLASH": SMALL, "FORWARD_LAYERS": 5}
RINGS = (2**30,) * 4


PLAIN = RunOptions(timing=False, checks=False)


def passed(place, layers=5, options=PLAIN, **loading):
    """Run a pass of `layers` layers and compare as its script does: the session, the result and the reference."""
    kernel, script = load(place, "decode_fwd", "decode_fwd_script", **loading)
    forward = script.Forward(layers)
    specs = forward.specs([parameter.name for parameter in kernel.decode_fwd.parameters])
    with open_session(options) as session:
        result = run_jit(kernel.decode_fwd, specs, forward.begin, compare_fn=forward.tolerance(specs))
    return session, result, forward


def test_flag_of_the_depth():
    assert forward_layers.asked_layers(["--layers", "15"]) == forward_layers.asked_layers(["--layers=15"]) == 15
    assert forward_layers.asked_layers([]) is None
    assert [n for n in range(50) if forward_layers.possible(n)] == list(range(5, 44, 2))


@pytest.mark.slow
def test_small_pass_equals_its_reference(tmp_path):
    _, result, forward = passed(tmp_path, sizes=SIZES)
    assert result.passed, result.error
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
@pytest.mark.parametrize("name", FAULTS)
def test_small_planted_fault_is_caught(tmp_path, name):
    _, result, _ = passed(tmp_path, sizes=SIZES, fault=FAULTS[name])
    assert not result.passed


@pytest.mark.flash
@pytest.mark.slow
def test_seven_layers_are_right_and_clean(tmp_path):
    """The frame has the streams between the parts, three tensors [128, 4, 4096] in BF16, whatever the depth."""
    session, result, forward = passed(tmp_path, 7, RunOptions(timing=False, ring_heap_bytes=RINGS))
    assert result.passed, result.error
    (done,) = [record.run for record in session.results]
    assert no_findings(done)
    samples = done.heap["max_lag"].samples
    assert max(sample["depth"] for sample in samples) == 3
    frame = [(name, nbytes) for scope, what, name, nbytes in layout(done) if what == "alloc" and not scope]
    assert frame == [(name, 128 * 4 * 4096 * 2) for name in ("x_attn", "hidden", "hidden_mid")]
    assert forward.kinds == {"swa": [0, 1], "csa": [2, 4, 6], "hca": [3, 5]}
    assert np.isfinite(forward.streams.astype(np.float32)).all()
