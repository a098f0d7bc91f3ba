"""Costs of the AICPU and of the cores, halved and doubled: what moves with them and what does not.

Values, `max_lag` and `prompt` know no clock. Simulated times and the simulated reading of the heap do.
"""

import itertools

import numpy as np
import pytest

from ascend_model.chip import simulate
from ascend_model.chipspec import load_chip
from pto_sim import language as pl
from pto_sim.backend import SimBackend
from pto_sim.program.options import RunOptions

ROWS, N = 64, 32
FACTORS = (0.5, 1.0, 2.0)
SCALES = tuple(itertools.product(FACTORS, FACTORS))
BY_TIME = ("hbm_bytes_per_s", "miss_stream_bytes_per_s")  # rates that are not in cycles of the core


@pl.jit(auto_scope=False)
def scoped(x: pl.Tensor[[ROWS, N], pl.FP32], out: pl.Out[pl.Tensor[[ROWS, N], pl.FP32]]):
    for i in pl.range(ROWS):
        with pl.scope():
            half = pl.create_tensor([8, N], dtype=pl.FP32)
            with pl.at(level=pl.Level.CORE_GROUP, name_hint="first"):
                half[0:1, :] = pl.exp(x[i : i + 1, :])
            with pl.at(level=pl.Level.CORE_GROUP, name_hint="second"):
                out[i : i + 1, :] = pl.add(half[0:1, :], x[i : i + 1, :])


def scaled(aicpu, core):
    """The chip a2a3 whose runtime steps cost `aicpu` times as much, and whose cores and memory take `core` times."""
    chip = load_chip("a2a3")
    for name in chip.section("runtime"):
        if name != "scheduler_threads":
            chip = chip.replace_value(f"runtime.{name}", chip[f"runtime.{name}"] * aicpu)
    for name in ("clock.core_hz", *(f"memory.{name}" for name in BY_TIME)):
        chip = chip.replace_value(name, chip[name] / core)
    return chip


@pytest.fixture(scope="module")
def plain():
    x = np.random.default_rng(7).standard_normal((ROWS, N)).astype(np.float32)
    return SimBackend().run(scoped, (x, np.zeros_like(x)), RunOptions())


@pytest.fixture(scope="module")
def timelines(plain):
    return {scale: simulate(plain.lowered.workload, scaled(*scale)) for scale in SCALES}


def high_water(reading):
    return reading.rings[1][1]


def chip_text(aicpu, core):
    """A chip file that says the same as `scaled`."""
    chip, sections = scaled(aicpu, core), {"clock": ["core_hz"], "memory": list(BY_TIME)}
    sections["runtime"] = [name for name in chip.section("runtime") if name != "scheduler_threads"]
    lines = ['extends = "a2a3"', 'name = "scaled"', 'description = "scaled"']
    for section, names in sections.items():
        lines += [f"[{section}]", 'status = "assumed"', 'source = "scaled"']
        lines += [
            f'{n} = {{ value = {chip[f"{section}.{n}"]}, unit = "{chip.section(section)[n].unit}" }}' for n in names
        ]
    return "\n".join(lines)


@pytest.mark.parametrize("scale", [(0.5, 2.0), (2.0, 0.5), (2.0, 2.0)])
def test_values_and_readings_without_a_clock_do_not_move(plain, tmp_path, scale):
    chip = tmp_path / "scaled.toml"
    chip.write_text(chip_text(*scale))
    x = np.random.default_rng(7).standard_normal((ROWS, N)).astype(np.float32)
    done = SimBackend().run(scoped, (x, np.zeros_like(x)), RunOptions(chip=str(chip)))
    assert done.outputs["out"].tobytes() == plain.outputs["out"].tobytes()
    for reading in ("max_lag", "prompt"):
        assert done.heap[reading] == plain.heap[reading]
    assert done.timeline.total_us == simulate(plain.lowered.workload, scaled(*scale)).total_us
    assert done.timeline.total_us != plain.timeline.total_us


def test_total_time_grows_with_either_cost(timelines):
    for factor in FACTORS:
        for line in ([(other, factor) for other in FACTORS], [(factor, other) for other in FACTORS]):
            times = [timelines[scale].total_us for scale in line]
            assert times[0] < times[1] < times[2]


def test_submissions_follow_the_aicpu_alone_and_core_time_the_cores_alone(timelines):
    """No ring is full here, so the orchestrator never waits; a block alone on its core takes its own time."""
    last = len(timelines[1.0, 1.0].tasks) - 1
    for (aicpu, core), timeline in timelines.items():
        submitted = timeline.tasks[last].submit_us / timelines[1.0, 1.0].tasks[last].submit_us
        busy = sum(task.core_busy_us for task in timeline.tasks)
        assert submitted == pytest.approx(aicpu, rel=1e-5)
        assert busy / sum(task.core_busy_us for task in timelines[1.0, 1.0].tasks) == pytest.approx(core, rel=1e-4)


def test_the_simulated_heap_moves_between_the_readings_without_a_clock(plain, timelines):
    """A slower AICPU submits later and holds less at once; slower cores let go later and hold more."""
    heap = {scale: high_water(timeline.heap) for scale, timeline in timelines.items()}
    low, high = high_water(plain.heap["prompt"]), high_water(plain.heap["max_lag"])
    assert low < min(heap.values()) and max(heap.values()) < high
    for factor in FACTORS:
        assert heap[0.5, factor] >= heap[1.0, factor] >= heap[2.0, factor]
        assert heap[factor, 0.5] <= heap[factor, 1.0] <= heap[factor, 2.0]
    assert heap[0.5, 2.0] > heap[1.0, 1.0] and heap[0.5, 2.0] > heap[2.0, 0.5]


def test_both_costs_doubled_double_every_time_and_leave_the_heap(timelines):
    for slow, fast in (((2.0, 2.0), (1.0, 1.0)), ((1.0, 1.0), (0.5, 0.5)), ((2.0, 1.0), (1.0, 0.5))):
        assert timelines[slow].heap.rings == timelines[fast].heap.rings
        for one, other in zip(timelines[slow].tasks, timelines[fast].tasks, strict=True):
            assert one.start_us == pytest.approx(2 * other.start_us, abs=1e-2)
            assert one.end_us == pytest.approx(2 * other.end_us, abs=1e-2)
