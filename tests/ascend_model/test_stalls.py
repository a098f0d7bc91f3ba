"""The orchestrator waits for data, and the watchdogs of the runtime: times and errors from closed forms."""

from __future__ import annotations

import pickle

import pytest

from ascend_model.chip import simulate
from ascend_model.chipspec import ChipSpec, load_chip
from ascend_model.heap import read_heap
from ascend_model.ring import RingFault, RingSizes
from ascend_model.ring_advice import with_advice
from ascend_model.stall import StallState
from ascend_model.workload import Workload
from tests.ascend_model.laws import AIV, CYCLES, STREAMS, check_laws, scalar
from tests.ascend_model.workloads import Script

SUBMIT = 0.38 + 0.874
START = 1.0 + 0.005 + 0.14 + 0.3 + 2.0  # dispatch, publish, doorbell, pickup, first task of a core
WORK = CYCLES / 1850
END = 0.6 + 0.1 + 0.8  # finish, poll, complete
SECOND_CYCLES = 1_850_000_000


@pytest.fixture(scope="module")
def chip() -> ChipSpec:
    return load_chip("a2a3")


def seconds(*durations: int, names: str = "abcdefgh") -> Script:
    """A chain of tasks that take so many seconds each."""
    script = Script()
    last: tuple[int, ...] = ()
    for index, _ in enumerate(durations):
        last = (script.task("AIV", name=names[index], streams=(index,), needs=last),)
    return script


def slow(script: Script, *durations: int) -> Workload:
    return script.build(tuple(scalar(cycles=SECOND_CYCLES * duration) for duration in durations))


def test_what_follows_a_read_is_submitted_when_its_producer_has_completed(chip: ChipSpec) -> None:
    script = Script()
    first = script.task("AIV", streams=(AIV,))
    script.touch(first)
    script.task("AIV", streams=(AIV,))
    timeline = simulate(script.build(STREAMS), chip)
    assert timeline.tasks[1].submit_us == pytest.approx(SUBMIT + START + WORK + END + SUBMIT, abs=1e-4)
    check_laws(timeline, 24, chip)
    waits = [step for step in timeline.runtime_phases if step.reason == "dependency"]
    assert [step.what for step in waits] == ["orchestrator: waits for data at kernel.py:read"]


def test_a_read_of_what_is_there_costs_nothing(chip: ChipSpec) -> None:
    script = Script()
    alloc = script.alloc(1024)
    script.touch(alloc)
    script.task("AIV", streams=(AIV,))
    timeline = simulate(script.build(STREAMS), chip)
    assert timeline.tasks[1].submit_us == pytest.approx(0.38 + 0.253 + SUBMIT, abs=1e-4)


def test_a_write_waits_for_the_readers_too(chip: ChipSpec) -> None:
    """The reader starts once the producer has told it, on the core that it leaves; its end is seen like any other."""
    for consumers, after in ((False, 0.0), (True, 0.1 + 1.0 + 0.005 + 0.14 + 0.3 + WORK + END)):
        script = Script()
        first = script.task("AIV", streams=(AIV,))
        script.task("AIV", streams=(AIV,), needs=(first,))
        script.touch(first, consumers=consumers)
        script.task("AIV", streams=(AIV,))
        timeline = simulate(script.build(STREAMS), chip, cores=1)
        expected = SUBMIT + START + WORK + END + after + SUBMIT
        assert timeline.tasks[2].submit_us == pytest.approx(expected, abs=1e-4)
        check_laws(timeline, 1, chip)


def test_a_read_leaves_heap_readings_as_they_are_and_completes_its_producers() -> None:
    script = Script()
    block = script.alloc(1024)
    first = script.task(needs=(block,))
    without = read_heap(script.build())
    script.touch(first)
    script.task(needs=(first,))
    reading = read_heap(script.build())
    assert reading.rings == without.rings
    assert reading.samples[-1]["dep_pool_end"] == 1  # the producer had completed: no entry


def test_a_wait_of_15_s_is_error_8_and_names_task_and_reader(chip: ChipSpec) -> None:
    script = seconds(6, 6, 6)
    script.touch(2, name="17")
    with pytest.raises(RingFault) as caught:
        simulate(slow(script, 6, 6, 6), chip)
    fault = pickle.loads(pickle.dumps(caught.value))
    assert (fault.code, fault.name) == (8, "TENSOR_WAIT_TIMEOUT")
    assert "kernel.py:17: the orchestration reads data of task 'c' at kernel.py:102" in fault.message
    state = fault.state
    assert isinstance(state, StallState) and state.sub_class == "S1:running-stalled"
    assert (state.completed, state.submitted, state.running, state.waiting) == (2, 3, 1, 0)
    assert state.stuck_task == "c (id 2)" and state.at_us == pytest.approx(15e6 + 3 * SUBMIT, abs=1e-3)
    assert any("orchestrator waits for its end, of task c" in line for line in state.lines())


def test_twelve_seconds_are_waited_for(chip: ChipSpec) -> None:
    script = seconds(6, 6)
    script.touch(1)
    assert simulate(slow(script, 6, 6), chip).total_us == pytest.approx(12e6, rel=1e-5)


def test_a_write_that_waits_for_slow_readers_is_error_8(chip: ChipSpec) -> None:
    """Both readers hold the first task; one after the other they take longer than the runtime waits."""
    for ordered in (False, True):
        script = Script()
        first = script.task("AIV", name="a", streams=(0,))
        second = script.task("AIV", name="b", streams=(1,), needs=(first,))
        script.task("AIV", name="c", streams=(1,), needs=(first, second) if ordered else (first,))
        script.touch(first, name="write", consumers=True)
        if not ordered:
            simulate(slow(script, 1, 9), chip)
            continue
        with pytest.raises(RingFault, match=r"overwrites data of task 'a'.*waited for its consumers"):
            simulate(slow(script, 1, 9), chip)


def test_a_task_of_more_than_10_s_is_error_100(chip: ChipSpec) -> None:
    """Also where the orchestration reads its result: the watchdog of the schedulers is the first to fire."""
    script = seconds(11)
    script.touch(0)
    with pytest.raises(RingFault) as caught:
        simulate(slow(script, 11), chip)
    fault = caught.value
    assert (fault.code, fault.name) == (100, "SCHEDULER_TIMEOUT")
    assert "task a (id 0) still runs on AIV_0, 0 of 1 submitted tasks are complete" in fault.message
    assert isinstance(fault.state, StallState) and fault.state.sub_class == "S1:running-stalled"
    assert fault.state.at_us == pytest.approx(10e6, rel=1e-5)
    simulate(slow(seconds(9, 9), 9, 9), chip)


@pytest.mark.parametrize(("task_s", "code"), [(0, None), (1, 2)])
def test_a_ring_that_frees_nothing_for_half_a_second_is_its_own_error(
    chip: ChipSpec, task_s: int, code: int | None
) -> None:
    """The scope has closed, so the heap would be free in the end; the runtime does not wait so long."""
    script = Script()
    for _ in range(2):
        script.begin()
        script.task("AIV", streams=(0,), needs=(script.alloc(1024),))
        script.end()
    workload = script.build((scalar(cycles=1000 + SECOND_CYCLES * task_s),))
    sizes = RingSizes(heap_bytes=(1024,) * 4)
    read_heap(workload, sizes)
    if code is None:
        simulate(workload, chip, heap_bytes=sizes)
        return
    with pytest.raises(RingFault) as caught:
        simulate(workload, chip, heap_bytes=sizes)
    assert caught.value.code == code
    fault = with_advice(caught.value, workload, sizes)
    assert fault.advice is None and "The present sizes are enough" in fault.message
