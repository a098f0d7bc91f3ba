"""The mixture of experts: references against plain Python, kernels against references, faults, launches and heaps."""

import dataclasses
import math

import ml_dtypes
import numpy as np
import pytest

from kernels.dsv4 import (
    config,
    dispatch_reference,
    expert_reference,
    fp4_grid,
    fp4_weights,
    gate_reference,
    routed_tile,
)

from .kernel_layout import compared, differences, layout, pipe_bytes, right_and_clean_run
from .moe_faults import FAULTS
from .sandbox import load

BF16 = ml_dtypes.bfloat16
SMALL = dataclasses.replace(
    config.FLASH,
    hidden_size=1024,
    moe_intermediate_size=1024,
    n_routed_experts=64,
    num_experts_per_tok=2,
    vocab_size=500,
)
SIZES = {"FLASH": SMALL, "DECODE_BATCH": 16}
SPLIT_SIZES = {"FLASH": dataclasses.replace(SMALL, hidden_size=4096, n_routed_experts=16), "DECODE_BATCH": 16}


def gate_case(place, sizes=SIZES, fault=None, layer_id=0):
    kernel, script = load(place, "gate", "gate_script", sizes=sizes, fault=fault)
    return kernel.gate_test, script.gate_specs(layer_id), script.golden_gate, script.OUTPUT_TOLERANCE


def shared_case(place, sizes=SIZES, fault=None):
    kernel, script = load(place, "expert_shared", "expert_shared_script", sizes=sizes, fault=fault)
    return kernel.expert_shared_test, script.expert_shared_specs(), script.golden_expert_shared, script.OUTPUT_TOLERANCE


def routed_case(place, sizes=SIZES, fault=None, name="expert_routed"):
    kernel, script = load(place, name, "expert_routed_script", sizes=sizes, fault=fault)
    return kernel.expert_routed_test, script.expert_routed_specs(), script.golden_expert_routed, script.OUTPUT_TOLERANCE


def split_case(place, sizes=SPLIT_SIZES, fault=None):
    return routed_case(place, sizes, fault, "expert_routed_split")


def dispatch_case(place, sizes=SIZES, fault=None):
    kernel, script = load(place, "dispatch", "dispatch_script", sizes=sizes, fault=fault)
    return kernel.dispatch_test, script.dispatch_specs(), script.golden_dispatch, script.DISPATCH_TOLERANCE


def combine_case(place, sizes=SIZES, fault=None):
    kernel, script = load(place, "combine", "dispatch_script", sizes=sizes, fault=fault)
    return kernel.combine_test, script.combine_specs(), script.golden_combine, script.COMBINE_TOLERANCE


def moe_case(place, sizes=SIZES, fault=None, layer_id=0):
    kernel, script = load(place, "moe", "moe_script", sizes=sizes, fault=fault)
    return kernel.moe_ep1_test, script.moe_specs(layer_id), script.golden_moe_ep1, script.OUTPUT_TOLERANCE


CASES = {
    "gate": gate_case,
    "expert_shared": shared_case,
    "expert_routed": routed_case,
    "expert_routed_split": split_case,
    "dispatch": dispatch_case,
    "combine": combine_case,
    "moe": moe_case,
}
LAYERS = {"gate": (0, 5), "moe": (0, 5)}  # a hash layer and one that sorts


def result(place, name, sizes=None, fault=None, **options):
    """The comparison as the script makes it, of the small kernel unless `sizes` is given."""
    chosen = {} if sizes is None else {"sizes": sizes}
    return compared(*CASES[name](place, fault=fault, **chosen, **options))


@pytest.mark.parametrize("name", CASES)
def test_small_kernel_equals_its_reference(tmp_path, name):
    for layer_id in LAYERS.get(name, (None,)):
        found = result(tmp_path, name, **({} if layer_id is None else {"layer_id": layer_id}))
        assert found.passed, (layer_id, found.error)


INNER = [  # faults that only the composition shows: file, old, new
    ("expert_routed.py", "rows = pl.read(recv_expert_count, [e, 0])", "rows = pl.read(recv_expert_count, [0, 0])"),
    ("combine.py", "for s_e in pl.range(N_LOCAL_EXPERTS)", "for s_e in pl.range(N_LOCAL_EXPERTS - 2)"),
    ("gate.py", "pl.read(tid2eid, [h_entry, h_k])", "pl.read(tid2eid, [0, h_k])"),
]
PLANTED = [(name, f"{name}.py", *fault) for name, faults in FAULTS.items() for fault in faults]
PLANTED += [("moe", file, f"in {file}", old, new) for file, old, new in INNER]


@pytest.mark.plants("{name}")
@pytest.mark.parametrize(("name", "file", "what", "old", "new"), PLANTED, ids=[f"{row[0]}-{row[2]}" for row in PLANTED])
def test_small_planted_fault_is_caught(tmp_path, name, file, what, old, new):
    assert not result(tmp_path, name, fault=(file, old, new)).passed


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("s_one[:, 0:PAIRS_PAD]", "s_one[:, 2 : PAIRS_PAD + 2]"),
        ("pl.sort32(s_row,", "pl.sort32(pl.neg(s_row),"),
        ("pl.add(g_score, g_bias)", "pl.sub(g_score, g_bias)"),
        ("pl.fillpad(s_found, pad_value=pl.PadValue.zero)", "pl.fillpad(s_found, pad_value=pl.PadValue.max)"),
    ],
    ids=["second best first", "worst first", "bias subtracted", "padding counted"],
)
def test_small_fault_of_a_sorting_layer_is_caught(tmp_path, old, new):
    assert not result(tmp_path, "gate", fault=("gate.py", old, new), layer_id=5).passed


# Flash size

ROUTED_TILE = [("MIX", "exp_gate_up", 8), ("AIV", "exp_h_q", 1), ("MIX", "exp_w2", 4)]
SPLIT_TILE = [
    ("AIC", "exp_gate_mm", 2), ("AIC", "exp_up_mm", 2), ("AIV", "exp_gate_up_act", 4), ("AIV", "exp_h_q", 1),
    ("AIC", "exp_w2_mm", 4), ("AIV", "exp_w2_act", 1),
]  # fmt: skip
GATE = [("AIV", "ffn_norm", 16), ("AIV", "x_norm_quant", 16), ("MIX", "gate", 8), ("AIV", "route_hash", 8)]
SHARED = [("MIX", "sh_gate_up", 16), ("AIV", "sh_h_q", 4), ("MIX", "sh_w2", 16)]
COMBINE = [("AIV", "combine_scatter", 1), ("AIV", "combine_reduce", 32)]
TILES = 32  # the fixtures give every expert at least one row and at most 32 or 48
TASKS = {
    "gate": GATE,
    "expert_shared": SHARED,
    "expert_routed": ROUTED_TILE * TILES,
    "expert_routed_split": SPLIT_TILE * TILES,
    "dispatch": [("AIV", "dispatch", 1)],
    "combine": COMBINE,
    "moe": [
        ("MIX", "hc_pre_1spmd", 8), *GATE, *SHARED, ("AIV", "dispatch", 1), *ROUTED_TILE * TILES, *COMBINE,
        ("AIV", "hc_post", 32),
    ],
}  # fmt: skip
KIB = 1024
SEED_PIPES = {  # bytes under the slot rule of the seed: blocks * slots * largest tile that passes
    "gate": [8 * 8 * 2 * KIB],
    "expert_shared": [16 * 8 * 8 * KIB, 16 * 8 * 8 * KIB],
    "expert_routed": [8 * 8 * 6 * KIB, 4 * 8 * 12 * KIB] * TILES,
    "expert_routed_split": [],
}


@pytest.mark.flash
@pytest.mark.parametrize("name", TASKS)
def test_kernel_equals_its_reference_and_launches_what_the_tables_say(tmp_path, name):
    done = right_and_clean_run(*CASES[name](tmp_path, sizes={}), pipe_slots="seed")
    found = layout(done)
    assert [(kind, task, blocks) for _, kind, task, blocks in found if kind != "alloc"] == TASKS[name]
    if name in SEED_PIPES:
        assert pipe_bytes(done) == SEED_PIPES[name]
    if name == "moe":
        check_scopes_of_moe(found)


def check_scopes_of_moe(found):
    """What stays at the frame, and what the two scopes free."""
    tokens, hidden = 128, 4096
    by_scope = {}
    for scope, what, name, nbytes in found:
        if what == "alloc":
            by_scope.setdefault(scope, {})[name] = nbytes
    assert by_scope[""] == {
        "post_ffn": tokens * 4 * 4, "comb_ffn": tokens * 16 * 4, "x_norm_i8": tokens * hidden,
        "x_norm_scale": tokens * 4, "indices": tokens * 6 * 4, "weights": tokens * 6 * 4, "sh": tokens * hidden * 2,
        "sh_tile_fp32": tokens * 2048 * 4, "sh_tile_i8": tokens * 2048, "sh_tile_scale_dq": tokens * 4,
        "ffn_out": tokens * hidden * 2,
    }  # fmt: skip
    assert by_scope["1"] == {
        "x_mixed": tokens * hidden * 2, "mixes_gm": tokens * 32 * 4, "x_norm": tokens * hidden * 2,
        "x_norm_gate_buf": tokens * hidden * 4, "route_scores_buf": tokens * 256 * 4,
        "biased_scores_buf": tokens * 256 * 4,
    }  # fmt: skip
    rows = 32 * 96
    assert by_scope["2"] == {
        "recv_x": rows * hidden, "recv_scale_dq": rows * 4, "recv_weights": rows * 4, "recv_token": rows * 4,
        "recv_count": 32 * 4, "recv_y": rows * hidden * 2, "routed_y_buf": tokens * 32 * hidden * 2,
    }  # fmt: skip
    tiles = {scope: names for scope, names in by_scope.items() if scope.startswith("2.")}
    tile = {"h_tile_fp32": 48 * 2048 * 4, "h_tile_i8": 48 * 2048, "h_tile_scale_dq": 48 * 4}
    assert list(tiles.values()) == [tile] * TILES


# References and fixtures


def test_experts_of_a_hash_layer_come_from_the_table_and_others_from_score_plus_bias():
    score = np.array([[0.5, 2.0, 1.0], [1.0, 1.0, 3.0]], np.float32)
    bias = np.array([2.0, 0.0, 0.0], np.float32)
    table, ids = np.array([[2, 1], [0, 2]], np.int32), np.array([1, 0])
    found = gate_reference.route(score, bias, 0, table, ids)
    assert found.indices.tolist() == [[0, 2], [2, 1]]
    assert np.allclose(found.weights, [[1.5 / 3, 1.5 * 2 / 3], [1.5 * 3 / 4, 1.5 / 4]])
    found = gate_reference.route(score, bias, 3, table, ids)
    assert found.indices.tolist() == [[0, 1], [0, 2]]  # equal sums: the lower expert first
    assert np.allclose(found.weights, [[1.5 * 0.5 / 2.5, 1.5 * 2 / 2.5], [1.5 / 4, 1.5 * 3 / 4]])


def test_score_is_the_root_of_softplus():
    x, w = np.array([[1.0, 2.0]], BF16), np.array([[0.5, -1.0], [30.0, 30.0]], np.float32)
    expected = [math.sqrt(math.log1p(math.exp(-1.5))), math.sqrt(90.0)]
    assert np.allclose(gate_reference.scores(x, w), [expected], rtol=1e-6)


def test_expert_is_a_quantised_swiglu():
    """One row, one input: gate 1, up -2, then quantised to its largest magnitude."""
    weights = {"w1": np.array([[100], [50]], np.int8), "w3": np.array([[-100], [100]], np.int8)}
    weights |= {"w1_scale": np.array([0.01, 0.02], np.float32), "w3_scale": np.array([0.02, 0.02], np.float32)}
    hidden, factor = expert_reference.expert(np.array([[1]], np.int8), np.array([1.0], np.float32), weights)
    silu = 1 / (1 + math.exp(-1.0))
    assert hidden.tolist() == [[-127, 127]]
    assert math.isclose(factor[0], 2 * silu / 127, rel_tol=1e-6)


def test_limit_clips_gate_above_and_up_on_both_sides():
    gate, up = np.array([20.0, -20.0, 1.0], np.float32), np.array([1.0, 1.0, -30.0], np.float32)
    found = expert_reference.swiglu(gate, up, 10.0)
    expected = [10 / (1 + math.exp(-10)), -20 / (1 + math.exp(20)), -10 / (1 + math.exp(-1))]
    assert np.allclose(found, expected, rtol=1e-6)


def test_routes_keep_the_order_of_the_tokens():
    found = dispatch_reference.routes(np.array([[3, 1], [1, 2], [0, 1]]), 1)
    assert found.token.tolist() == [0, 1, 2] and found.choice.tolist() == [1, 0, 1]


def test_fp4_weights_lie_on_the_grid():
    """Before they are quantised again, values are +-{0, .5, 1, 1.5, 2, 3, 4, 6} times a power of two for 32 inputs."""
    rng = np.random.default_rng(5)
    weights = rng.standard_normal((4, 64), np.float32)
    original, values, factors = weights.copy(), np.empty((4, 64), np.int8), np.empty(4, np.float32)
    fp4_grid.requantise(weights, values, factors, 1e-4, 127.0)
    levels = [0.0, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0]
    for row in range(4):
        for start in (0, 32):
            group, kept = original[row, start : start + 32], weights[row, start : start + 32]
            factor = 2.0 ** math.ceil(math.log2(float(np.abs(group).max()) / 6.0))
            for x, y in zip(group.tolist(), kept.tolist(), strict=True):
                nearest = min(levels, key=lambda level: abs(abs(x) / factor - level))
                assert math.isclose(abs(y), nearest * factor) and x * y >= 0
    assert np.allclose(values * factors[:, None], weights, atol=factors.max() / 2 + 1e-6)


def test_fp4_weights_have_the_deviation_and_many_zeros():
    values, factors = fp4_weights.fp4_weights(1, "w", (2, 64, 256), 2.47e-2)
    scaled = values.astype(np.float64) * factors[..., None]
    assert math.isclose(np.sqrt((scaled * scaled).mean()), 2.47e-2, rel_tol=1e-5)
    assert 0.05 < (values == 0).mean() < 0.2


@pytest.mark.parametrize(
    ("argv", "rows"),
    [
        (["--ep", "1"], None),
        (["--routed-tile", "32"], 32),
        (["--routed-tile=48", "-d", "0"], 48),
        (["--routed-tile", "40"], None),
        (["--routed-tile"], None),
    ],
)
def test_rows_of_a_tile_come_from_the_command_line(argv, rows):
    assert routed_tile.asked_rows(argv) == rows


def test_small_kernel_with_32_rows_gives_the_same(tmp_path):
    sizes = {"FLASH": dataclasses.replace(SMALL, hidden_size=4096), "DECODE_BATCH": 16, "ROUTED_TILE_ROWS": 32}
    first = differences(*moe_case(tmp_path, sizes))
    assert not any(first)
