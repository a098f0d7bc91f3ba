"""The chip against schedules that can be worked out by hand, and laws that every run obeys."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import simpy
from hypothesis import given
from hypothesis import strategies as st

from ascend_model.chip import simulate
from ascend_model.chipspec import ChipSpec, ChipSpecError, load_chip
from ascend_model.heap import read_heap
from ascend_model.isa import Core
from ascend_model.ring import RingFault
from ascend_model.runtime_costs import grid_us, runtime_costs
from ascend_model.signals import Signal, StandstillError, run_until
from ascend_model.workload import Workload
from tests.ascend_model.laws import (
    AIC,
    AIV,
    CYCLES,
    LARGE_COPY,
    MIXED,
    SMALL_COPY,
    STREAMS,
    check_laws,
    scalar,
)
from tests.ascend_model.workloads import Script

GIB = (2**30,) * 4


@pytest.fixture(scope="module")
def chip() -> ChipSpec:
    return load_chip("a2a3")


@pytest.fixture(scope="module")
def free_runtime(chip: ChipSpec) -> ChipSpec:
    """The same chip with a runtime that costs nothing."""
    for name in chip.section("runtime"):
        if name != "scheduler_threads":
            chip = chip.replace_value(f"runtime.{name}", 0.0)
    return chip


@pytest.mark.parametrize("clusters", [1, 2, 24])
@pytest.mark.parametrize("count", [1, 5, 24, 25, 100])
@pytest.mark.parametrize("spmd", [True, False])
@pytest.mark.parametrize(("kind", "stream", "width"), [("AIC", AIC, 1), ("AIV", AIV, 2), ("MIX", MIXED, 1)])
def test_equal_blocks_run_in_waves(
    free_runtime: ChipSpec, clusters: int, count: int, spmd: bool, kind: str, stream: int, width: int
) -> None:
    script = Script()
    for _ in range(1 if spmd else count):
        script.task(kind, streams=(stream,) * (count if spmd else 1))
    timeline = simulate(script.build(STREAMS), free_runtime, cores=clusters)
    waves = math.ceil(count / (clusters * width))
    assert timeline.total_us == pytest.approx(waves * CYCLES / 1850, abs=1e-4)


def test_one_block_pays_every_step_of_the_runtime_once(chip: ChipSpec) -> None:
    script = Script()
    script.task("AIV", streams=(AIV,))
    timeline = simulate(script.build(STREAMS), chip)
    expected = 0.38 + 0.874 + 1.0 + 0.005 + 0.14 + 0.3 + 2.0 + CYCLES / 1850 + 0.6 + 0.1 + 0.8
    assert timeline.total_us == pytest.approx(expected, abs=1e-4)
    check_laws(timeline, 24, chip)
    (task,) = timeline.tasks
    assert task.start_us - task.ready_us == pytest.approx(1.0 + 0.005 + 0.14 + 0.3 + 2.0, abs=1e-4)
    assert task.core_busy_us == pytest.approx(CYCLES / 1850, abs=1e-4)
    assert {step.what for step in timeline.runtime_phases} == {
        "orchestrator: code before t0",
        "orchestrator: submit t0",
        "scheduler 0: dispatch t0 x1",
        "scheduler 0: complete t0",
    }


def test_a_chain_pays_completion_resolution_and_dispatch_for_each_link(chip: ChipSpec) -> None:
    script = Script()
    last: tuple[int, ...] = ()
    for _ in range(6):
        last = (script.task("AIV", streams=(AIV,), needs=last),)
    timeline = simulate(script.build(STREAMS), chip, cores=1)
    work = CYCLES / 1850
    link = work + 0.6 + 0.1 + 0.8 + 0.1 + 1.0 + 0.005 + 0.14 + 0.3  # the core stays the same: warm after the first
    expected = 0.38 + 0.874 + 1.005 + 0.14 + 0.3 + 2.0 + 5 * link + work + 0.6 + 0.1 + 0.8
    assert timeline.total_us == pytest.approx(expected, abs=1e-4)
    check_laws(timeline, 1, chip)
    assert [step.task for step in timeline.critical_path if step.reason == "busy"] == list(range(6))


def test_a_pending_block_starts_a_pickup_after_its_predecessor(chip: ChipSpec) -> None:
    script = Script()
    script.task("AIC", streams=(AIC, AIC))
    first, second = simulate(script.build(STREAMS), chip, cores=1).blocks
    assert second.start_us - first.end_us == pytest.approx(0.3, abs=1e-5)


def test_a_pending_slot_is_not_used_while_another_core_is_idle(chip: ChipSpec) -> None:
    script = Script()
    script.task("AIC", streams=(AIC,) * 24)
    timeline = simulate(script.build(STREAMS), chip)
    assert len({block.core for block in timeline.blocks}) == 24


def test_mix_blocks_hold_a_whole_cluster_and_go_first(chip: ChipSpec) -> None:
    script = Script()
    gate = script.task("AIC", name="gate", streams=(AIC,))
    script.task("AIV", name="vector", streams=(AIV,) * 4, needs=(gate,))
    script.task("MIX", name="mix", streams=(MIXED,) * 2, needs=(gate,))
    timeline = simulate(script.build(STREAMS), chip, cores=1)
    rows = [block for block in timeline.blocks if block.task == 2 and block.block == 0]
    assert {row.core for row in rows} == {"AIC_0", "AIV_0", "AIV_1"}
    assert len({row.start_us for row in rows}) == 1
    check_laws(timeline, 1, chip)


def test_a_lone_aiv1_stream_runs_on_any_aiv(free_runtime: ChipSpec) -> None:
    script = Script()
    script.task("AIV", streams=(0,) * 4)
    timeline = simulate(script.build((scalar((Core.AIV1,)),)), free_runtime, cores=2)
    assert sorted(block.core for block in timeline.blocks) == ["AIV_0", "AIV_1", "AIV_2", "AIV_3"]
    check_laws(timeline, 2, free_runtime)


def test_both_aiv_of_a_cluster_run_one_block(chip: ChipSpec) -> None:
    script = Script()
    script.task("AIV", streams=(0,) * 3)
    timeline = simulate(script.build((scalar((Core.AIV0, Core.AIV1)),)), chip, cores=2)
    assert len(timeline.blocks) == 6
    check_laws(timeline, 2, chip)


def test_alloc_and_dummy_tasks_use_no_core(chip: ChipSpec) -> None:
    script = Script()
    alloc = script.alloc(4096)
    dummy = script.task("DUMMY", needs=(alloc,))
    script.task("AIV", streams=(AIV,), needs=(dummy,))
    timeline = simulate(script.build(STREAMS), chip)
    assert [task.blocks for task in timeline.tasks] == [0, 0, 1]
    assert timeline.tasks[0].end_us == timeline.tasks[0].submit_us == pytest.approx(0.38 + 0.253, abs=1e-5)
    assert timeline.tasks[2].ready_us >= timeline.tasks[1].end_us
    check_laws(timeline, 24, chip)


def test_an_empty_workload_takes_no_time(chip: ChipSpec) -> None:
    timeline = simulate(Script().build(), chip)
    assert (timeline.total_us, timeline.critical_path, timeline.heap.frame_residency_bytes) == (0, (), 0)


def test_sync_start_stops_dispatch_and_starts_all_blocks_together(chip: ChipSpec) -> None:
    script = Script()
    script.task("AIC", streams=(AIC,) * 24)  # no core is cold afterwards
    script.task("AIC", streams=(AIC,) * 24, sync_start=True)
    script.task("AIC", streams=(AIC,) * 12)
    timeline = simulate(script.build(STREAMS), chip)
    check_laws(timeline, 24, chip)
    together = [block for block in timeline.blocks if block.task == 1]
    assert len({block.start_us for block in together}) == 1
    assert len({block.core for block in together}) == 24
    assert timeline.tasks[1].start_us > timeline.tasks[0].end_us + 12  # the drain, once the first task is over


def test_sync_start_that_fits_one_scheduler_needs_no_drain(chip: ChipSpec) -> None:
    script = Script()
    script.task("AIC", streams=(AIC,) * 8, sync_start=True)
    assert simulate(script.build(STREAMS), chip).tasks[0].start_us < 12


@pytest.mark.parametrize(("kind", "stream", "blocks"), [("AIC", AIC, 3), ("AIV", AIV, 5), ("MIX", MIXED, 3)])
def test_sync_start_with_more_blocks_than_cores_is_error_7(chip: ChipSpec, kind: str, stream: int, blocks: int) -> None:
    script = Script()
    script.task(kind, streams=(stream,) * blocks, sync_start=True)
    with pytest.raises(RingFault) as caught:
        simulate(script.build(STREAMS), chip, cores=2)
    assert caught.value.code == 7 and f"block_num={blocks}" in str(caught.value)


def ring_script(scopes: int) -> Workload:
    script = Script()
    for index in range(scopes):
        script.begin(str(index))
        block = script.alloc(4096)
        script.task("AIV", streams=(AIV,), needs=(block,))
        script.end()
    return script.build(STREAMS)


def test_a_full_ring_holds_the_orchestrator_up(chip: ChipSpec) -> None:
    workload = ring_script(12)
    wide = simulate(workload, chip, heap_bytes=GIB)
    tight = simulate(workload, chip, heap_bytes=(2**30, 8192, 2**30, 2**30))
    check_laws(tight, 24, chip)
    assert tight.total_us > wide.total_us
    reasons = {step.reason for step in tight.runtime_phases}
    assert "capacity" in reasons and "capacity" not in {step.reason for step in wide.runtime_phases}
    assert tight.heap.rings[1][1] <= wide.heap.rings[1][1]


def test_an_open_scope_that_needs_more_than_the_ring_is_the_same_fault_as_without_a_clock(chip: ChipSpec) -> None:
    script = Script()
    script.begin("s")
    for _ in range(5):
        script.task("AIV", streams=(AIV,), needs=(script.alloc(1024),))
    script.end()
    heaps = (2**20, 4096, 2**20, 2**20)
    with pytest.raises(RingFault) as timed:
        simulate(script.build(STREAMS), chip, heap_bytes=heaps)
    with pytest.raises(RingFault) as untimed:
        read_heap(script.build(STREAMS), heaps)
    assert (timed.value.code, timed.value.message) == (untimed.value.code, untimed.value.message)


def test_runs_are_reproducible(chip: ChipSpec) -> None:
    workload = ring_script(5)
    assert simulate(workload, chip) == simulate(workload, chip)


def test_progress_counts_every_task(chip: ChipSpec) -> None:
    seen: list[tuple[int, int, str]] = []
    simulate(ring_script(2), chip, progress=lambda done, total, name: seen.append((done, total, name)))
    assert [done for done, _, _ in seen] == [1, 2, 3, 4] and {total for _, total, _ in seen} == {4}


@pytest.mark.parametrize(
    ("kind", "streams", "text"),
    [
        ("AIC", (AIV,), "its streams use"),
        ("AIV", (AIC,), "its streams use"),
        ("AIV", (), "at least one block"),
        ("ALLOC", (AIV,), "has no blocks"),
        ("GPU", (AIV,), "allowed: AIC"),
    ],
)
def test_tasks_that_do_not_fit_together_are_named(
    chip: ChipSpec, kind: str, streams: tuple[int, ...], text: str
) -> None:
    script = Script()
    script.task(kind, name="odd", streams=streams)
    with pytest.raises(ValueError, match=text) as caught:
        simulate(script.build(STREAMS), chip)
    assert "odd" in str(caught.value)


@pytest.mark.parametrize("cores", [0, 25])
def test_core_counts_the_chip_does_not_have(chip: ChipSpec, cores: int) -> None:
    with pytest.raises(ValueError, match="1 to 24"):
        simulate(ring_script(1), chip, cores=cores)


def test_runtime_numbers_are_checked(chip: ChipSpec) -> None:
    numbers = dict(chip.numbers)
    del numbers["runtime.submit_us"]
    with pytest.raises(ChipSpecError, match=r"runtime\.submit_us"):
        runtime_costs(replace(chip, numbers=numbers))
    numbers = dict(chip.numbers)
    numbers["runtime.naps_us"] = numbers["runtime.submit_us"]
    with pytest.raises(ChipSpecError, match="naps_us"):
        runtime_costs(replace(chip, numbers=numbers))
    numbers = dict(chip.numbers)
    numbers["runtime.submit_us"] = replace(numbers["runtime.submit_us"], unit="cycle")
    with pytest.raises(ChipSpecError, match="allowed: us"):
        runtime_costs(replace(chip, numbers=numbers))


@given(st.floats(0, 1e6))
def test_the_time_grid_rounds_up_by_less_than_a_picosecond_step(value: float) -> None:
    rounded = grid_us(value)
    assert 0 <= rounded - value <= 2.0**-20 and (rounded * 2**20).is_integer()


def test_a_standstill_lists_who_waits_for_whom() -> None:
    env = simpy.Environment()
    signal = Signal(env)
    waits = {"core 3": ("a doorbell", "scheduler 0")}

    def wait_forever():  # type: ignore[no-untyped-def]
        yield signal.wait()

    env.process(wait_forever())
    with pytest.raises(StandstillError, match="core 3 waits for a doorbell; scheduler 0 should signal it"):
        run_until(env, env.event(), waits)


BANDWIDTHS = ("memory.hbm_bytes_per_s", "memory.l2_bytes_per_cycle", "move.gm_to_ub.bytes_per_cycle")


@pytest.mark.parametrize("path", BANDWIDTHS)
@pytest.mark.parametrize("blocks", [1, 48, 200])
def test_half_the_bandwidth_is_never_faster(chip: ChipSpec, path: str, blocks: int) -> None:
    script = Script()
    last: tuple[int, ...] = ()
    for stream, nbytes in ((SMALL_COPY, 16384), (LARGE_COPY, 131072), (SMALL_COPY, 16384)):
        distinct = (nbytes * blocks, nbytes * blocks)
        last = (script.task("AIV", streams=(stream,) * blocks, needs=last, gm_unique_nbytes=distinct),)
    workload = script.build(STREAMS)
    times = []
    for factor in (1.0, 0.5, 0.25, 0.125):
        timeline = simulate(workload, chip.replace_value(path, chip[path] * factor))
        check_laws(timeline, 24, chip)
        times.append(timeline.total_us)
    assert times == sorted(times)
    if blocks == 200:
        assert times[-1] > times[0]


def test_shared_bandwidth_is_the_floor(chip: ChipSpec) -> None:
    """200 blocks that read distinct 128 KiB each cannot beat HBM."""
    script = Script()
    script.task("AIV", streams=(LARGE_COPY,) * 200, gm_unique_nbytes=(131072 * 200, 131072 * 200))
    timeline = simulate(script.build(STREAMS), chip)
    assert timeline.total_us >= 2 * 131072 * 200 / 1.6e12 * 1e6
    assert any("bandwidth" in use.idle_cycles for use in timeline.tasks[0].pipes)


def test_more_clusters_are_never_slower_and_one_block_does_not_care(chip: ChipSpec) -> None:
    script = Script()
    script.task("AIV", streams=(LARGE_COPY,) * 96)
    times = [simulate(script.build(STREAMS), chip, cores=cores).total_us for cores in (1, 2, 6, 12, 24)]
    assert times == sorted(times, reverse=True) and times[-1] < times[0] / 4
    lone = Script()
    lone.task("AIV", streams=(LARGE_COPY,))
    assert len({simulate(lone.build(STREAMS), chip, cores=cores).total_us for cores in (1, 24)}) == 1
