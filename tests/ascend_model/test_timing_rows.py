"""The published examples as the model sees them: above the roofline, within a factor of two, and accounted for."""

import pytest

from ascend_model.chipspec import load_chip
from ascend_model.core import time_block
from ascend_model.cost import stream_cost
from ascend_model.isa import Kind
from ascend_model.roofline import roofline, work_of
from benchmarks.timing_rows import ROWS, busy_shares
from benchmarks.timing_streams import add_group_stream, gemm_core_stream, matmul_group_stream, score_mat_serial_stream

SPEC = load_chip("a2a3")
BANDWIDTHS = [path for path, number in SPEC.numbers.items() if number.unit in ("byte/s", "byte/cycle")]
STREAMS = {
    "gemm": gemm_core_stream(768, 512, 3072),
    "score_mat": score_mat_serial_stream(),
    "matmul_group": matmul_group_stream(),
    "add_group": add_group_stream(),
}
BY_LABEL = {row.label: row for row in ROWS}


@pytest.fixture(scope="module")
def predictions():
    workloads = {row.label: row.workload() for row in ROWS}
    return {label: (w, BY_LABEL[label].predict(w, SPEC)) for label, w in workloads.items()}


@pytest.mark.parametrize("label", BY_LABEL)
def test_no_prediction_is_below_the_roofline(label, predictions):
    workload, predicted_us = predictions[label]
    bound = roofline(work_of(workload, SPEC), SPEC, BY_LABEL[label].clusters)
    assert predicted_us >= bound.total_us * (1 - 1e-9)


@pytest.mark.parametrize("label", BY_LABEL)
def test_no_row_is_off_by_more_than_a_factor_of_two(label, predictions):
    ratio = predictions[label][1] / BY_LABEL[label].published_us
    assert 0.5 < ratio < 2


@pytest.mark.parametrize("path", BANDWIDTHS)
@pytest.mark.parametrize("label", [label for label in BY_LABEL if label != "C2"])
def test_halving_a_bandwidth_never_makes_a_row_faster(label, path, predictions):
    workload, predicted_us = predictions[label]
    half = SPEC.replace_value(path, SPEC[path] / 2)
    assert BY_LABEL[label].predict(workload, half) >= predicted_us * (1 - 1e-12)


@pytest.mark.parametrize("name", STREAMS)
def test_every_pipe_and_the_critical_path_account_for_the_whole_time(name):
    timing = time_block(STREAMS[name], SPEC)
    for use in timing.pipes:
        assert use.busy_cycles + sum(use.idle_cycles.values()) == use.total_cycles == timing.total_cycles
    assert sum(s.end_cycles - s.start_cycles for s in timing.critical_path) == timing.total_cycles


def test_gemm_stream_does_the_work_of_its_shape():
    stream = STREAMS["gemm"]
    m, k, n, _ = stream.args[stream.kind == Kind.MMAD].T
    assert (m * k * n).sum() == 768 * 512 * 3072
    cost = stream_cost(stream, SPEC)
    tiles = (768 // 128) * (512 // 256)
    assert cost.gm_read_bytes.sum() == tiles * 3072 * (128 + 256) * 2
    assert cost.gm_write_bytes.sum() == 768 * 512 * 4


def test_busy_shares_of_the_gemm_are_shares():
    row = BY_LABEL["C1"]
    shares = busy_shares(row, row.workload(), SPEC)
    assert all(0 <= share <= 100 for share in shares.values())
    assert max(shares, key=shares.__getitem__) == "MTE2"  # load-bound, as published
